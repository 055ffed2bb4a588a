"""The events of toy data, of showers and of calibrations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.table import QTable, Row
from numpy.typing import NDArray

from .images import arrival_times, draw_photoelectrons, project
from .showers import draw_showers
from .telescopes import Telescope
from .waveforms import PhotoElectrons, digitise, spread

__all__ = ["Event", "Simulation", "draw_calibration_events", "draw_events", "simulate"]

# Where in a waveform the light of the maximum is.
SIGNAL_POSITION = 0.4

PEDESTAL, FLATFIELD = 1, 3
FLATFIELD_INTENSITY = 50


class Simulation(NamedTuple):
    """Showers and what telescopes see of them.

    Parameters
    ----------
    showers : astropy.table.QTable
        From `draw_showers`.
    images : list of astropy.table.QTable
        From `project`, for each telescope.
    triggered : ndarray
        For each shower and telescope, whether it is in the event; of shape (showers, telescopes).
    """

    showers: QTable
    images: list[QTable]
    triggered: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Event:
    """What telescopes see of a shower, or of a calibration.

    Parameters
    ----------
    photoelectrons : dict
        The light, by the number of the telescope.
    samples : dict
        The ADC counts, of shape (gains, pixels, samples), by the number of the telescope.
    trigger_times : list of float
        When these telescopes triggered, in ns after the first.
    """

    photoelectrons: dict[int, PhotoElectrons]
    samples: dict[int, NDArray[np.uint16]]
    trigger_times: list[float]


def simulate(
    array: Sequence[Telescope], n_events: int, min_telescopes: int, rng: np.random.Generator
) -> Simulation:
    """Draw showers until enough of them are seen.

    Parameters
    ----------
    array : sequence of Telescope
        Who looks.
    n_events : int
        How many showers have to be seen.
    min_telescopes : int
        By how many telescopes.
    rng : numpy.random.Generator
        Where the random numbers come from.
    """
    n_showers = n_events
    while True:
        n_showers *= 2
        showers = draw_showers(n_showers, rng)
        images = [project(showers, telescope) for telescope in array]
        triggered = np.stack([image["triggers"] for image in images], axis=1)
        triggered &= (triggered.sum(axis=1) >= min_telescopes)[:, np.newaxis]
        seen = np.flatnonzero(triggered.any(axis=1))
        if len(seen) >= n_events:
            end = seen[n_events - 1] + 1
            return Simulation(showers[:end], [image[:end] for image in images], triggered[:end])


def draw_events(
    simulation: Simulation, array: Sequence[Telescope], rng: np.random.Generator
) -> Iterator[tuple[Row, Event]]:
    """Draw what telescopes see of each shower.

    Parameters
    ----------
    simulation : Simulation
        From `simulate`.
    array : sequence of Telescope
        Who looks.
    rng : numpy.random.Generator
        Where the random numbers come from.

    Yields
    ------
    shower : astropy.table.Row
        The shower.
    event : Event
        What is seen of it; it has no telescope if not enough triggered.
    """
    for index, shower in enumerate(simulation.showers):
        light, samples, times = {}, {}, []
        for telescope, images, triggered in zip(
            array, simulation.images, simulation.triggered[index], strict=True
        ):
            if triggered:
                image = images[index]
                camera = telescope.type.camera
                light[telescope.id] = spread(
                    draw_photoelectrons(image, telescope, rng),
                    SIGNAL_POSITION * camera.readout_duration + arrival_times(image, telescope),
                    rng,
                )
                samples[telescope.id] = digitise(light[telescope.id], camera, rng)
                times.append(image["time"].to_value("ns"))
        yield shower, Event(light, samples, [time - min(times) for time in times])


def draw_calibration_events(
    n_of_each: int, array: Sequence[Telescope], rng: np.random.Generator
) -> Iterator[tuple[int, Event]]:
    """Draw events without light, and events with the same light in all pixels.

    Parameters
    ----------
    n_of_each : int
        How many.
    array : sequence of Telescope
        Who takes part.
    rng : numpy.random.Generator
        Where the random numbers come from.

    Yields
    ------
    kind : int
        sim_telarray's number for it.
    event : Event
        The event.
    """
    for kind, intensity in ((PEDESTAL, 0), (FLATFIELD, FLATFIELD_INTENSITY)):
        for _ in range(n_of_each):
            light, samples = {}, {}
            for telescope in array:
                camera = telescope.type.camera
                image = rng.poisson(intensity, camera.n_pixels).astype(np.int32)
                time = np.full(camera.n_pixels, SIGNAL_POSITION * camera.readout_duration)
                light[telescope.id] = spread(image, time, rng)
                samples[telescope.id] = digitise(light[telescope.id], camera, rng)
            yield kind, Event(light, samples, [0.0] * len(array))
