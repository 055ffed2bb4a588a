"""The stage of the ctapipe chain that reconstructs showers."""

from ctapipe.containers import ArrayEventContainer
from ctapipe.core.traits import Bool
from ctapipe.io.hdf5dataformat import DL2_EVENT_STATISTICS_GROUP
from ctapipe.reco import ShowerProcessor

from ._processing import ProcessingStep
from ._statistics import attach_counts


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
        """Make the reconstructors, if they are needed."""
        super().init()
        tool = self._tool
        self._process_shower = None
        if tool.should_compute_dl2:
            self._process_shower = ShowerProcessor(
                subarray=tool.event_source.subarray,
                atmosphere_profile=tool.event_source.atmosphere_density_profile,
                parent=tool,
            )

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
                attach_counts(event, path, reconstructor.quality_query)
        if self.drop_images:
            self._drop(event)
        return event

    def _drop(self, event: ArrayEventContainer) -> None:
        if not self._tool.write.write_dl1_images:
            for dl1 in event.dl1.tel.values():
                dl1.image = dl1.peak_time = dl1.image_mask = None
        for monitoring in event.monitoring.tel.values():
            monitoring.camera.reset()
