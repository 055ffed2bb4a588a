"""A stage that cleans and parametrizes toy shower images."""

from dataclasses import replace
from typing import Any

import numpy as np
from ctapipe.containers import CameraHillasParametersContainer
from ctapipe.core import Component
from ctapipe.core.traits import Float
from ctapipe.image import hillas_parameters, tailcuts_clean

from .fake_producer import ToyEvent, toy_camera


class FakeProcess(Component):
    """Stage that takes a toy event one step further: cleaning first, then Hillas parameters.

    Which of the two is due is seen from the event, so two stages of this class one after the other
    make a chain of analysis.
    """

    picture_threshold_pe = Float(
        10.0, min=0, help="Tail-cuts: charge above which a pixel belongs to the picture, in p.e."
    ).tag(config=True)
    boundary_threshold_pe = Float(
        5.0, min=0, help="Tail-cuts: charge above which a neighbor of the picture is kept, in p.e."
    ).tag(config=True)

    def init(self) -> None:
        """Make the camera that the images belong to."""
        self._camera = toy_camera()

    def run(self, message: Any) -> Any:
        """Clean or parametrize one event.

        Parameters
        ----------
        message : ToyEvent or any
            An event, or anything else.

        Returns
        -------
        ToyEvent or any
            The event with its ``mask``, if it had none, else with its ``hillas``. What is complete
            already or is no `ToyEvent` is returned unchanged.
        """
        if not isinstance(message, ToyEvent):
            return message
        if message.mask is None:
            return replace(message, mask=self._clean(message.image))
        if message.hillas is None:
            return replace(message, hillas=self._parametrize(message.image, message.mask))
        return message

    def _clean(self, image: np.ndarray) -> np.ndarray:
        return tailcuts_clean(
            self._camera,
            image,
            picture_thresh=self.picture_threshold_pe,
            boundary_thresh=self.boundary_threshold_pe,
        )

    def _parametrize(self, image: np.ndarray, mask: np.ndarray) -> CameraHillasParametersContainer:
        # Fewer than three pixels, or pixels on one line, span no ellipse. As in ctapipe, all
        # parameters of such an image are NaN.
        if np.count_nonzero(mask) < 3:
            return CameraHillasParametersContainer()
        hillas = hillas_parameters(self._camera[mask], image[mask])
        return hillas if hillas.width > 0 else CameraHillasParametersContainer()
