"""The objects of sim_telarray that an event is made of.

The layouts are those of hessioxxx (``io_hess.c``) and, for the photoelectrons, of the IACT
extension of CORSIKA (``iact.c``); eventio documents them in its readers.
"""

from collections.abc import Mapping, Sequence

import astropy.units as u
import numpy as np
from astropy.table import Row
from numpy.typing import NDArray

from .container import (
    dump_container,
    dump_differences,
    dump_object,
    floats,
    integers,
    shorts,
    unsigned_varint,
)
from .waveforms import PhotoElectrons

__all__ = [
    "array_event",
    "calibration_event",
    "mc_event",
    "mc_shower",
    "photoelectron_sums",
    "photoelectrons",
]

TELESCOPE_DATA, PHOTOELECTRONS = 1204, 1208
ARRAY_EVENT, TRIGGER, TELESCOPE_HEADER, ADC_SAMPLES = 2010, 2009, 2011, 2013
MC_SHOWER, MC_EVENT, PHOTOELECTRON_SUM, CALIBRATION_EVENT = 2020, 2021, 2026, 2028
# The number of the telescope is added to these.
TRACKING_POSITION, TELESCOPE_EVENT = 2100, 2200

GAMMA = 0
NOT_CORRECTED = 0x100
ANALOG_MAJORITY = 1


def mc_shower(shower_id: int, shower: Row) -> bytes:
    """What was simulated.

    Parameters
    ----------
    shower_id : int
        Its number.
    shower : astropy.table.Row
        A row of what `draw_showers` returns.
    """
    depth_start, electrons_max, cherenkov_max = 0, 0, 0
    n_profiles = 0
    return dump_object(
        MC_SHOWER,
        integers(GAMMA),
        floats(shower["energy"].to_value(u.TeV)),
        floats(shower["az"].to_value(u.rad), shower["alt"].to_value(u.rad)),
        floats(depth_start, shower["h_first_int"].to_value(u.m)),
        floats(shower["x_max"].to_value(u.g / u.cm**2), shower["h_max"].to_value(u.m)),
        floats(electrons_max, cherenkov_max),
        shorts(n_profiles),
        id_=shower_id,
        version=1,
    )


def mc_event(event_id: int, shower_id: int, shower: Row) -> bytes:
    """Where a shower fell.

    Parameters
    ----------
    event_id, shower_id : int
        Their numbers.
    shower : astropy.table.Row
        A row of what `draw_showers` returns.
    """
    return dump_object(
        MC_EVENT,
        integers(shower_id),
        floats(shower["core_x"].to_value(u.m), shower["core_y"].to_value(u.m)),
        id_=event_id,
        version=1,
    )


def photoelectrons(event_id: int, of_telescopes: Mapping[int, PhotoElectrons]) -> bytes:
    """The photoelectrons of an event.

    Parameters
    ----------
    event_id : int
        Its number.
    of_telescopes : mapping
        The photoelectrons in each telescope, by its number.
    """
    return dump_container(
        TELESCOPE_DATA,
        (_photoelectrons(telescope_id, each) for telescope_id, each in of_telescopes.items()),
        id_=event_id,
    )


def _photoelectrons(telescope_id: int, given: PhotoElectrons) -> bytes:
    """For each pixel that has some: which it is, how many, and their times."""
    hit = np.flatnonzero(given.image)
    n_in_pixel = given.image[hit]
    # In units of two bytes: the pixel is one, a number and a time are two.
    begin = np.cumsum(3 + 2 * n_in_pixel) - (3 + 2 * n_in_pixel)
    n_before = np.cumsum(n_in_pixel) - n_in_pixel
    words = np.empty(3 * len(hit) + 2 * len(given.times), dtype="<u2")
    words[begin] = hit
    words[begin[:, np.newaxis] + [1, 2]] = n_in_pixel.astype("<i4").view("<u2").reshape(-1, 2)
    place = np.repeat(begin + 3 - 2 * n_before, n_in_pixel) + 2 * np.arange(len(given.times))
    words[place[:, np.newaxis] + [0, 1]] = given.times.astype("<f4").view("<u2").reshape(-1, 2)
    return dump_object(
        PHOTOELECTRONS,
        integers(len(given.times), len(given.image), len(hit)),
        words.tobytes(),
        # Here telescopes are counted from 0.
        id_=telescope_id - 1,
        version=1,
    )


def photoelectron_sums(event_id: int, shower_id: int, sums: Sequence[int]) -> bytes:
    """How many photoelectrons there are.

    Parameters
    ----------
    event_id, shower_id : int
        Their numbers.
    sums : sequence of int
        How many in each telescope of the array.
    """
    no_pixels = np.zeros(len(sums))
    return dump_object(
        PHOTOELECTRON_SUM, integers(shower_id, len(sums), sums, no_pixels), id_=event_id
    )


def array_event(
    event_id: int,
    time: tuple[int, int],
    az: u.Quantity,
    alt: u.Quantity,
    samples: Mapping[int, NDArray[np.uint16]],
    trigger_times: Sequence[float],
) -> bytes:
    """What the telescopes saw.

    Parameters
    ----------
    event_id : int
        Its number.
    time : tuple of int
        When the array triggered, in seconds since 1970 and nanoseconds.
    az, alt : astropy.units.Quantity
        Where the telescopes point.
    samples : mapping
        The ADC counts of each telescope that triggered, by its number.
    trigger_times : sequence of float
        When these triggered, in ns after the array.
    """
    return dump_container(
        ARRAY_EVENT,
        [
            _trigger(event_id, time, list(samples), trigger_times),
            *(_telescope_event(event_id, time, *each) for each in samples.items()),
            *(_tracking_position(telescope_id, az, alt) for telescope_id in samples),
        ],
        id_=event_id,
    )


def calibration_event(kind: int, event: bytes) -> bytes:
    """An event of a calibration.

    Parameters
    ----------
    kind : int
        sim_telarray's number for it: 1 has no light, 3 has the light of a flasher.
    event : bytes
        The array event.
    """
    return dump_container(CALIBRATION_EVENT, [event], id_=kind)


def _trigger(
    event_id: int, time: tuple[int, int], telescope_ids: list[int], times: Sequence[float]
) -> bytes:
    pattern = sum(1 << telescope_id - 1 for telescope_id in telescope_ids if telescope_id <= 31)
    n_telescopes = len(telescope_ids)
    return dump_object(
        TRIGGER,
        integers(*time, *time),
        # Of the telescopes that triggered, and of those with data, which are the same.
        np.array([pattern, pattern], dtype="<u4").tobytes(),
        shorts(n_telescopes, telescope_ids),
        floats(times),
        shorts(n_telescopes, telescope_ids),
        unsigned_varint(ANALOG_MAJORITY) * n_telescopes,
        id_=event_id,
        version=2,
    )


def _telescope_event(
    event_id: int, time: tuple[int, int], telescope_id: int, samples: NDArray[np.uint16]
) -> bytes:
    source = 0
    n_gains, n_pixels, n_samples = samples.shape
    return dump_container(
        TELESCOPE_EVENT + telescope_id,
        [
            dump_object(
                TELESCOPE_HEADER,
                integers(event_id, event_id, *time, *time),
                shorts(source),
                id_=telescope_id,
            ),
            dump_object(
                ADC_SAMPLES,
                integers(n_pixels),
                shorts(n_gains, n_samples),
                dump_differences(samples.reshape(-1, n_samples)),
                id_=telescope_id << 12,
                version=3,
            ),
        ],
        id_=event_id,
        version=1,
    )


def _tracking_position(telescope_id: int, az: u.Quantity, alt: u.Quantity) -> bytes:
    return dump_object(
        TRACKING_POSITION + telescope_id,
        floats(az.to_value(u.rad), alt.to_value(u.rad)),
        id_=telescope_id | NOT_CORRECTED,
    )
