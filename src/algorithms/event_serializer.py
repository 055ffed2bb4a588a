"""The stage of the ctapipe chain that makes of events what is written of them."""

from ctapipe.containers import ArrayEventContainer

from ._ctapipe import internals
from ._ctapipe.processing import ProcessingStep
from ._ctapipe.row_maker import RowMaker
from ._ctapipe.rows import EventRows


class EventSerializer(ProcessingStep):
    """Stage that makes the rows of the tables that `EventWriter` writes.

    It is the last one: what it sends is no event any more. Without it, `EventWriter` does
    the same, in its own process.
    """

    def init(self) -> None:
        """Find out what is written."""
        super().init()
        self._make_rows = None
        if not internals.unexpected():
            self._make_rows = RowMaker(event_source=self._tool.event_source, parent=self._tool)

    def run(self, event: ArrayEventContainer) -> ArrayEventContainer | EventRows:
        """Make the rows of one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The event, with all that is to be written of it.

        Returns
        -------
        EventRows or ctapipe.containers.ArrayEventContainer
            Its rows; the event, with a version of ctapipe that does not let them be made here.
        """
        return event if self._make_rows is None else self._make_rows(event)
