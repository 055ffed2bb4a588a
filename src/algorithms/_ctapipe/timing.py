"""The time gradient of images, with random numbers that do not depend on the workers.

ctapipe fits it with a least-trimmed-squares regression that starts from random pixels, and
takes the random numbers of all events from one stream [1]_. Which fit an image ends with
depends so on all images before it. Here the fit that is written is made where the events
are in order, with the same stream; the one that earlier steps see, if it is made, has a
stream for each event.

References
----------
.. [1] `ctapipe.fitting.lts_linear_regression`
"""

import threading
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
from ctapipe.containers import (
    ArrayEventContainer,
    CameraHillasParametersContainer,
    CameraTimingParametersContainer,
    ImageParametersContainer,
    TimingParametersContainer,
)
from ctapipe.core import Container
from ctapipe.image import camera_to_shower_coordinates, timing_parameters
from ctapipe.instrument import CameraGeometry

from . import internals
from .random_numbers import SHARED_RNG, fresh_bit_generator

# Where an event carries what is fitted; the metadata of an event is not written.
KEY = "timing"
# As ctapipe.image.timing_parameters and lts_linear_regression have them: how many pairs of
# pixels, the part of the pixels, iterations at most, precision.
FIT = (5, 0.85, 20, 1e-12)

# To be held to use the stream that the fits of a process have in common.
FIT_LOCK = threading.Lock()


class Pulses(NamedTuple):
    """What the time gradient of an image is fitted to.

    Parameters
    ----------
    longitudinal : numpy.ndarray of float64, shape (n_pixels,)
        Where the pixels of the image are along its axis.
    peak_time : numpy.ndarray of float64, shape (n_pixels,)
        When they have their pulses, ns.
    unit : astropy.units.UnitBase
        Unit of the place.
    """

    longitudinal: np.ndarray
    peak_time: np.ndarray
    unit: u.UnitBase

    def fit(self, rng: np.random.Generator) -> Container:
        """What `ctapipe.image.timing_parameters` makes of them."""
        is_finite = np.isfinite(self.longitudinal) & np.isfinite(self.peak_time)
        slope, intercept = np.nan, np.nan
        if np.count_nonzero(is_finite) >= 2:
            points = self.longitudinal[is_finite], self.peak_time[is_finite]
            slope, intercept = internals.fit_line(*points, rng, *FIT)
        deviation = internals.deviation(self.longitudinal * slope + intercept, self.peak_time)
        return _container(slope / self.unit, intercept, deviation)


class Image(NamedTuple):
    """All that `ctapipe.image.timing_parameters` takes; its parts are those of one image.

    Parameters
    ----------
    geom : ctapipe.instrument.CameraGeometry
        Of the pixels of the image.
    image : numpy.ndarray, shape (n_pixels,)
        Their charge, photoelectrons.
    peak_time : numpy.ndarray, shape (n_pixels,)
        When they have their pulses, ns.
    hillas_parameters : ctapipe.core.Container
        Of the image.
    """

    geom: CameraGeometry
    image: np.ndarray
    peak_time: np.ndarray
    hillas_parameters: Container

    def fit(self, rng: np.random.Generator) -> Container:
        """Let ctapipe make them, which has one stream for all."""
        with FIT_LOCK:
            before = SHARED_RNG.bit_generator.state
            SHARED_RNG.bit_generator.state = rng.bit_generator.state
            try:
                return timing_parameters(*self)
            finally:
                rng.bit_generator.state = SHARED_RNG.bit_generator.state
                SHARED_RNG.bit_generator.state = before


def seed_of(event: ArrayEventContainer) -> list[int]:
    """A seed for random numbers that depend on nothing but the event."""
    # Calibration events can have negative ids, which no seed can be.
    return [int(i) % 2**64 for i in (event.index.obs_id, event.index.event_id)]


def seed_fits(event: ArrayEventContainer) -> None:
    """Let the fits of an event's images begin with a stream of its own."""
    SHARED_RNG.bit_generator.state = type(SHARED_RNG.bit_generator)(seed_of(event)).state


def attach_image(event: ArrayEventContainer, tel_id: int, geometry: CameraGeometry) -> None:
    """Keep in the event what the time gradient of an image is fitted to.

    Parameters
    ----------
    event : ctapipe.containers.ArrayEventContainer
        With image parameters.
    tel_id : int
        The telescope.
    geometry : ctapipe.instrument.CameraGeometry
        In the frame of the image parameters.
    """
    dl1 = event.dl1.tel[tel_id]
    mask = dl1.image_mask
    image = Image(geometry[mask], dl1.image[mask], dl1.peak_time[mask], dl1.parameters.hillas)
    event.meta.setdefault(KEY, {})[tel_id] = image


def attach_pulses(event: ArrayEventContainer, tel_id: int, geometry: CameraGeometry) -> None:
    """The same, of a fifth of the size."""
    dl1 = event.dl1.tel[tel_id]
    hillas, mask = dl1.parameters.hillas, dl1.image_mask
    if isinstance(hillas, CameraHillasParametersContainer):
        cog = hillas.x, hillas.y
    else:
        cog = hillas.fov_lon, hillas.fov_lat
    unit = cog[0].unit
    lengths = [x.to_value(unit) for x in (geometry.pix_x[mask], geometry.pix_y[mask], *cog)]
    longitudinal, _ = camera_to_shower_coordinates(*lengths, hillas.psi.to_value("rad"))
    pulses = Pulses(longitudinal, dl1.peak_time[mask].astype(np.float64), unit)
    event.meta.setdefault(KEY, {})[tel_id] = pulses


def forget_gradient(parameters: ImageParametersContainer) -> None:
    """Let the time gradient be nan, in the units that it will have."""
    hillas = parameters.hillas
    is_of_camera = isinstance(hillas, CameraHillasParametersContainer)
    unit = (hillas.x if is_of_camera else hillas.fov_lon).unit
    parameters.timing = _container(np.nan / unit, np.nan, np.float64(np.nan))


class TimingFits:
    """Fits the time gradients of all images in the order of the events."""

    def __init__(self) -> None:
        self._rng = np.random.Generator(fresh_bit_generator())

    def compile(self) -> None:
        """Do it before the first event; the stream is not used."""
        internals.fit_line(np.arange(3.0), np.arange(3.0), np.random.default_rng(), *FIT)

    def __call__(self, meta: dict[str, Any]) -> dict[int, Container]:
        """Fit those of one event.

        Parameters
        ----------
        meta : dict
            The metadata of the next event.

        Returns
        -------
        dict of int to ctapipe.core.Container
            The timing parameters of each telescope that has them.
        """
        images: dict[int, Pulses | Image] = meta.get(KEY, {})
        return {tel_id: image.fit(self._rng) for tel_id, image in images.items()}


def _container(slope: u.Quantity, intercept: float, deviation: float) -> Container:
    is_of_camera = slope.unit.is_equivalent("1/m")
    return (CameraTimingParametersContainer if is_of_camera else TimingParametersContainer)(
        slope=slope, intercept=intercept, deviation=deviation
    )
