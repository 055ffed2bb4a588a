"""The stage of the ctapipe chain that makes events of the bytes in a file."""

from typing import TYPE_CHECKING

from ctapipe.containers import ArrayEventContainer

from ._ctapipe.selection import SelectingStep, can_defer_parsing

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
            # Steps of several threads use the source.
            self._parse = self.parent.shared.setdefault("event parser", RawEventParser(source))

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
        """
        if isinstance(event, ArrayEventContainer):
            return event
        return self._select(self._parse(event))
