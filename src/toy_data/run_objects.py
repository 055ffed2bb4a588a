"""The objects of sim_telarray at the beginning and the end of a file.

The layouts are those of hessioxxx (``io_hess.c``, ``io_history.c``, ``histogram.c``) and, for the
atmosphere, of the IACT extension of CORSIKA (``iact.c``); eventio documents them in its readers.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from ctapipe.atmosphere import ExponentialAtmosphereDensityProfile
from numpy.typing import NDArray

from .container import (
    dump_container,
    dump_object,
    floats,
    integers,
    shorts,
    string,
    unsigned_varint,
    varint_string,
)
from .telescopes import Telescope

__all__ = ["atmosphere", "histogram", "history", "mc_run_header", "metadata", "run_header"]

HISTOGRAMS = 100
HISTORY, COMMAND_LINE, CONFIGURATION, METADATA = 70, 71, 72, 75
ATMOSPHERIC_PROFILE = 1216
RUN_HEADER, MC_RUN_HEADER = 2000, 2001

ALL_TELESCOPES = -1


def history(command: str, configuration: Sequence[str], time: int) -> bytes:
    """By which command, and with which settings, the file was made.

    Parameters
    ----------
    command : str
        The command.
    configuration : sequence of str
        The settings, ``NAME VALUE``.
    time : int
        When, in seconds since 1970.
    """
    return dump_container(
        HISTORY,
        [
            dump_object(COMMAND_LINE, integers(time), string(command), version=1),
            *(
                dump_object(CONFIGURATION, integers(time), string(line), version=1)
                for line in configuration
            ),
        ],
        version=1,
    )


def metadata(values: Mapping[str, Any], telescope_id: int = ALL_TELESCOPES) -> bytes:
    """Names and numbers that have no place elsewhere.

    Parameters
    ----------
    values : mapping
        The value of each name.
    telescope_id : int
        The telescope that they are about.
    """
    texts = [varint_string(str(text)) for item in values.items() for text in item]
    return dump_object(METADATA, unsigned_varint(len(values)), *texts, id_=telescope_id)


def run_header(
    run: int,
    time: int,
    duration: int,
    az: u.Quantity,
    alt: u.Quantity,
    telescopes: Sequence[Telescope],
    min_telescopes: int,
) -> bytes:
    """The array, and where it points.

    Parameters
    ----------
    run : int
        The number of the run.
    time, duration : int
        When it began, in seconds since 1970, and how long it was, in seconds.
    az, alt : astropy.units.Quantity
        Where the telescopes point.
    telescopes : sequence of Telescope
        The array.
    min_telescopes : int
        How many have to trigger.
    """
    monte_carlo, without_star, not_reversed = -1, 0, 0
    return dump_object(
        RUN_HEADER,
        integers(run, time, monte_carlo, without_star, not_reversed),
        floats(az.to_value(u.rad), alt.to_value(u.rad)),
        # Offset in the field of view, and convergent pointing: depth and reference position.
        floats(0, 0, 0, 0, 0),
        integers(len(telescopes)),
        shorts([telescope.id for telescope in telescopes]),
        floats([telescope.position for telescope in telescopes]),
        integers(min_telescopes, duration),
        string("toy showers"),
        string("nobody"),
        id_=run,
        version=2,
    )


def mc_run_header(
    time: int,
    n_showers: int,
    observation_height: u.Quantity,
    core_range: u.Quantity,
    az: u.Quantity,
    alt: u.Quantity,
    viewcone: u.Quantity,
    energy_range: u.Quantity,
    spectral_index: float,
    atmosphere_id: int,
) -> bytes:
    """How the showers were simulated.

    Parameters
    ----------
    time : int
        When, in seconds since 1970.
    n_showers : int
        How many.
    observation_height : astropy.units.Quantity
        Over sea level.
    core_range : astropy.units.Quantity
        How far from the origin cores are at most.
    az, alt : astropy.units.Quantity
        The middle of the directions.
    viewcone : astropy.units.Quantity
        How far from it they are at most.
    energy_range : astropy.units.Quantity
        The smallest and the largest energy.
    spectral_index : float
        Of the power law of the energies.
    atmosphere_id : int
        Which atmosphere.
    """
    no_program, no_version = 0, 0
    each_used_once, circle, diffuse = 1, 1, 1
    magnetic_field, inclination, declination = 38.7, np.deg2rad(36.9), np.deg2rad(-4.9)
    from_above = 0
    no_options, no_model, no_detail = 0, 0, 0
    bunch_size, shortest_wavelength, longest_wavelength = 1, 300, 600
    return dump_object(
        MC_RUN_HEADER,
        integers(no_program, no_version, time),
        integers(no_program, no_version, time),
        floats(observation_height.to_value(u.m)),
        integers(n_showers, each_used_once, circle),
        floats(0, core_range.to_value(u.m)),
        floats([alt.to_value(u.rad)] * 2, [az.to_value(u.rad)] * 2),
        integers(diffuse),
        floats(0, viewcone.to_value(u.deg)),
        floats(energy_range.to_value(u.TeV), spectral_index),
        floats(magnetic_field, inclination, declination, from_above),
        integers(atmosphere_id, no_options, no_model, no_model),
        floats(bunch_size, shortest_wavelength, longest_wavelength),
        integers(no_detail, no_detail),
        version=4,
    )


def atmosphere(
    profile: ExponentialAtmosphereDensityProfile, atmosphere_id: int, observation_height: u.Quantity
) -> bytes:
    """The atmosphere as a table, and as the five layers of CORSIKA.

    Parameters
    ----------
    profile : ctapipe.atmosphere.ExponentialAtmosphereDensityProfile
        The atmosphere.
    atmosphere_id : int
        Its number.
    observation_height : astropy.units.Quantity
        Over sea level.
    """
    grammage, density = u.g / u.cm**2, u.g / u.cm**3
    height = np.linspace(0, 100, 101) * u.km
    # Of refraction, less 1; it goes with the density.
    refractivity = 2.8e-4 * np.exp(-height / profile.scale_height)
    table = np.stack(
        [
            height.to_value(u.km),
            profile(height).to_value(density),
            profile.integral(height).to_value(grammage),
            refractivity.to_value(u.one),
        ],
        axis=1,
    )

    # Depth a + b exp(-h / c) in four layers, and a - b h / c in the topmost, up to where that is 0.
    scale = profile.scale_height.to_value(u.cm)
    total = (profile.scale_height * profile.scale_density).to_value(grammage)
    edges = np.array([0, 4, 10, 40, 100]) * u.km.to(u.cm)
    remaining = total * np.exp(-edges[4] / scale)
    thinning = 1e9
    top = edges[4] + remaining * thinning
    layers = np.zeros((5, 5))
    layers[:, 0] = edges
    layers[:, 2] = total
    layers[:, 3] = scale
    layers[4, 1:4] = top / thinning, 1, thinning
    layers[:, 4] = 1 / layers[:, 3]
    return dump_object(
        ATMOSPHERIC_PROFILE,
        varint_string("exponential"),
        struct.pack("<d", observation_height.to_value(u.cm)),
        unsigned_varint(len(table)),
        table.astype("<f8").tobytes(),
        unsigned_varint(len(layers)),
        struct.pack("<d", top),
        layers.astype("<f8").tobytes(),
        id_=atmosphere_id,
        version=1,
    )


def histogram(
    id_: int,
    title: str,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
) -> bytes:
    """A two-dimensional histogram of points within its edges.

    Parameters
    ----------
    id_ : int
        Its number.
    title : str
        What is in it.
    x, y : ndarray
        The points.
    x_edges, y_edges : ndarray
        The edges of the bins, which are equally wide.
    """
    counts, _, _ = np.histogram2d(y, x, bins=(y_edges, x_edges))
    kind = b"F"
    return dump_object(
        HISTOGRAMS,
        shorts(1),
        kind,
        string(title),
        # Up to an even number of bytes.
        bytes(1 - len(title) % 2),
        integers(id_),
        shorts(len(x_edges) - 1, len(y_edges) - 1),
        integers(len(x), len(x)),
        *(_axis(*axis) for axis in ((x, x_edges), (y, y_edges))),
        # All, those inside, and those in the eight directions outside.
        floats(len(x), counts.sum(), np.zeros(8)),
        floats(counts),
        version=1,
    )


def _axis(values: NDArray[np.float64], edges: NDArray[np.float64]) -> bytes:
    n_below, n_above = 0, 0
    total = values.sum()
    return integers(n_below, n_above) + floats(edges[0], edges[-1], total, total)
