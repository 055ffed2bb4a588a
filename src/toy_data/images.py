"""Images of toy showers: what the geometry of shower and telescope makes of them.

A shower is a piece of a straight line, brightest at its maximum. Its image is a two-dimensional
Gaussian at the maximum, along the line.
"""

import astropy.units as u
import numpy as np
from astropy.constants import c
from astropy.coordinates import AltAz, SkyCoord
from astropy.table import QTable, Row
from ctapipe.coordinates import CameraFrame, TelescopeFrame
from ctapipe.image.toymodel import Gaussian, obtain_time_image
from numpy.typing import NDArray

from .showers import ATMOSPHERE, OBSERVATION_HEIGHT, POINTING
from .telescopes import Telescope

__all__ = ["arrival_times", "draw_photoelectrons", "project"]

# Between the maximum and where a shower is one standard deviation smaller, along its axis and
# across it.
LENGTH = 100 * u.g / u.cm**2
WIDTH = 12 * u.m

# Photoelectrons on the ground are the more the larger a shower, and as many within the radius of
# the light pool; outside, they become fewer.
PHOTOELECTRON_DENSITY = 15 / (u.m**2 * u.TeV)
LIGHT_POOL_RADIUS = 120 * u.m
LIGHT_POOL_EDGE = 50 * u.m

MIN_INTENSITY = 120


def project(showers: QTable, telescope: Telescope) -> QTable:
    """The images of showers in a telescope.

    Parameters
    ----------
    showers : astropy.table.QTable
        From `draw_showers`.
    telescope : Telescope
        Who sees them.

    Returns
    -------
    astropy.table.QTable
        A row for each shower: ``intensity``, the expected photoelectrons; ``x``, ``y``, ``length``,
        ``width``, ``psi`` in the camera; ``time`` at which the light of the maximum is at the
        telescope, since the core was hit; ``time_gradient`` along ``psi``; ``triggers``, whether
        the telescope takes part.
    """
    axis = _direction(showers["alt"], showers["az"])
    core = u.Quantity(
        [showers["core_x"], showers["core_y"], np.zeros(len(showers)) * u.m]
    ).T - u.Quantity(telescope.position, u.m)
    impact = np.linalg.norm(np.cross(core, axis), axis=-1)

    zenith = 90 * u.deg - showers["alt"]
    high, top, low = (
        ATMOSPHERE.height_from_slant_depth(showers["x_max"] + depth, zenith)
        for depth in (-LENGTH, 0 * LENGTH, LENGTH)
    )
    x, y, time, distance = {}, {}, {}, {}
    frame = CameraFrame(focal_length=telescope.type.effective_focal_length * u.m)
    for name, height in (("high", high), ("max", top), ("low", low)):
        along_axis = (height - OBSERVATION_HEIGHT) / np.sin(showers["alt"])
        point = core + along_axis[:, np.newaxis] * axis
        distance[name] = np.linalg.norm(point, axis=-1)
        seen = SkyCoord(
            alt=np.arcsin(point[:, 2] / distance[name]),
            az=np.arctan2(-point[:, 1], point[:, 0]),
            frame=AltAz(),
        )
        place = seen.transform_to(TelescopeFrame(telescope_pointing=POINTING)).transform_to(frame)
        x[name], y[name] = place.x, place.y
        time[name] = ((distance[name] - along_axis) / c).to(u.ns)

    dx, dy = x["low"] - x["high"], y["low"] - y["high"]
    # A shower that falls onto the telescope has a round image, which has no direction.
    extent = np.maximum(np.hypot(dx, dy), 1 * u.mm)
    width = telescope.type.effective_focal_length * u.m * (WIDTH / distance["max"]).to_value(u.one)
    density = PHOTOELECTRON_DENSITY * np.exp(
        -np.maximum(impact - LIGHT_POOL_RADIUS, 0 * u.m) / LIGHT_POOL_EDGE
    )
    intensity = (showers["energy"] * density * telescope.type.mirror_area * u.m**2).to_value(u.one)
    inside = np.hypot(x["max"], y["max"]) < 0.9 * telescope.type.camera.radius * u.m
    return QTable(
        {
            "intensity": intensity,
            "x": x["max"].to(u.m),
            "y": y["max"].to(u.m),
            "length": np.hypot(extent / 2, width).to(u.m),
            "width": width.to(u.m),
            "psi": np.arctan2(dy, dx).to(u.rad),
            "time": time["max"],
            "time_gradient": (time["low"] - time["high"]) / extent.to(u.m),
            "triggers": inside & (intensity > MIN_INTENSITY),
        }
    )


def draw_photoelectrons(
    image: Row, telescope: Telescope, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Draw the number of photoelectrons in each pixel.

    Parameters
    ----------
    image : astropy.table.Row
        A row of what `project` returns.
    telescope : Telescope
        Where it is seen.
    rng : numpy.random.Generator
        Where the random numbers come from.
    """
    model = Gaussian(image["x"], image["y"], image["length"], image["width"], image["psi"])
    expected = model.expected_signal(telescope.type.camera.geometry, image["intensity"])
    return rng.poisson(expected).astype(np.int32)


def arrival_times(image: Row, telescope: Telescope) -> NDArray[np.float64]:
    """When the light of each pixel is at the telescope, since that of the maximum, in ns.

    Parameters
    ----------
    image : astropy.table.Row
        A row of what `project` returns.
    telescope : Telescope
        Where it is seen.
    """
    geometry = telescope.type.camera.geometry
    return obtain_time_image(
        geometry.pix_x,
        geometry.pix_y,
        image["x"],
        image["y"],
        image["psi"],
        image["time_gradient"],
        0 * u.ns,
    )


def _direction(alt: u.Quantity, az: u.Quantity) -> NDArray[np.float64]:
    """To the north, to the west and up, of length 1."""
    alt, az = alt.to_value(u.rad), az.to_value(u.rad)
    return np.stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)], axis=-1)
