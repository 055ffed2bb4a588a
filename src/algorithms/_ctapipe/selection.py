"""Which events of a file are processed."""

from ctapipe.containers import ArrayEventContainer
from ctapipe.core.traits import Bool
from ctapipe.instrument import SoftwareTrigger
from ctapipe.io import EventSource, SimTelEventSource
from ctapipe.utils import EventTypeFilter

from . import internals
from .noise import SharedNoise
from .processing import ProcessingStep


class SelectingStep(ProcessingStep):
    """A step of the ctapipe chain that sends events as they come from the file.

    They are those that the sections ``EventTypeFilter`` and ``SoftwareTrigger`` let pass, with
    noise if ``ProcessorTool.add_nsb_in_waveforms`` is set.
    """

    drop_r0_waveforms = Bool(
        True, help="Do not send the R0 waveforms, unless DataWriter.write_r0_waveforms is set"
    ).tag(config=True)

    def _init_selection(self) -> None:
        tool = self._tool
        subarray = tool.event_source.subarray
        self._is_wanted = EventTypeFilter(parent=tool)
        self._add_noise = None
        if getattr(tool, "add_nsb_in_waveforms", False):
            noise = self.parent.shared.setdefault("noise", SharedNoise())
            self._add_noise = noise.modifier(subarray, tool)
        self._is_triggered = SoftwareTrigger(subarray=subarray, parent=tool)
        self._drops_r0 = self.drop_r0_waveforms and not tool.write.write_r0_waveforms

    def _select(self, event: ArrayEventContainer) -> ArrayEventContainer | None:
        if not self._is_wanted(event):
            return None
        if self._add_noise is not None:
            self._add_noise(event)
        if not self._is_triggered(event):
            return None
        # Since ctapipe 0.31 it holds the event once more, as it is in the file.
        event.meta.clear()
        if self._drops_r0:
            event.r0.tel.clear()
        return event


def can_defer_parsing(source: EventSource) -> bool:
    """Whether the events of a source can be parsed elsewhere.

    Parameters
    ----------
    source : ctapipe.io.EventSource
        The source.
    """
    # A class that inherits may read differently.
    return (
        type(source) is SimTelEventSource
        and not internals.unexpected()
        and not unexpected_of_eventio()
    )


def unexpected_of_eventio() -> tuple[str, ...]:
    """What is not as expected of eventio, a line each."""
    # It is needed for some sources only.
    from . import eventio_internals

    return eventio_internals.unexpected()
