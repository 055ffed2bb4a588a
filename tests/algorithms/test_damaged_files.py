"""Files of sim_telarray that are cut off or damaged: the events and the errors of ctapipe."""

import gzip
import json
import warnings
from typing import NamedTuple

import pytest
import zstandard
from ctapipe.instrument import SoftwareTrigger
from ctapipe.io import EventSource
from eventio import EventIOFile
from eventio_file import (
    CALIBRATION_EVENT,
    CAMERA_SETTINGS,
    LASER_CALIBRATION,
    MC_EVENT,
    dump_file,
    read_file,
)
from events import assert_same
from hdf5 import n_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctapipe.pipeline import ConfigurationError, StepError, run
from ctapipe.pipeline.toy_data import write_toy_data

OPTIONS = {"skip_calibration_events": False, "focal_length_choice": "EQUIVALENT"}
ALGORITHMS = "ctapipe.pipeline.algorithms"
BYTES = st.binary(min_size=1, max_size=4)
COMPRESS = {
    "simtel": bytes,
    "simtel.gz": lambda data: gzip.compress(data, 1),
    "simtel.zst": zstandard.ZstdCompressor(level=1).compress,
}


class Collect:
    """Consumer that keeps the events."""

    events = []

    def run(self, event):
        Collect.events.append(event)


def read_by_ctapipe(path):
    """The events that ``ctapipe-process`` sees, and what then ends it, if anything does."""
    events = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with EventSource(path, **OPTIONS) as source:
                is_triggered = SoftwareTrigger(source.subarray)
                events.extend(filter(is_triggered, source))
        except Exception as error:
            return events, error
    return events, None


def read_by_pipeline(path):
    """The same, of the chain."""
    Collect.events = []
    config = {
        "Pipeline": {
            "gui_address": "",
            "producer_conf": {
                "name": "READER",
                "module": f"{ALGORITHMS}.event_reader",
                "class": "EventReader",
            },
            "stagers_conf": [
                {
                    "name": "EVENTS",
                    "module": f"{ALGORITHMS}.event_parser",
                    "class": "EventParser",
                }
            ],
            "consumer_conf": {"name": "END", "class": Collect},
        },
        "EventSource": {"input_url": str(path)},
        "SimTelEventSource": OPTIONS,
        "EventReader": {"defer_parsing": True, "drop_r0_waveforms": False},
        "EventParser": {"drop_r0_waveforms": False},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run(config, executor="sequential")
        except (ConfigurationError, StepError) as error:
            return Collect.events, error
    return Collect.events, None


def assert_as_ctapipe(path):
    """The chain has read what ctapipe has, or says why not.

    It can have read more: what ctapipe had not sent yet when it failed, or what comes after damage
    in something that nobody needs. It can have read less where ctapipe takes a damaged event for
    the end of the file, or takes bytes behind an event for its own.
    """
    expected, their_error = read_by_ctapipe(path)
    events, error = read_by_pipeline(path)
    # Nothing is lost in silence.
    assert error is not None or len(events) >= len(expected)
    for event, other in zip(events, expected, strict=False):
        assert_same(event, other)
    if error is None:
        assert their_error is None or len(events) > len(expected)
    else:
        assert "\n" not in str(error)
        assert path.name in str(error)
        assert error.__cause__ is None
    return events, error, expected, their_error


class SmallFile(NamedTuple):
    """Its bytes, where headers are in them, and its objects."""

    data: bytes
    headers: list
    objects: list

    def __repr__(self):
        return "a small file"


def headers(path):
    """Where the headers of all objects in a file are, also of those in others."""
    found = []

    def visit(objects):
        for o in objects:
            found.append(o.header.content_address - o.header.header_size)
            if o.header.only_subobjects:
                visit(o)

    with EventIOFile(path) as file:
        visit(file)
    return found


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    """Calibration, events that triggered and others, histograms: the bytes, and headers."""
    directory = tmp_path_factory.mktemp("damaged")
    write_toy_data(directory / "toy.simtel.zst", n_events=4, n_telescopes=2, seed=1)
    objects = read_file(directory / "toy.simtel.zst", size=10_000_000)
    calibrations = [o for o in objects if o.kind == CALIBRATION_EVENT]
    kept = [o for o in objects if o.kind != CALIBRATION_EVENT or o is calibrations[-1]]
    assert sum(o.kind == MC_EVENT for o in kept) > 4
    path = directory / "small.simtel"
    path.write_bytes(dump_file(kept))
    return SmallFile(path.read_bytes(), headers(path), kept)


@st.composite
def damages(draw):
    """Where something happens, and what; where: a part of all, or after a header."""
    part = st.tuples(st.none(), st.floats(0, 1, exclude_max=True))
    header = st.tuples(st.integers(0, 1000), st.integers(-4, 40))
    value = st.none() | st.sampled_from([b"\0", b"\xff", bytes(4), b"\xff" * 4]) | BYTES
    return [(draw(part | header), draw(value)) for _ in range(draw(st.integers(1, 2)))]


def damaged(data, header_positions, damages):
    """The bytes that are left; no value says that they end there."""
    data = bytearray(data)
    for (index, where), value in damages:
        if index is None or not header_positions:
            position = int((where % 1) * len(data))
        else:
            position = max(0, header_positions[index % len(header_positions)] + where)
        if value is None:
            del data[position:]
        elif position < len(data):
            data[position : position + len(value)] = value
    return bytes(data)


def assert_of_damaged_file(small_file, directory, damages, ending, is_damaged_after):
    compress = COMPRESS[ending]
    if is_damaged_after:
        data = damaged(compress(small_file.data), [], damages)
    else:
        data = compress(damaged(small_file.data, small_file.headers, damages))
    path = directory / f"damaged.{ending}"
    path.write_bytes(data)
    assert_as_ctapipe(path)


def fuzz(**options):
    """Damages files in many ways."""

    def decorate(test):
        examples = settings(
            deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None, **options
        )
        arguments = given(
            damages=damages(),
            ending=st.sampled_from(["simtel"] * 6 + list(COMPRESS)),
            is_damaged_after=st.booleans(),
        )
        return examples(arguments(test))

    return decorate


@pytest.mark.timeout(180)
@fuzz(max_examples=150, derandomize=True)
def test_damage(small_file, directory, damages, ending, is_damaged_after):
    assert_of_damaged_file(small_file, directory, damages, ending, is_damaged_after)


@pytest.mark.full
@pytest.mark.timeout(3600)
@fuzz(max_examples=5000)
def test_much_damage(small_file, directory, damages, ending, is_damaged_after):
    assert_of_damaged_file(small_file, directory, damages, ending, is_damaged_after)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """For one file."""
    return tmp_path_factory.mktemp("damaged")


def test_a_file_that_ends_within_any_of_its_objects(small_file, directory):
    path = directory / "cut.simtel"
    n_read = set()
    for i, o in enumerate(small_file.objects):
        begin = len(dump_file(small_file.objects[:i]))
        for size in {begin, begin + 10, begin + 16 + len(o.payload) * 9 // 10}:
            path.write_bytes(small_file.data[:size])
            events, error, _, their_error = assert_as_ctapipe(path)
            n_read.add(len(events))
            assert (error is None) == (their_error is None)
    assert n_read == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("kind", [LASER_CALIBRATION, CAMERA_SETTINGS])
@pytest.mark.parametrize(
    ("module", "name", "option"),
    [
        ("event_reader", "EventReader", "EventSource.input_url"),
        ("hessio_reader", "HessioReader", "HessioReader.filename"),
        ("simtelarray_reader", "SimTelArrayReader", "SimTelArrayReader.filename"),
    ],
)
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_command_says_which_file_it_is(
    kind, module, name, option, executor, small_file, command, tmp_path
):
    """It ends within the descriptions of telescopes."""
    i = next(i for i, o in enumerate(small_file.objects) if o.kind == kind)
    path = tmp_path / "cut.simtel"
    path.write_bytes(small_file.data[: len(dump_file(small_file.objects[: i + 1])) - 20])
    conf = {
        "executor": executor,
        "gui_address": "",
        "producer_conf": {"name": "READER", "module": f"{ALGORITHMS}.{module}", "class": name},
        "stagers_conf": [
            {"name": "EVENTS", "module": f"{ALGORITHMS}.event_parser", "class": "EventParser"}
        ],
        "consumer_conf": {"name": "END", "module": "common_steps", "class": "Consumer"},
    }
    if name != "EventReader":
        conf["stagers_conf"] = [{"name": "PASS", "module": "common_steps", "class": "Pass"}]
    (tmp_path / "conf.json").write_text(json.dumps({"Pipeline": conf}))
    done = command("--config=conf.json", f"--{option}={path}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count(path.name) == 1
    assert "step 'READER' cannot read" in done.stderr


@pytest.mark.parametrize("executor", ["sequential", "processes"])
def test_what_was_read_before_is_written(executor, small_file, pipeline, tmp_path):
    path = tmp_path / "cut.simtel"
    # Within the histograms, which come last.
    path.write_bytes(small_file.data[:-100])
    output = pipeline(path, f"--executor={executor}", returncode=1)
    assert n_rows(output, "/dl1/event/subarray/trigger") == 4
    assert "cut.simtel' (is it cut off or damaged?): ValueError" in pipeline.stderr
