"""Which events of a file are processed."""

from ctapipe.containers import ArrayEventContainer
from ctapipe.core.traits import Bool
from ctapipe.instrument import SoftwareTrigger
from ctapipe.io import EventSource, SimTelEventSource
from ctapipe.utils import EventTypeFilter

from ._processing import ProcessingStep


class SelectingStep(ProcessingStep):
    """A step of the ctapipe chain that sends events as they come from the file.

    They are those that the sections ``EventTypeFilter`` and ``SoftwareTrigger`` let pass.
    """

    drop_r0_waveforms = Bool(
        True, help="Do not send the R0 waveforms, unless DataWriter.write_r0_waveforms is set"
    ).tag(config=True)

    def init(self) -> None:
        """Open the input.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no input file, or no event source can read it.
        """
        super().init()
        tool = self._tool
        self._is_wanted = EventTypeFilter(parent=tool)
        self._is_triggered = SoftwareTrigger(subarray=tool.event_source.subarray, parent=tool)
        self._drops_r0 = self.drop_r0_waveforms and not tool.write.write_r0_waveforms

    def _select(self, event: ArrayEventContainer) -> ArrayEventContainer | None:
        if not (self._is_wanted(event) and self._is_triggered(event)):
            return None
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
    # A class that inherits may read differently; eventio 1 has no such attribute.
    return type(source) is SimTelEventSource and hasattr(source.file_, "_file")
