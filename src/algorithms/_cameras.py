"""Cameras that are alike: what follows from their geometry is computed once for all of them.

Of a file of sim_telarray ctapipe has a geometry for each telescope, also where all have the same
camera, and each finds the neighbors of its pixels and moves them into the frame of the telescope.
In memory the neighbors are a matrix with a row and a column per pixel.
"""

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
    shared: list[SharedGeometry] = []
    for telescope in subarray.tel.values():
        camera = telescope.camera
        for geometry in shared:
            if _is_same(camera.geometry, geometry):
                break
        else:
            geometry = SharedGeometry(camera.geometry)
            shared.append(geometry)
        camera.geometry = geometry


def _is_same(one: CameraGeometry, other: CameraGeometry) -> bool:
    # Theirs calls similar ones equal, and does not look at the focal length.
    names = ["name", "unit", "pix_type", "pix_rotation", "cam_rotation", "frame"]
    return (
        all(getattr(one, name) == getattr(other, name) for name in names)
        and one._neighbors is other._neighbors
        and all(
            np.array_equal(getattr(one, name), getattr(other, name))
            for name in ("pix_id", "pix_x", "pix_y", "pix_area")
        )
    )
