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
from typing import Any

import astropy.units as u
import numpy as np
from ctapipe.containers import (
    ArrayEventContainer,
    CameraHillasParametersContainer,
    CameraTimingParametersContainer,
    TimingParametersContainer,
)
from ctapipe.core import Container
from ctapipe.core.env import CTAPIPE_DISABLE_NUMBA_CACHE
from ctapipe.fitting import FIT_RNG, _lts_linear_regression
from ctapipe.image.hillas import camera_to_shower_coordinates
from ctapipe.image.timing import rmse
from ctapipe.instrument import CameraGeometry
from ctapipe.utils.quantities import all_to_value
from numba import njit

# Where an event carries what is fitted; the metadata of an event is not written.
KEY = "timing"
# As ctapipe.image.timing_parameters, lts_linear_regression and FIT_RNG have them.
SAMPLES = 5
SAMPLE_SIZE = 0.85
MAX_ITERATIONS = 20
PRECISION = 1e-12
SEED = 0

# To be held while FIT_RNG is used, which all threads share.
FIT_LOCK = threading.Lock()


def seed_of(event: ArrayEventContainer) -> list[int]:
    """A seed for random numbers that depend on nothing but the event."""
    # Calibration events can have negative ids, which no seed can be.
    return [int(i) % 2**64 for i in (event.index.obs_id, event.index.event_id)]


def seed_fits(event: ArrayEventContainer) -> None:
    """Let the fits of an event's images begin with a stream of its own."""
    FIT_RNG.bit_generator.state = np.random.PCG64(seed_of(event)).state


def attach_pulses(
    event: ArrayEventContainer, tel_id: int, geometry: CameraGeometry, is_deferred: bool
) -> None:
    """Keep in the event what the time gradient of an image is fitted to.

    Parameters
    ----------
    event : ctapipe.containers.ArrayEventContainer
        With image parameters.
    tel_id : int
        The telescope.
    geometry : ctapipe.instrument.CameraGeometry
        In the frame of the image parameters.
    is_deferred : bool
        Whether it has not been fitted at all; then the timing parameters are nan.
    """
    dl1 = event.dl1.tel[tel_id]
    hillas, mask = dl1.parameters.hillas, dl1.image_mask
    if isinstance(hillas, CameraHillasParametersContainer):
        cog = hillas.x, hillas.y
    else:
        cog = hillas.fov_lon, hillas.fov_lat
    unit = cog[0].unit
    values = all_to_value(geometry.pix_x[mask], geometry.pix_y[mask], *cog, unit=unit)
    longitudinal, _ = camera_to_shower_coordinates(*values, hillas.psi.to_value("rad"))
    pulses = longitudinal, dl1.peak_time[mask].astype(np.float64), unit
    event.meta.setdefault(KEY, {})[tel_id] = pulses
    if is_deferred:
        dl1.parameters.timing = _container(np.nan / unit, np.nan, np.float64(np.nan))


@njit(nogil=True, cache=not CTAPIPE_DISABLE_NUMBA_CACHE)
def _fit(x, y, rng):  # type: ignore[no-untyped-def]
    """The regression of ctapipe, without the GIL, so that the next events can be read."""
    beta, _ = _lts_linear_regression(x, y, rng, SAMPLES, SAMPLE_SIZE, MAX_ITERATIONS, PRECISION)
    return beta


class TimingFits:
    """Fits the time gradients of all images in the order of the events."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(SEED)
        # So that it is compiled before the first event; the stream is not used.
        _fit(np.arange(3.0), np.arange(3.0), np.random.default_rng(SEED))

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
        return {tel_id: self._fit(*pulses) for tel_id, pulses in meta.get(KEY, {}).items()}

    def _fit(self, longitudinal: np.ndarray, peak_time: np.ndarray, unit: u.UnitBase) -> Container:
        is_finite = np.isfinite(longitudinal) & np.isfinite(peak_time)
        slope, intercept = np.nan, np.nan
        if np.count_nonzero(is_finite) >= 2:
            slope, intercept = _fit(longitudinal[is_finite], peak_time[is_finite], self._rng)
        deviation = rmse(longitudinal * slope + intercept, peak_time)
        return _container(slope / unit, intercept, deviation)


def _container(slope: u.Quantity, intercept: float, deviation: float) -> Container:
    is_of_camera = slope.unit.is_equivalent("1/m")
    return (CameraTimingParametersContainer if is_of_camera else TimingParametersContainer)(
        slope=slope, intercept=intercept, deviation=deviation
    )
