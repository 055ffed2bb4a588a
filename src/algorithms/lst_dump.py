"""A stage that describes the telescope events of LSTs."""

from ctapipe.core import Component

from .simtelarray_reader import TelescopeEvent


class LSTDump(Component):
    """Stage that makes a line of text, marked ``LST``, of the telescope event of an LST."""

    def run(self, message: TelescopeEvent) -> str:
        """Describe one telescope event.

        Parameters
        ----------
        message : TelescopeEvent
            Of an LST.

        Returns
        -------
        str
            The line of `describe`, marked ``LST``.
        """
        return describe(message, mark="LST")


def describe(event: TelescopeEvent, mark: str) -> str:
    """Describe a telescope event in one line.

    Parameters
    ----------
    event : TelescopeEvent
        What to describe.
    mark : str
        The first word of the line.

    Returns
    -------
    str
        The mark, event id, telescope id and description, the number of pixels, the highest sample
        and the sum of all samples (both in p.e.), without an end of line.
    """
    n_pixels = event.waveform.shape[1]
    return (
        f"{mark:<5} event_id {event.event_id} tel_id {event.tel_id} {event.description}:"
        f" {n_pixels} pixels, peak {event.waveform.max():.1f} p.e.,"
        f" sum {event.waveform.sum():.0f} p.e."
    )
