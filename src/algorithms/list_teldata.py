"""A stage that lists the triggered telescopes of events."""

from ctapipe.containers import ArrayEventContainer
from ctapipe.core import Component


class ListTelda(Component):
    """Stage that makes a line of text of an event: its id and its triggered telescopes."""

    def run(self, event: ArrayEventContainer) -> str:
        """List the triggered telescopes of one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            An event with its index and its trigger.

        Returns
        -------
        str
            For example ``event_id 100: tel_id 1 2 3``, without an end of line.
        """
        tel_ids = " ".join(str(tel_id) for tel_id in event.trigger.tels_with_trigger)
        return f"event_id {event.index.event_id}: tel_id {tel_ids}"
