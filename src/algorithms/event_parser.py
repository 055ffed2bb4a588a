"""The stage of the ctapipe chain that makes events of the bytes in a file."""

from typing import TYPE_CHECKING

from ctapipe.containers import ArrayEventContainer

from ._ctapipe.selection import SelectingStep, can_defer_parsing
from ._input import cannot_read

if TYPE_CHECKING:
    from ._ctapipe.raw_events import RawEvent


class EventParser(SelectingStep):
    """Stage that parses the events that `EventReader` has left to it, and selects them.

    Other events pass unchanged.
    """

    def init(self) -> None:
        """Open the input.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no input file, or no event source can read it.
        """
        super().init()
        source = self._tool.event_source
        if can_defer_parsing(source):
            # It needs eventio, which other sources do not.
            from ._ctapipe.raw_events import RawEventParser

            self._init_selection()
            self._parse = RawEventParser.of_all(self.parent.shared, source)

    def run(self, event: "ArrayEventContainer | RawEvent") -> ArrayEventContainer | None:
        """Parse one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer or RawEvent
            The event, or its bytes.

        Returns
        -------
        ctapipe.containers.ArrayEventContainer or None
            The event; None if it is not to be processed.

        Raises
        ------
        StepError
            If its bytes are damaged.
        """
        if isinstance(event, ArrayEventContainer):
            return event
        try:
            parsed = self._parse(event)
            if parsed is None:
                raise ValueError("eventio finds no event")
        except Exception as error:
            path = self._tool.event_source.input_url
            raise cannot_read(self, path, f"event {event.count}", error) from None
        return self._select(parsed)
