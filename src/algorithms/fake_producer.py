"""A producer of toy shower images, for trying out a pipeline without data."""

from collections.abc import Iterator
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from ctapipe.containers import CameraHillasParametersContainer
from ctapipe.core import Component
from ctapipe.core.traits import Float, Int, Unicode
from ctapipe.image.toymodel import Gaussian
from ctapipe.instrument import CameraGeometry


@dataclass(frozen=True, eq=False)
class ToyEvent:
    """One toy shower image, and what has been made of it so far.

    Parameters
    ----------
    event_id : int
        Counts from 1.
    label : str
        What the producer was told to call its events.
    image : numpy.ndarray
        Charge per pixel in p.e., shape (n_pixels,), for the camera of `toy_camera`.
    mask : numpy.ndarray, optional
        The pixels that survive the cleaning, bool, shape (n_pixels,). None before the cleaning.
    hillas : ctapipe.containers.CameraHillasParametersContainer, optional
        The Hillas parameters, in m and deg. None before the parametrization.
    """

    event_id: int
    label: str
    image: np.ndarray
    mask: np.ndarray | None = None
    hillas: CameraHillasParametersContainer | None = None


def toy_camera() -> CameraGeometry:
    """Make the camera of the toy images: 40 x 40 square pixels on 1 m x 1 m.

    It is the same whenever it is made, so events need not carry it.
    """
    return CameraGeometry.make_rectangular(npix_x=40, npix_y=40)


class FakeProducer(Component):
    """Producer of toy shower images.

    It sends a `ToyEvent` per image. The images are drawn with `ctapipe.image.toymodel`; the same
    ``seed`` gives the same images.
    """

    filename = Unicode(
        "toy", help="Label that travels with the events; no file of that name is read"
    ).tag(config=True)
    max_events = Int(20, min=0, help="Number of events to produce").tag(config=True)
    seed = Int(0, min=0, help="Seed of the random numbers").tag(config=True)
    nsb_level_pe = Float(
        5.0, min=0, help="Mean charge from the night sky background per pixel, in p.e."
    ).tag(config=True)

    @property
    def n_messages(self) -> int:
        """How many events it sends."""
        return self.max_events

    def run(self) -> Iterator[ToyEvent]:
        """Yield the events.

        Yields
        ------
        ToyEvent
            With ``mask`` and ``hillas`` None.
        """
        camera = toy_camera()
        rng = np.random.default_rng(self.seed)
        for event_id in range(1, self.max_events + 1):
            shower = Gaussian(
                x=rng.uniform(-0.3, 0.3) * u.m,
                y=rng.uniform(-0.3, 0.3) * u.m,
                length=rng.uniform(0.05, 0.1) * u.m,
                width=rng.uniform(0.02, 0.04) * u.m,
                psi=rng.uniform(-90, 90) * u.deg,
            )
            intensity = 10 ** rng.uniform(2.5, 4)
            image, _, _ = shower.generate_image(
                camera, intensity=intensity, nsb_level_pe=self.nsb_level_pe, rng=rng
            )
            yield ToyEvent(event_id=event_id, label=self.filename, image=image)
