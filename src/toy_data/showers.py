"""Toy showers of gamma rays: where they come from, where they go, where they are largest."""

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from astropy.table import QTable
from ctapipe.atmosphere import ExponentialAtmosphereDensityProfile

__all__ = [
    "ATMOSPHERE",
    "CORE_RANGE",
    "ENERGY_RANGE",
    "OBSERVATION_HEIGHT",
    "POINTING",
    "SPECTRAL_INDEX",
    "VIEWCONE",
    "draw_showers",
]

POINTING = SkyCoord(alt=70 * u.deg, az=180 * u.deg, frame=AltAz())
ENERGY_RANGE = u.Quantity([0.1, 10], u.TeV)
SPECTRAL_INDEX = -2.0
VIEWCONE = 1 * u.deg
CORE_RANGE = 200 * u.m
OBSERVATION_HEIGHT = 2150 * u.m
ATMOSPHERE = ExponentialAtmosphereDensityProfile()

GRAMMAGE = u.g / u.cm**2
# Of air, from the Review of Particle Physics.
RADIATION_LENGTH = 37 * GRAMMAGE
CRITICAL_ENERGY = 85 * u.MeV
# The rare deep ones would reach the ground.
DEEPEST_FIRST_INTERACTION = 150 * GRAMMAGE


def draw_showers(n_showers: int, rng: np.random.Generator) -> QTable:
    """Draw showers at random.

    The depth of the maximum is that of the simple model of B. Rossi: a radiation length for each
    factor e between the energy and the critical energy, from the first interaction on.

    Parameters
    ----------
    n_showers : int
        How many.
    rng : numpy.random.Generator
        Where the random numbers come from.

    Returns
    -------
    astropy.table.QTable
        A row for each: ``energy``; ``alt``, ``az`` of its origin; ``core_x``, ``core_y`` on the
        ground; ``h_first_int``, ``h_max`` over sea level; ``x_max``, its maximum as slant depth.
    """
    direction = POINTING.directional_offset_by(
        rng.uniform(0, 360, n_showers) * u.deg,
        VIEWCONE * np.sqrt(rng.uniform(0, 1, n_showers)),
    )
    core_distance = CORE_RANGE * np.sqrt(rng.uniform(0, 1, n_showers))
    core_angle = rng.uniform(0, 2 * np.pi, n_showers)
    # With this spectral index the inverse of the energy is uniform.
    largest, smallest = 1 / ENERGY_RANGE.to_value(u.TeV)
    energy = 1 / rng.uniform(smallest, largest, n_showers) * u.TeV
    # The mean free path of a photon is 9/7 of a radiation length.
    first_interaction = np.minimum(
        rng.exponential(9 / 7, n_showers) * RADIATION_LENGTH, DEEPEST_FIRST_INTERACTION
    )
    x_max = first_interaction + RADIATION_LENGTH * np.log(energy / CRITICAL_ENERGY)
    zenith = 90 * u.deg - direction.alt
    return QTable(
        {
            "energy": energy,
            "alt": direction.alt,
            "az": direction.az,
            "core_x": core_distance * np.cos(core_angle),
            "core_y": core_distance * np.sin(core_angle),
            "h_first_int": ATMOSPHERE.height_from_slant_depth(first_interaction, zenith),
            "h_max": ATMOSPHERE.height_from_slant_depth(x_max, zenith),
            "x_max": x_max,
        }
    )
