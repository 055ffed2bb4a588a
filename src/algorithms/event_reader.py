"""The producer of the ctapipe chain."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ctapipe.containers import ArrayEventContainer
from ctapipe.core import ToolConfigurationError
from ctapipe.core.traits import Bool
from ctapipe.io import SimTelEventSource

from ._ctapipe.processing import DATA_LEVELS
from ._ctapipe.selection import SelectingStep, can_defer_parsing, unexpected_of_eventio
from ._how_far import fraction_read, n_events
from ._input import reading

if TYPE_CHECKING:
    from ._ctapipe.raw_events import RawEvent


class EventReader(SelectingStep):
    """Producer of the events of a file that ``ctapipe-process`` would process.

    They are those that the sections ``EventTypeFilter`` and ``SoftwareTrigger`` let pass.
    """

    defer_parsing = Bool(
        False,
        help="Leave it to EventParser, which has to be the next step, to select events and to "
        "make them of the bytes in the file, where the format of the file allows it: that of "
        "sim_telarray",
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
        source = self._tool.event_source
        if not source.has_any_datalevel(DATA_LEVELS):
            found = ", ".join(level.name for level in source.datalevels) or "none"
            needed = ", ".join(level.name for level in DATA_LEVELS)
            raise ToolConfigurationError(
                f"EventSource.input_url: '{source.input_url}' has none of the data "
                f"levels {needed} (it has: {found}); give another file, --input=FILE"
            )
        self._defers = self.defer_parsing and can_defer_parsing(source)
        if self._defers:
            return
        self._init_selection()
        if self.defer_parsing and type(source) is SimTelEventSource and unexpected_of_eventio():
            self.log.warning(
                "%s: events are parsed where they are read, in the main process, which takes a "
                "fifth to a third of all the work; a newer ctapipe.pipeline may know this version",
                "; ".join(unexpected_of_eventio()),
            )

    def run(self) -> Iterator["ArrayEventContainer | RawEvent"]:
        """Yield the events.

        Yields
        ------
        ctapipe.containers.ArrayEventContainer or RawEvent
            An event, in the order of the file; what is left to `EventParser` as its bytes.

        Raises
        ------
        StepError
            If the file is damaged, after all events before that.
        """
        source = self._tool.event_source
        if self._defers:
            # It needs eventio, which other sources do not.
            from ._ctapipe.raw_events import RawEventParser, raw_events

            events = raw_events(source, RawEventParser.of_all(self.parent.shared, source))
            yield from reading(self, source.input_url, events)
        else:
            for event in reading(self, source.input_url, source):
                if self._select(event) is not None:
                    yield event

    @property
    def n_messages(self) -> int | None:
        """How many messages it sends in all, if that can be told."""
        return n_events(self._tool.event_source)

    @property
    def fraction_done(self) -> float | None:
        """How much of the file has been read, from 0 to 1, if that can be told."""
        return fraction_read(self._tool.event_source)
