"""Cameras that are alike: what follows from their geometry is computed once for all of them.

Of a file of sim_telarray ctapipe has a geometry for each telescope, also where all have the same
camera, and each finds the neighbors of its pixels and moves them into the frame of the telescope.
In memory the neighbors are a matrix with a row and a column per pixel.
"""

from typing import Any

import numpy as np
from astropy.coordinates import BaseCoordinateFrame
from ctapipe.instrument import CameraGeometry, SubarrayDescription


class SharedGeometry(CameraGeometry):
    """The geometry of one or more cameras, which keeps what it was transformed to.

    Parameters
    ----------
    geometry : ctapipe.instrument.CameraGeometry
        One of them.
    """

    def __init__(self, geometry: CameraGeometry) -> None:
        self.__dict__.update(geometry.__dict__)
        self._transformed: list[CameraGeometry] = []

    def transform_to(self, frame: BaseCoordinateFrame) -> CameraGeometry:
        """The geometry in another frame, as `ctapipe.instrument.CameraGeometry` transforms it.

        Parameters
        ----------
        frame : astropy.coordinates.BaseCoordinateFrame
            The frame.

        Returns
        -------
        ctapipe.instrument.CameraGeometry
            The same object for all equal frames.
        """
        for transformed in self._transformed:
            if transformed.frame == frame:
                return transformed
        transformed = super().transform_to(frame)
        self._transformed.append(transformed)
        return transformed


def share_geometries(subarray: SubarrayDescription) -> None:
    """Let telescopes whose cameras have the same geometry have it in common.

    Parameters
    ----------
    subarray : ctapipe.instrument.SubarrayDescription
        The telescopes.
    """
    shared: list[tuple[CameraGeometry, SharedGeometry]] = []
    for telescope in subarray.tel.values():
        camera = telescope.camera
        found = [common for original, common in shared if _is_same(camera.geometry, original)]
        if not found:
            found = [SharedGeometry(camera.geometry)]
            shared.append((camera.geometry, found[0]))
        camera.geometry = found[0]


def _is_same(one: CameraGeometry, other: CameraGeometry) -> bool:
    # Theirs calls similar ones equal, and does not look at all they have. What a later version
    # adds is looked at too.
    attributes, others = vars(one), vars(other)
    return attributes.keys() == others.keys() and all(
        _is_equal(value, others[name]) for name, value in attributes.items()
    )


def _is_equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        has_same_unit = getattr(one, "unit", None) == getattr(other, "unit", None)
        return has_same_unit and np.array_equal(one, other)
    try:
        return (one == other) is True
    except Exception:
        # What cannot be compared counts as different.
        return False
