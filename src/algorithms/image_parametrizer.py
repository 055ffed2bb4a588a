"""The stage of the ctapipe chain that describes images by parameters."""

import numpy as np
from ctapipe.containers import ArrayEventContainer
from ctapipe.core.traits import Bool
from ctapipe.image import ImageProcessor
from ctapipe.io.hdf5dataformat import DL1_IMAGE_STATISTICS_TABLE

from ._ctapipe import internals
from ._ctapipe.processing import ProcessingStep
from ._ctapipe.statistics import CountedQuery
from ._ctapipe.timing import (
    FIT_LOCK,
    attach_image,
    attach_pulses,
    forget_gradient,
    seed_fits,
    seed_of,
)


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
        self._has_internals = not internals.unexpected()
        self._defers = (
            self._has_internals
            and self.defer_time_gradient
            and not (tool.should_compute_dl2 or tool.should_compute_muon_parameters)
        )
        processor = internals.ImageProcessorWithoutFits if self._defers else ImageProcessor
        self._process_images = processor(subarray=subarray, parent=tool)
        self._process_images.check_image = CountedQuery(self._process_images.check_image)
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
        process.check_image.attach_counts(event, DL1_IMAGE_STATISTICS_TABLE)
        for tel_id, dl1 in event.dl1.tel.items():
            is_parametrized = dl1.parameters is not process.default_image_container
            if is_parametrized and dl1.peak_time is not None:
                attach = attach_pulses if self._has_internals else attach_image
                attach(event, tel_id, self._geometries[tel_id])
                if self._defers:
                    forget_gradient(dl1.parameters)
        return event
