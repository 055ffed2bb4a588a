"""A stage that describes the telescope events of all telescopes but LSTs."""

from ctapipe.core import Component

from .lst_dump import describe
from .simtelarray_reader import TelescopeEvent


class OtherDump(Component):
    """Stage that makes a line of text, marked ``other``, of a telescope event."""

    def run(self, message: TelescopeEvent) -> str:
        """Describe one telescope event.

        Parameters
        ----------
        message : TelescopeEvent
            Of a telescope that is no LST.

        Returns
        -------
        str
            The line of `ctapipe.pipeline.algorithms.lst_dump.describe`, marked ``other``.
        """
        return describe(message, mark="other")
