"""The stage of the ctapipe chain that looks for muon rings."""

from ctapipe.containers import ArrayEventContainer
from ctapipe.image.muon.processor import MuonProcessor

from ._ctapipe.processing import ProcessingStep


class MuonAnalyzer(ProcessingStep):
    """Stage that looks for muon rings in images, if ``DataWriter.write_muon_parameters`` is set.

    It does what `ctapipe.image.muon.MuonProcessor` does.
    """

    def init(self) -> None:
        """Make the muon processor, if it is needed."""
        super().init()
        tool = self._tool
        self._process_muons = None
        if tool.should_compute_muon_parameters:
            subarray = tool.event_source.subarray
            self._process_muons = MuonProcessor(subarray=subarray, parent=tool)

    def run(self, event: ArrayEventContainer) -> ArrayEventContainer:
        """Look for muon rings in one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            With DL1 images and their parameters.

        Returns
        -------
        ctapipe.containers.ArrayEventContainer
            The same event, with muon parameters.
        """
        if self._process_muons is not None:
            self._process_muons(event)
        return event
