"""Telescopes with the same camera have one geometry; all others keep their own."""

import copy

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.coordinates import Angle
from ctapipe.coordinates import CameraFrame, TelescopeFrame
from ctapipe.instrument import PixelShape
from ctapipe.io import EventSource
from scipy.sparse import csr_array

from ctapipe.pipeline import run
from ctapipe.pipeline.algorithms._ctapipe.cameras import share_geometries
from ctapipe.pipeline.algorithms._ctapipe.processing import ProcessingStep
from ctapipe.pipeline.toy_data import write_toy_data

LST = 1
OTHER_LST = 3
N_TELESCOPES = 8


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file with two types of telescopes, in turn."""
    path = tmp_path_factory.mktemp("telescopes") / "telescopes.simtel.zst"
    write_toy_data(path, n_events=2, n_telescopes=N_TELESCOPES)
    return path


@pytest.fixture
def subarray(path):
    with EventSource(path) as source:
        return source.subarray


def geometries(subarray):
    return [telescope.camera.geometry for telescope in subarray.tel.values()]


class LookAtCameras(ProcessingStep):
    """Stage that notes how many geometries there are."""

    n_geometries = 0

    def run(self, event):
        cameras = geometries(self._tool.event_source.subarray)
        LookAtCameras.n_geometries = len({id(geometry) for geometry in cameras})
        return event


def test_one_per_kind_of_camera(subarray):
    before = geometries(subarray)
    share_geometries(subarray)
    after = geometries(subarray)
    assert len({id(geometry) for geometry in before}) == len(before) == N_TELESCOPES
    assert len({id(geometry) for geometry in after}) == 2
    for old, new in zip(before, after, strict=True):
        assert new.name == old.name
        assert new.frame.focal_length == old.frame.focal_length
        for name in ("pix_id", "pix_x", "pix_y", "pix_area", "pix_rotation", "cam_rotation"):
            assert np.array_equal(getattr(new, name), getattr(old, name))
        assert (new.neighbor_matrix_sparse != old.neighbor_matrix_sparse).nnz == 0


def test_transformed_once(subarray):
    original = copy.deepcopy(subarray.tel[LST].camera.geometry)
    share_geometries(subarray)
    transformed = [geometry.transform_to(TelescopeFrame()) for geometry in geometries(subarray)]
    assert len({id(geometry) for geometry in transformed}) == 2
    expected = original.transform_to(TelescopeFrame())
    for name in ("pix_x", "pix_y", "pix_area", "pix_rotation", "cam_rotation"):
        assert np.array_equal(getattr(transformed[0], name), getattr(expected, name))


def test_another_frame_is_another_geometry(subarray):
    share_geometries(subarray)
    geometry = subarray.tel[LST].camera.geometry
    turned = CameraFrame(focal_length=geometry.frame.focal_length, rotation=10 * u.deg)
    in_telescope, in_turned = geometry.transform_to(TelescopeFrame()), geometry.transform_to(turned)
    assert in_telescope is not in_turned
    assert in_telescope.frame == TelescopeFrame()
    assert in_turned.frame.rotation == 10 * u.deg


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("name", lambda name: name + "2"),
        ("unit", lambda unit: u.cm),
        ("pix_id", lambda pix_id: pix_id[::-1]),
        ("pix_x", lambda pix_x: pix_x * (1 + 1e-12)),
        ("pix_x", lambda pix_x: pix_x[:-1]),
        ("pix_y", lambda pix_y: pix_y * (1 + 1e-12)),
        ("pix_area", lambda pix_area: pix_area * (1 + 1e-12)),
        ("pix_type", lambda pix_type: PixelShape.CIRCLE),
        ("pix_rotation", lambda rotation: rotation + Angle(1e-9 * u.deg)),
        ("cam_rotation", lambda rotation: rotation + Angle(1e-9 * u.deg)),
        ("frame", lambda frame: CameraFrame(focal_length=frame.focal_length * (1 + 1e-12))),
        ("frame", lambda frame: None),
        ("frame", lambda frame: TelescopeFrame()),
        ("_neighbors", lambda neighbors: csr_array((1855, 1855), dtype=bool)),
        # Since ctapipe 0.31; and what no version has yet.
        ("grid_type", lambda grid_type: "another"),
        ("to_come", lambda nothing: 1),
    ],
)
def test_the_least_difference_keeps_them_apart(subarray, name, change):
    geometry = subarray.tel[OTHER_LST].camera.geometry
    setattr(geometry, name, change(getattr(geometry, name, None)))
    share_geometries(subarray)
    # Every second one.
    first, changed, *others = geometries(subarray)[::2]
    assert changed is not first
    assert all(other is first for other in others)


# It may have to compile what ctapipe has for Numba.
@pytest.mark.timeout(180)
def test_the_chain_shares_them(examples, path, tmp_path):
    config = yaml.safe_load((examples / "dl1.yaml").read_text())
    config["EventSource"] = {"input_url": str(path), "max_events": 1}
    config["DataWriter"]["output_path"] = str(tmp_path / "events.dl1.h5")
    config["Pipeline"]["stagers_conf"].insert(1, {"name": "LOOK", "class": LookAtCameras})
    for step in config["Pipeline"]["stagers_conf"]:
        step.pop("chained", None)
    run(config, executor="sequential")
    assert LookAtCameras.n_geometries == 2
