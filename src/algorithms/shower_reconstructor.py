"""The stage of the ctapipe chain that reconstructs showers."""

from ctapipe.containers import ArrayEventContainer
from ctapipe.core.traits import Bool
from ctapipe.io.hdf5dataformat import DL2_EVENT_STATISTICS_GROUP

from ._ctapipe.processing import ProcessingStep, make_shower_processor
from ._ctapipe.statistics import CountedQuery


class ShowerReconstructor(ProcessingStep):
    """Stage that reconstructs showers (DL2), if ``DataWriter.write_dl2`` is set.

    It does what `ctapipe.reco.ShowerProcessor` does, where ``ctapipe-process`` would.
    """

    drop_images = Bool(
        True,
        help="Do not send images that are not written (DataWriter.write_dl1_images), nor the "
        "coefficients of the calibration; to be unset if a step after this one needs them",
    ).tag(config=True)

    def init(self) -> None:
        """Make the reconstructors, if they are needed.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If one of them needs an atmosphere profile that the input does not have.
        """
        super().init()
        tool = self._tool
        self._process_shower = None
        if tool.should_compute_dl2:
            self._process_shower = make_shower_processor(tool)
            for reconstructor in self._process_shower.reconstructors:
                reconstructor.quality_query = CountedQuery(reconstructor.quality_query)

    def run(self, event: ArrayEventContainer) -> ArrayEventContainer:
        """Reconstruct the shower of one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            With image parameters, if it is to be reconstructed.

        Returns
        -------
        ctapipe.containers.ArrayEventContainer
            The same event, with DL2 parameters.
        """
        if self._process_shower is not None:
            self._process_shower(event)
            names = self._process_shower.reconstructor_types
            for name, reconstructor in zip(names, self._process_shower.reconstructors, strict=True):
                path = f"{DL2_EVENT_STATISTICS_GROUP}/{name}"
                reconstructor.quality_query.attach_counts(event, path)
        if self.drop_images:
            self._drop(event)
        return event

    def _drop(self, event: ArrayEventContainer) -> None:
        if not self._tool.write.write_dl1_images:
            for dl1 in event.dl1.tel.values():
                dl1.image = dl1.peak_time = dl1.image_mask = None
        for monitoring in event.monitoring.tel.values():
            monitoring.camera.reset()
