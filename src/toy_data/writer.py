"""Writes a file of toy data: which objects are in it, and in which order."""

import shlex
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import astropy.units as u
import numpy as np

from . import event_objects, run_objects, telescope_objects
from .container import SYNC_MARKER
from .events import Event, draw_calibration_events, draw_events, simulate
from .output_file import open_output
from .showers import (
    ATMOSPHERE,
    CORE_RANGE,
    ENERGY_RANGE,
    OBSERVATION_HEIGHT,
    POINTING,
    SPECTRAL_INDEX,
    VIEWCONE,
)
from .telescopes import MAX_TELESCOPES, Telescope, make_array

__all__ = ["write_toy_data"]

# So that their numbers have 4 bytes.
MAX_EVENTS = 1_000_000
MAX_RUN = 2**31 - 1
# 2025-01-01; between events, in ns.
START = 1735689600
EVENT_INTERVAL = 10_000_000
ATMOSPHERE_ID = 1
N_CALIBRATION_EVENTS = 3
# sim_telarray's number for the histogram of all showers over core distance and energy.
SHOWER_HISTOGRAM = 6


def write_toy_data(
    path: str | PathLike[str],
    n_events: int = 500,
    n_telescopes: int = 4,
    seed: int = 0,
    run: int = 1,
) -> None:
    """Write a file of sim_telarray with toy showers of gamma rays.

    The first telescope is like an LST, with two gain channels; the second is smaller, with square
    pixels and one gain channel, and so on in turn. An event is a shower that two telescopes see, or
    one, if there is only one. The first events are those of calibrations, three without light and
    three with the same light in all pixels. The same seed makes the same file.

    Parameters
    ----------
    path : str or path-like
        The file, which is replaced if it is there; ``.simtel``, ``.simtel.gz`` or ``.simtel.zst``.
    n_events : int
        How many events, 1 to 1000000, besides those of calibrations.
    n_telescopes : int
        How many telescopes, 1 to 99.
    seed : int
        What the random numbers are made of, 0 or more.
    run : int
        The number of the run, 1 to 2147483647: ctapipe's ``obs_id``.

    Raises
    ------
    ValueError
        If a number, or the ending of the path, is none of those that are possible.
    OSError
        If the file cannot be written.
    """
    if not 1 <= n_events <= MAX_EVENTS:
        raise ValueError(f"events: {n_events} is not one of 1 to {MAX_EVENTS}")
    if not 1 <= n_telescopes <= MAX_TELESCOPES:
        raise ValueError(f"telescopes: {n_telescopes} is not one of 1 to {MAX_TELESCOPES}")
    if seed < 0:
        raise ValueError(f"seed: {seed} is negative")
    if not 1 <= run <= MAX_RUN:
        raise ValueError(f"run: {run} is not one of 1 to {MAX_RUN}")
    with open_output(Path(path)) as file:
        for each in _objects(n_events, n_telescopes, seed, run):
            file.write(SYNC_MARKER + each)


def _objects(n_events: int, n_telescopes: int, seed: int, run: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    array = make_array(n_telescopes)
    min_telescopes = min(2, n_telescopes)
    simulation = simulate(array, n_events, min_telescopes, rng)

    command = f"toy_data --events={n_events} --telescopes={n_telescopes} --seed={seed} --run={run}"
    # ctapipe looks here whether there are true images.
    yield run_objects.history(
        shlex.join(["python", "-m", *command.split()]), ["store_photoelectrons 1"], START
    )
    yield run_objects.metadata(
        {
            "ARRAY_CONFIG_NAME": "ToyArray",
            "*LATITUDE": 28.76,
            "*LONGITUDE": -17.89,
            "ALTITUDE": OBSERVATION_HEIGHT.to_value(u.m),
        }
    )
    for telescope in array:
        yield run_objects.metadata(_metadata(telescope), telescope.id)
    n_all = n_events + 2 * N_CALIBRATION_EVENTS
    yield run_objects.run_header(
        run,
        START,
        n_all * EVENT_INTERVAL // 10**9 + 1,
        POINTING.az,
        POINTING.alt,
        array,
        min_telescopes,
    )
    yield run_objects.mc_run_header(
        time=START,
        n_showers=len(simulation.showers),
        observation_height=OBSERVATION_HEIGHT,
        core_range=CORE_RANGE,
        az=POINTING.az,
        alt=POINTING.alt,
        viewcone=VIEWCONE,
        energy_range=ENERGY_RANGE,
        spectral_index=SPECTRAL_INDEX,
        atmosphere_id=ATMOSPHERE_ID,
    )
    yield run_objects.atmosphere(ATMOSPHERE, ATMOSPHERE_ID, OBSERVATION_HEIGHT)
    for telescope in array:
        yield from telescope_objects.description(telescope)
    for telescope in array:
        yield from telescope_objects.calibration(telescope, START)

    n_before = 0
    for kind, event in draw_calibration_events(N_CALIBRATION_EVENTS, array, rng):
        yield event_objects.calibration_event(kind, _array_event(n_before + 1, n_before, event))
        n_before += 1
    for shower_id, (shower, event) in enumerate(draw_events(simulation, array, rng), start=1):
        # As sim_telarray does: a shower could be used 100 times.
        event_id = 100 * shower_id
        yield event_objects.mc_shower(shower_id, shower)
        yield event_objects.mc_event(event_id, shower_id, shower)
        if event.samples:
            light = event.photoelectrons
            sums = [len(light[each.id].times) if each.id in light else 0 for each in array]
            yield event_objects.photoelectrons(event_id, light)
            yield event_objects.photoelectron_sums(event_id, shower_id, sums)
            yield _array_event(event_id, n_before, event)
            n_before += 1
    showers = simulation.showers
    yield run_objects.histogram(
        SHOWER_HISTOGRAM,
        "Core distance / m, log10(energy / TeV) of all showers",
        np.hypot(showers["core_x"], showers["core_y"]).to_value(u.m),
        np.log10(showers["energy"].to_value(u.TeV)),
        np.linspace(0, CORE_RANGE.to_value(u.m), 41),
        np.linspace(-2, 2, 41),
    )


def _array_event(event_id: int, n_before: int, event: Event) -> bytes:
    seconds, nanoseconds = divmod(n_before * EVENT_INTERVAL, 10**9)
    return event_objects.array_event(
        event_id,
        (START + seconds, nanoseconds),
        POINTING.az,
        POINTING.alt,
        event.samples,
        event.trigger_times,
    )


def _metadata(telescope: Telescope) -> dict[str, str | int | float]:
    kind = telescope.type
    single_segmented_mirror = 0
    return {
        "OPTICS_CONFIG_NAME": kind.name,
        "CAMERA_CONFIG_NAME": kind.camera.name,
        "MIRROR_CLASS": single_segmented_mirror,
        "PARABOLIC_DISH": int(kind.parabolic),
        "FOCAL_Length": 100 * kind.focal_length,
        "DISH_SHAPE_Length": 100 * kind.focal_length,
    }
