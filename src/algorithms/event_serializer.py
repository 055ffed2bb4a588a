"""The stage of the ctapipe chain that makes of events what is written of them."""

from ctapipe.containers import ArrayEventContainer

from ._processing import ProcessingStep
from ._row_maker import RowMaker
from ._rows import EventRows


class EventSerializer(ProcessingStep):
    """Stage that makes the rows of the tables that `EventWriter` writes.

    It is the last one: what it sends is no event any more. Without it, `EventWriter` does
    the same, in its own process.
    """

    def init(self) -> None:
        """Find out what is written."""
        super().init()
        self._make_rows = RowMaker(event_source=self._tool.event_source, parent=self._tool)

    def run(self, event: ArrayEventContainer) -> EventRows:
        """Make the rows of one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The event, with all that is to be written of it.

        Returns
        -------
        EventRows
            Its rows.
        """
        return self._make_rows(event)
