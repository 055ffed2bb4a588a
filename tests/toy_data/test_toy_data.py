"""Files of toy data: what ctapipe reads is what was generated."""

import warnings
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import angular_separation
from ctapipe.containers import EventType
from ctapipe.core import Provenance, run_tool
from ctapipe.image import hillas_parameters
from ctapipe.io import EventSource, TableLoader, read_table
from ctapipe.tools.process import ProcessorTool
from eventio import SimTelFile

from ctapipe.pipeline.toy_data import write_toy_data
from ctapipe.pipeline.toy_data.events import draw_calibration_events, draw_events, simulate
from ctapipe.pipeline.toy_data.telescopes import make_array

N_EVENTS, N_TELESCOPES, SEED = 40, 4, 1
N_CALIBRATION_EVENTS = 6
# Of 4-byte floats.
PRECISION = 1e-6


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of toy data."""
    path = tmp_path_factory.mktemp("toy") / "toy.simtel.zst"
    write_toy_data(path, N_EVENTS, N_TELESCOPES, SEED)
    return path


@pytest.fixture(scope="module")
def generated():
    """What is in it."""
    rng = np.random.default_rng(SEED)
    array = make_array(N_TELESCOPES)
    simulation = simulate(array, N_EVENTS, 2, rng)
    return SimpleNamespace(
        array=array,
        simulation=simulation,
        calibrations=list(draw_calibration_events(3, array, rng)),
        events=list(draw_events(simulation, array, rng)),
    )


@pytest.fixture(scope="module")
def read(file):
    """What ctapipe reads; without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with EventSource(file, skip_calibration_events=False) as source:
            events = list(source)
            return SimpleNamespace(
                subarray=source.subarray,
                atmosphere=source.atmosphere_density_profile,
                simulation=next(iter(source.simulation_config.values())),
                observation=next(iter(source.observation_blocks.values())),
                distribution=next(iter(source.simulated_shower_distributions.values())),
                calibrations=events[:N_CALIBRATION_EVENTS],
                events=events[N_CALIBRATION_EVENTS:],
            )


def seen_of(generated):
    """The showers that were seen, with their number and index."""
    return [
        (index + 1, index, shower, event)
        for index, (shower, event) in enumerate(generated.events)
        if event.samples
    ]


def test_there_are_as_many_events_as_asked_for(read, generated):
    assert len(read.events) == len(seen_of(generated)) == N_EVENTS
    assert len(generated.events) > N_EVENTS, "there should also be showers that are not seen"
    assert [e.index.event_id for e in read.events] == [100 * n for n, *_ in seen_of(generated)]
    assert len({e.index.event_id for e in read.events + read.calibrations}) == N_EVENTS + 6


def test_showers(read, generated):
    for event, (_, _, shower, _) in zip(read.events, seen_of(generated), strict=True):
        for name in ("energy", "alt", "az", "core_x", "core_y", "h_first_int", "x_max"):
            value = event.simulation.shower[name]
            assert u.isclose(value, shower[name], rtol=PRECISION), name
        assert event.simulation.shower.shower_primary_id == 0


def test_waveforms_and_true_images(read, generated):
    for event, (_, _, _, truth) in zip(read.events, seen_of(generated), strict=True):
        assert event.trigger.event_type is EventType.SUBARRAY
        assert list(event.trigger.tels_with_trigger) == list(truth.samples)
        assert set(event.r0.tel) == set(event.simulation.tel) == set(truth.samples)
        for telescope_id, samples in truth.samples.items():
            np.testing.assert_array_equal(event.r0.tel[telescope_id].waveform, samples)
            simulated = event.simulation.tel[telescope_id]
            image = truth.photoelectrons[telescope_id].image
            np.testing.assert_array_equal(simulated.true_image, image)
            assert simulated.true_image_sum == image.sum()
    assert {len(event.r0.tel) for event in read.events} == {2, 3, 4}


def test_times_of_photoelectrons(file, generated):
    with SimTelFile(file, skip_calibration=True) as source:
        for event, (_, _, _, truth) in zip(source, seen_of(generated), strict=True):
            for telescope_id, given in truth.photoelectrons.items():
                stored = event["photoelectrons"][telescope_id - 1]
                np.testing.assert_array_equal(stored["time"], given.times)
                expected = np.repeat(np.arange(len(given.image)), given.image)
                np.testing.assert_array_equal(stored["pixel_id"], expected)


def test_triggers_and_pointing(read, generated):
    previous = None
    for event, (_, index, _, truth) in zip(read.events, seen_of(generated), strict=True):
        assert previous is None or (event.trigger.time - previous).to_value("ms") == (
            pytest.approx(10, abs=1e-3)
        )
        previous = event.trigger.time
        arrival = [
            generated.simulation.images[telescope_id - 1]["time"][index].to_value("ns")
            for telescope_id in truth.samples
        ]
        for telescope_id, expected in zip(truth.samples, arrival, strict=True):
            after = (event.trigger.tel[telescope_id].time - event.trigger.time).to_value("ns")
            assert after == pytest.approx(expected - min(arrival), abs=0.1)
            pointing = event.monitoring.tel[telescope_id].pointing
            assert pointing.altitude.to_value("deg") == pytest.approx(70, rel=PRECISION)
            assert pointing.azimuth.to_value("deg") == pytest.approx(180, rel=PRECISION)


def test_impact_distances(read, generated):
    for event, (_, _, shower, _) in zip(read.events, seen_of(generated), strict=True):
        alt, az = shower["alt"].to_value("rad"), shower["az"].to_value("rad")
        axis = [np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)]
        core = [shower["core_x"].to_value("m"), shower["core_y"].to_value("m"), 0]
        for telescope_id, simulated in event.simulation.tel.items():
            position = generated.array[telescope_id - 1].position
            expected = np.linalg.norm(np.cross(core - position, axis))
            assert simulated.impact.distance.to_value("m") == pytest.approx(expected, abs=0.01)


def test_calibration_events(read, generated):
    kinds = {1: EventType.SKY_PEDESTAL, 3: EventType.FLATFIELD}
    for event, (kind, truth) in zip(read.calibrations, generated.calibrations, strict=True):
        assert event.trigger.event_type is kinds[kind]
        assert set(event.r0.tel) == {1, 2, 3, 4}
        for telescope_id, samples in truth.samples.items():
            np.testing.assert_array_equal(event.r0.tel[telescope_id].waveform, samples)
            # Of all gains.
            charge = event.r1.tel[telescope_id].waveform.sum(axis=-1)
            true_image = truth.photoelectrons[telescope_id].image
            np.testing.assert_allclose(charge.mean(axis=-1), true_image.mean(), atol=0.25)
            assert true_image.mean() == pytest.approx({1: 0, 3: 50}[kind], abs=1)


def test_calibrated_waveforms_are_photoelectrons(read):
    """In both gains; a waveform may miss some of the light at its ends."""
    low_gain = []
    for event in read.events:
        for telescope_id, r1 in event.r1.tel.items():
            charge = r1.waveform[0].sum(axis=1)
            true_image = event.simulation.tel[telescope_id].true_image
            bright = true_image > 50
            np.testing.assert_allclose(charge[bright], true_image[bright], rtol=0.15)
            assert charge.sum() == pytest.approx(true_image.sum(), rel=0.15, abs=30)
            if telescope_id % 2:
                low = r1.selected_gain_channel == 1
                low_gain.extend(charge[low] / true_image[low])
    assert len(low_gain) > 5
    np.testing.assert_allclose(low_gain, 1, atol=0.05)


def test_images_are_where_the_geometry_says(read, generated):
    n_images = 0
    for event, (_, index, _, _) in zip(read.events, seen_of(generated), strict=True):
        for telescope_id, simulated in event.simulation.tel.items():
            image = generated.simulation.images[telescope_id - 1][index]
            camera = generated.array[telescope_id - 1].type.camera
            if np.hypot(image["x"], image["y"]) + 3 * image["length"] > camera.radius * u.m:
                # Some of it is outside the camera.
                continue
            n_images += 1
            n = simulated.true_image.sum()
            assert n == pytest.approx(image["intensity"], abs=4 * np.sqrt(n))
            geometry = read.subarray.tel[telescope_id].camera.geometry
            hillas = hillas_parameters(geometry, simulated.true_image)
            error = 4 * image["length"] / np.sqrt(n)
            assert abs(hillas.x - image["x"]) < error
            assert abs(hillas.y - image["y"]) < error
            assert u.isclose(hillas.width, image["width"], rtol=0.25)
            assert u.isclose(hillas.length, image["length"], rtol=0.25)
            if image["length"] > 2 * image["width"]:
                turned = (hillas.psi - image["psi"]).to_value("deg") % 180
                assert min(turned, 180 - turned) < 10
    assert n_images > 50


def test_telescopes(read, generated):
    assert read.subarray.name == "ToyArray"
    assert [str(read.subarray.tel[n]) for n in (1, 2, 3, 4)] == [
        "LST_LST_LSTCam",
        "MST_ToyMST_ToyNectarCam",
    ] * 2
    assert read.subarray.reference_location.geodetic.height.to_value("m") == pytest.approx(2150)
    for telescope in generated.array:
        description = read.subarray.tel[telescope.id]
        position = read.subarray.positions[telescope.id].to_value("m")
        np.testing.assert_array_equal(position, telescope.position)
        kind, camera = telescope.type, telescope.type.camera
        optics, geometry = description.optics, description.camera.geometry
        for focal_length in (optics.effective_focal_length, geometry.frame.focal_length):
            assert focal_length.to_value("m") == pytest.approx(kind.effective_focal_length)
        nominal = optics.equivalent_focal_length.to_value("m")
        assert nominal == pytest.approx(kind.focal_length)
        assert optics.mirror_area.to_value("m2") == pytest.approx(kind.mirror_area)
        assert optics.n_mirror_tiles == kind.n_mirror_tiles
        for name in ("pix_x", "pix_y", "pix_area"):
            given, stored = getattr(camera.geometry, name), getattr(geometry, name)
            np.testing.assert_allclose(stored.value, given.value, rtol=PRECISION)
        readout = description.camera.readout
        assert (readout.n_channels, readout.n_pixels, readout.n_samples) == (
            camera.n_gains,
            camera.n_pixels,
            camera.n_samples,
        )
        assert readout.sampling_rate.to_value("GHz") == pytest.approx(1 / camera.sample_width)
        pulse = readout.reference_pulse_shape
        assert pulse.shape[0] == camera.n_gains
        assert pulse.max() == 1
        # The one that waveforms are made of.
        time = (np.arange(pulse.shape[1]) - pulse[0].argmax()) * (
            readout.reference_pulse_sample_width.to_value("ns")
        )
        np.testing.assert_allclose(pulse[0], camera.pulse(time), atol=1e-3)


def test_pixels_touch(read):
    """Also for ctapipe, which looks at their shape."""
    large, small = (read.subarray.tel[n].camera.geometry for n in (1, 2))
    assert (large.n_pixels, small.n_pixels) == (1855, 900)
    assert np.bincount(large.neighbor_matrix.sum(axis=1)).argmax() == 6
    assert np.bincount(small.neighbor_matrix.sum(axis=1)).argmax() == 4
    for geometry in (large, small):
        image = np.arange(geometry.n_pixels, dtype=float)
        square = geometry.image_to_cartesian_representation(image)
        np.testing.assert_array_equal(geometry.image_from_cartesian_representation(square), image)


def test_atmosphere(read, generated):
    showers = generated.simulation.showers
    height = read.atmosphere.height_from_slant_depth(showers["x_max"], 90 * u.deg - showers["alt"])
    # The table is interpolated.
    np.testing.assert_allclose(height.to_value("m"), showers["h_max"].to_value("m"), rtol=0.01)


def test_five_layers_are_the_same_atmosphere(file, read):
    with EventSource(file, atmosphere_profile_choice="FIVELAYER") as source:
        layers = source.atmosphere_density_profile
    height = np.linspace(0, 60, 61) * u.km
    expected = read.atmosphere.integral(height).to_value("g/cm2")
    np.testing.assert_allclose(layers.integral(height).to_value("g/cm2"), expected, rtol=0.01)
    assert layers.integral(110 * u.km).to_value("g/cm2") == pytest.approx(0, abs=0.01)


def test_simulation_configuration(read, generated):
    simulation = read.simulation
    assert simulation.n_showers == len(generated.simulation.showers)
    assert simulation.shower_reuse == 1
    assert simulation.spectral_index == -2
    assert simulation.energy_range_min.to_value("TeV") == pytest.approx(0.1)
    assert simulation.energy_range_max.to_value("TeV") == pytest.approx(10)
    assert simulation.max_scatter_range == 200 * u.m
    assert simulation.max_viewcone_radius == 1 * u.deg
    assert simulation.diffuse
    assert simulation.prod_site_alt == 2150 * u.m
    assert simulation.min_alt.to_value("deg") == pytest.approx(70)
    assert simulation.max_az.to_value("deg") == pytest.approx(180)
    assert simulation.atmosphere == 1
    assert read.observation.subarray_pointing_lat.to_value("deg") == pytest.approx(70)


def test_histogram_has_every_shower(read, generated):
    showers = generated.simulation.showers
    distribution = read.distribution
    assert distribution.n_entries == distribution.histogram.sum() == len(showers)
    counts, _, _ = np.histogram2d(
        showers["energy"].to_value("TeV"),
        np.hypot(showers["core_x"], showers["core_y"]).to_value("m"),
        bins=(
            distribution.bins_energy.to_value("TeV"),
            distribution.bins_core_dist.to_value("m"),
        ),
    )
    np.testing.assert_array_equal(distribution.histogram, counts)


@pytest.fixture(scope="module")
def processed(file, tmp_path_factory):
    """What ``ctapipe-process`` makes of it."""
    directory = tmp_path_factory.mktemp("processed")
    output = directory / "toy.dl2.h5"
    Provenance().clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module="(?!ctapipe.io.simteleventsource|eventio)")
        options = ["--write-images", "--write-parameters", "--write-showers", "--no-progress"]
        run_tool(
            ProcessorTool(),
            [f"--input={file}", f"--output={output}", *options],
            cwd=directory,
            raises=True,
        )
    return output


def test_dl1(processed):
    with TableLoader(processed) as loader:
        tables = loader.read_telescope_events_by_id(
            dl1_images=True, true_images=True, simulated=True, dl2=False
        )
    assert set(tables) == {1, 2, 3, 4}
    for table in tables.values():
        ratio = table["image"].sum(axis=1) / table["true_image"].sum(axis=1)
        assert np.median(ratio) == pytest.approx(1, abs=0.02)
        assert np.isfinite(table["hillas_intensity"]).mean() > 0.7


def test_dl2(processed, generated):
    with TableLoader(processed) as loader:
        table = loader.read_subarray_events(dl2=True, simulated=True)
    assert len(table) == N_EVENTS
    table = table[table["HillasReconstructor_is_valid"]]
    assert len(table) > 0.7 * N_EVENTS
    error = angular_separation(
        *(
            table[name].quantity
            for name in (
                "HillasReconstructor_az",
                "HillasReconstructor_alt",
                "true_az",
                "true_alt",
            )
        )
    )
    assert np.median(error.to_value("deg")) < 0.1
    core_error = np.hypot(
        table["HillasReconstructor_core_x"] - table["true_core_x"],
        table["HillasReconstructor_core_y"] - table["true_core_y"],
    )
    assert np.median(core_error) < 20
    truth = {
        100 * number: shower["h_max"].to_value("m") for number, _, shower, _ in seen_of(generated)
    }
    height_error = [row["HillasReconstructor_h_max"] - truth[row["event_id"]] for row in table]
    assert np.median(np.abs(height_error)) < 1000


def test_distribution_of_showers_is_written(processed, generated):
    (row,) = read_table(processed, "/simulation/service/shower_distribution")
    assert row["n_entries"] == row["histogram"].sum() == len(generated.simulation.showers)


@pytest.mark.parametrize("n_telescopes", [1, 2, 5])
def test_number_of_telescopes(n_telescopes, tmp_path):
    path = tmp_path / "toy.simtel"
    write_toy_data(path, 3, n_telescopes)
    with EventSource(path) as source:
        assert list(source.subarray.tel) == list(range(1, n_telescopes + 1))
        assert len({tuple(each.value) for each in source.subarray.positions.values()}) == (
            n_telescopes
        )
        events = [set(event.r1.tel) for event in source]
    assert len(events) == 3
    assert all(len(event) >= min(2, n_telescopes) for event in events)


def test_many_telescopes(tmp_path):
    """More than there are bits in a pattern of telescopes."""
    path = tmp_path / "toy.simtel"
    write_toy_data(path, 5, 36)
    with EventSource(path) as source:
        events = list(source)
    assert len(source.subarray) == 36
    for event in events:
        assert set(event.r0.tel) == set(event.trigger.tels_with_trigger)
    assert max(max(event.r0.tel) for event in events) > 31
