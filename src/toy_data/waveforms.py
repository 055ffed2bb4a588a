"""Waveforms of toy images: the pulses of photoelectrons, pedestal, noise and digitisation."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .telescopes import Camera

__all__ = ["PhotoElectrons", "digitise", "spread"]

# Times of photoelectrons are in the middle of intervals of this length in ns; of their standard
# deviation around that of the pixel, in ns.
TIME_STEP = 0.25
JITTER = 0.5


@dataclass(frozen=True, eq=False)
class PhotoElectrons:
    """The photoelectrons of an image.

    Parameters
    ----------
    image : ndarray
        How many are in each pixel.
    times : ndarray
        When, in ns since the readout began: those of the first pixel, those of the second ...
    """

    image: NDArray[np.int32]
    times: NDArray[np.float64]


def spread(
    image: NDArray[np.int32], pixel_times: NDArray[np.float64], rng: np.random.Generator
) -> PhotoElectrons:
    """Give each photoelectron a time.

    Parameters
    ----------
    image : ndarray
        How many are in each pixel.
    pixel_times : ndarray
        The mean time in each pixel, in ns since the readout began.
    rng : numpy.random.Generator
        Where the random numbers come from.
    """
    times = np.repeat(pixel_times, image)
    times += JITTER * rng.standard_normal(len(times))
    return PhotoElectrons(image, (np.floor(times / TIME_STEP) + 0.5) * TIME_STEP)


def digitise(
    photoelectrons: PhotoElectrons, camera: Camera, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """What the ADCs make of photoelectrons.

    Parameters
    ----------
    photoelectrons : PhotoElectrons
        From `spread`.
    camera : Camera
        What reads them out.
    rng : numpy.random.Generator
        Where the random numbers come from.

    Returns
    -------
    ndarray
        The ADC counts, of shape (gains, pixels, samples).
    """
    shape = camera.n_gains, camera.n_pixels, camera.n_samples
    counts = rng.standard_normal(shape, dtype=np.float32)
    counts *= camera.noise.astype(np.float32)[:, np.newaxis, np.newaxis]
    counts += camera.pedestal.astype(np.float32)[:, np.newaxis, np.newaxis]

    response = _response(camera)
    n_steps = len(response)
    hit = np.flatnonzero(photoelectrons.image)
    row = np.repeat(np.arange(len(hit)), photoelectrons.image[hit])
    step = (photoelectrons.times // TIME_STEP).astype(np.int64)
    inside = (step >= 0) & (step < n_steps)
    per_step = np.bincount(row[inside] * n_steps + step[inside], minlength=len(hit) * n_steps)
    pulses = per_step.reshape(len(hit), n_steps) @ response
    counts[:, hit] += camera.pulse_height[:, np.newaxis, np.newaxis] * pulses
    np.rint(counts, out=counts)
    return np.clip(counts, 0, camera.max_count, out=counts).astype(np.uint16)


@lru_cache(maxsize=8)
def _response(camera: Camera) -> NDArray[np.float64]:
    """The pulse in each sample of a photoelectron in each step of time."""
    step = np.arange(round(camera.readout_duration / TIME_STEP))
    sample = np.arange(camera.n_samples) * camera.sample_width
    return camera.pulse(sample - (step[:, np.newaxis] + 0.5) * TIME_STEP)
