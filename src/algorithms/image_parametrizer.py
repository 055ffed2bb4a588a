"""The stage of the ctapipe chain that describes images by parameters."""

from typing import Any

import numpy as np
from ctapipe.containers import (
    ArrayEventContainer,
    ImageParametersContainer,
    PeakTimeStatisticsContainer,
)
from ctapipe.core.traits import Bool
from ctapipe.image import ImageProcessor, descriptive_statistics
from ctapipe.io.hdf5dataformat import DL1_IMAGE_STATISTICS_TABLE

from ._processing import ProcessingStep
from ._statistics import attach_counts
from ._timing import FIT_LOCK, attach_pulses, seed_fits, seed_of


class _WithoutFits(ImageProcessor):
    """An image processor that leaves the fit of the time gradient out."""

    def _parameterize_image(
        self, tel_id: int, image: Any, signal_pixels: Any, peak_time: Any = None, **options: Any
    ) -> ImageParametersContainer:
        parameters = super()._parameterize_image(tel_id, image, signal_pixels, None, **options)
        if peak_time is not None and parameters is not options["default"]:
            parameters.peak_time_statistics = descriptive_statistics(
                peak_time[signal_pixels], container_class=PeakTimeStatisticsContainer
            )
        return parameters


class ImageParametrizer(ProcessingStep):
    """Stage that cleans the images of events and computes their parameters (DL1b).

    It does what `ctapipe.image.ImageProcessor` does, where ``ctapipe-process`` would. Its
    random numbers depend on the event only: those of `ctapipe.image.ImageModifier`, if it
    is used, and those of the fit of the time gradient. `EventWriter` repeats that fit with
    the random numbers that ``ctapipe-process`` uses.
    """

    defer_time_gradient = Bool(
        False,
        help="Leave the fit of the time gradient to EventWriter, where DL2 and muon parameters "
        "are not computed; until then the timing parameters are nan",
    ).tag(config=True)

    def init(self) -> None:
        """Make the image processor."""
        super().init()
        tool = self._tool
        subarray = tool.event_source.subarray
        self._defers = self.defer_time_gradient and not (
            tool.should_compute_dl2 or tool.should_compute_muon_parameters
        )
        processor = _WithoutFits if self._defers else ImageProcessor
        self._process_images = processor(subarray=subarray, parent=tool)
        applies = self._process_images.apply_image_modifier
        self._modifies = any(applies.tel[tel_id] for tel_id in subarray.tel)
        if self._process_images.use_telescope_frame:
            self._geometries = self._process_images.telescope_frame_geometries
        else:
            self._geometries = {i: tel.camera.geometry for i, tel in subarray.tel.items()}

    def run(self, event: ArrayEventContainer) -> ArrayEventContainer:
        """Parametrize the images of one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            With DL1 images, if they are to be parametrized.

        Returns
        -------
        ctapipe.containers.ArrayEventContainer
            The same event, with image parameters.
        """
        if not self._tool.should_compute_dl1:
            return event
        process = self._process_images
        if self._modifies:
            seed = [process.modify.rng_seed, *seed_of(event)]
            process.modify.rng = np.random.default_rng(seed)
        if self._defers:
            process(event)
        else:
            with FIT_LOCK:
                seed_fits(event)
                process(event)
        attach_counts(event, DL1_IMAGE_STATISTICS_TABLE, process.check_image)
        for tel_id, dl1 in event.dl1.tel.items():
            is_parametrized = dl1.parameters is not process.default_image_container
            if is_parametrized and dl1.peak_time is not None:
                attach_pulses(event, tel_id, self._geometries[tel_id], self._defers)
        return event
