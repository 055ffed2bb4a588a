"""The producer of the ctapipe chain."""

from collections.abc import Iterator

from ctapipe.containers import ArrayEventContainer
from ctapipe.core import ToolConfigurationError
from ctapipe.core.traits import Bool
from ctapipe.instrument import SoftwareTrigger
from ctapipe.tools.process import COMPATIBLE_DATALEVELS
from ctapipe.utils import EventTypeFilter
from tqdm.auto import tqdm

from ._processing import ProcessingStep


class EventReader(ProcessingStep):
    """Producer of the events of a file that ``ctapipe-process`` would process.

    They are those that the sections ``EventTypeFilter`` and ``SoftwareTrigger`` let pass.
    """

    drop_r0_waveforms = Bool(
        True, help="Do not send the R0 waveforms, unless DataWriter.write_r0_waveforms is set"
    ).tag(config=True)

    def init(self) -> None:
        """Open the file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no such file, no event source can read it, or it holds nothing that
            can be processed.
        """
        super().init()
        tool = self._tool
        if not tool.event_source.has_any_datalevel(COMPATIBLE_DATALEVELS):
            found = ", ".join(level.name for level in tool.event_source.datalevels) or "none"
            needed = ", ".join(level.name for level in COMPATIBLE_DATALEVELS)
            raise ToolConfigurationError(
                f"EventSource.input_url: '{tool.event_source.input_url}' has none of the data "
                f"levels {needed} (it has: {found}); give another file, --input=FILE"
            )
        self._is_wanted = EventTypeFilter(parent=tool)
        self._is_triggered = SoftwareTrigger(subarray=tool.event_source.subarray, parent=tool)
        self._drops_r0 = self.drop_r0_waveforms and not tool.write.write_r0_waveforms

    def run(self) -> Iterator[ArrayEventContainer]:
        """Yield the events.

        Yields
        ------
        ctapipe.containers.ArrayEventContainer
            An event, in the order of the file.
        """
        source = events = self._tool.event_source
        if self._tool.progress_bar:
            name = type(source).__name__
            events = tqdm(source, desc=name, total=source.max_events, unit="ev")
        for event in events:
            if self._is_wanted(event) and self._is_triggered(event):
                if self._drops_r0:
                    event.r0.tel.clear()
                yield event
