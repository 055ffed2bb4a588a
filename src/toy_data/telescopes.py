"""The telescopes of toy data: two types, whose cameras are made of regular grids."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import astropy.units as u
import numpy as np
from ctapipe.coordinates import CameraFrame
from ctapipe.instrument import CameraGeometry
from numpy.typing import NDArray

__all__ = ["MAX_TELESCOPES", "Camera", "Telescope", "TelescopeType", "make_array"]

# Types of objects hold the number of the telescope, in two digits.
MAX_TELESCOPES = 99
SPACING = 100.0

# sim_telarray's numbers for the shapes of pixels.
HEXAGON, SQUARE = 1, 2


@dataclass(frozen=True, eq=False)
class Camera:
    """The pixels of a camera and how they are read out.

    Parameters
    ----------
    name : str
        Its name.
    pixel_shape : int
        sim_telarray's number for the shape of the pixels: 1 is a hexagon, two of whose corners
        lie along y, 2 a square.
    pixel_x, pixel_y : ndarray
        Where the pixels are, in m.
    pixel_size : float
        Between opposite sides of a pixel, in m.
    pixel_area : float
        In m².
    sample_width : float
        In ns.
    n_samples : int
        Samples of a waveform.
    pulse_width : float
        Standard deviation of the pulse of a photoelectron, which is a Gaussian, in ns.
    pedestal : ndarray
        ADC counts without light, for each gain.
    pulse_height : ndarray
        ADC counts at the peak of a photoelectron's pulse, for each gain.
    noise : ndarray
        Standard deviation of a sample without light in ADC counts, for each gain.
    max_count : int
        The largest ADC count.
    """

    name: str
    pixel_shape: int
    pixel_x: NDArray[np.float64]
    pixel_y: NDArray[np.float64]
    pixel_size: float
    pixel_area: float
    sample_width: float
    n_samples: int
    pulse_width: float
    pedestal: NDArray[np.float64]
    pulse_height: NDArray[np.float64]
    noise: NDArray[np.float64]
    max_count: int

    @property
    def n_pixels(self) -> int:
        """The number of pixels."""
        return len(self.pixel_x)

    @property
    def n_gains(self) -> int:
        """The number of gain channels."""
        return len(self.pedestal)

    @property
    def radius(self) -> float:
        """The radius of a circle in the camera, in m."""
        return float(np.max(self.pixel_y)) + self.pixel_size / 2

    @property
    def readout_duration(self) -> float:
        """The duration of a waveform in ns."""
        return self.n_samples * self.sample_width

    @property
    def photoelectrons_per_count(self) -> NDArray[np.float64]:
        """What makes the sum of a waveform in ADC counts photoelectrons, for each gain."""
        samples_per_pulse = np.sqrt(2 * np.pi) * self.pulse_width / self.sample_width
        return 1 / (self.pulse_height * samples_per_pulse)

    def pulse(self, time: NDArray[Any]) -> NDArray[Any]:
        """The pulse of a photoelectron, of height 1.

        Parameters
        ----------
        time : ndarray
            Since its peak, in ns.
        """
        return np.exp(-((time / self.pulse_width) ** 2) / 2)

    @cached_property
    def geometry(self) -> CameraGeometry:
        """The pixels, as ctapipe has them; what ctapipe reads has also a focal length."""
        pixel_type, rotation = CameraGeometry.simtel_shape_to_type(self.pixel_shape)
        return CameraGeometry(
            self.name,
            pix_id=np.arange(self.n_pixels),
            pix_x=self.pixel_x * u.m,
            pix_y=self.pixel_y * u.m,
            pix_area=np.full(self.n_pixels, self.pixel_area) * u.m**2,
            pix_type=pixel_type,
            pix_rotation=rotation,
            frame=CameraFrame(),
        )


@dataclass(frozen=True, eq=False)
class TelescopeType:
    """A type of telescope.

    Parameters
    ----------
    name : str
        Its name.
    camera : Camera
        Its camera.
    mirror_area : float
        In m².
    n_mirror_tiles : int
        Tiles of the mirror.
    focal_length, effective_focal_length : float
        In m. The effective one says where in the camera an image is.
    parabolic : bool
        Whether the dish is a paraboloid; otherwise it is that of Davies and Cotton.
    height : float
        Of the point where its axes meet, over the ground, in m.
    """

    name: str
    camera: Camera
    mirror_area: float
    n_mirror_tiles: int
    focal_length: float
    effective_focal_length: float
    parabolic: bool
    height: float


@dataclass(frozen=True, eq=False)
class Telescope:
    """A telescope of the array.

    Parameters
    ----------
    id : int
        Its number, from 1.
    type : TelescopeType
        What it is.
    position : ndarray
        To the north, to the west and up, in m.
    """

    id: int
    type: TelescopeType
    position: NDArray[np.float64]


def make_array(n_telescopes: int) -> list[Telescope]:
    """Telescopes on a square grid around the origin: large, medium, large, medium ...

    Parameters
    ----------
    n_telescopes : int
        How many.
    """
    types = _large(), _medium()
    side = int(np.ceil(np.sqrt(n_telescopes)))
    row, column = np.divmod(np.arange(n_telescopes), side)
    x, y = ((place - place.mean()) * SPACING for place in (row, column))
    return [
        Telescope(i + 1, (kind := types[i % 2]), np.array([x[i], y[i], kind.height]))
        for i in range(n_telescopes)
    ]


def _large() -> TelescopeType:
    n_pixels, pixel_size = 1855, 0.05
    x, y = _hexagonal_grid(n_pixels, pixel_size)
    camera = Camera(
        name="LSTCam",
        pixel_shape=HEXAGON,
        pixel_x=x,
        pixel_y=y,
        pixel_size=pixel_size,
        pixel_area=pixel_size**2 * np.sqrt(3) / 2,
        sample_width=1.0,
        n_samples=25,
        pulse_width=1.3,
        pedestal=np.array([400.0, 400.0]),
        pulse_height=np.array([10.0, 0.6]),
        noise=np.array([0.4, 0.15]),
        max_count=(1 << 12) - 1,
    )
    return TelescopeType(
        name="LST",
        camera=camera,
        mirror_area=387.0,
        n_mirror_tiles=198,
        focal_length=28.0,
        effective_focal_length=29.3,
        parabolic=True,
        height=16.0,
    )


def _medium() -> TelescopeType:
    side, pixel_size = 30, 0.045
    place = (np.arange(side) - (side - 1) / 2) * pixel_size
    x, y = (each.ravel() for each in np.meshgrid(place, place))
    camera = Camera(
        # The pattern MST*NectarCam of the configurations of ctapipe-quickstart includes it.
        name="ToyNectarCam",
        pixel_shape=SQUARE,
        pixel_x=x,
        pixel_y=y,
        pixel_size=pixel_size,
        pixel_area=pixel_size**2,
        sample_width=2.0,
        n_samples=20,
        pulse_width=2.5,
        pedestal=np.array([300.0]),
        pulse_height=np.array([4.0]),
        noise=np.array([0.4]),
        max_count=(1 << 14) - 1,
    )
    return TelescopeType(
        name="ToyMST",
        camera=camera,
        mirror_area=100.0,
        n_mirror_tiles=84,
        focal_length=16.0,
        effective_focal_length=16.5,
        parabolic=False,
        height=9.0,
    )


def _hexagonal_grid(
    n_pixels: int, pixel_size: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a hexagonal grid that are next to its centre, with rows along x."""
    index = np.arange(-int(np.sqrt(n_pixels)), int(np.sqrt(n_pixels)) + 1)
    along, row = (each.ravel() for each in np.meshgrid(index, index))
    # In units of the distance, so that equal distances are equal numbers.
    distance_squared = along**2 + along * row + row**2
    nearest = np.lexsort((along, row, distance_squared))[:n_pixels]
    along, row = along[nearest], row[nearest]
    return (along + row / 2) * pixel_size, row * np.sqrt(3) / 2 * pixel_size
