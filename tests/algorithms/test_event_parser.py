"""Events that are cut out of a file and parsed elsewhere are those of ctapipe."""

import warnings
from itertools import chain

import numpy as np
import pytest
from ctapipe.io import SimTelEventSource
from event_files import other_real_files
from eventio_file import (
    ARRAY_EVENT,
    CALIBRATION_EVENT,
    LASER_CALIBRATION,
    MC_EVENT,
    MC_SHOWER,
    PHOTOELECTRON_SUM,
    TELESCOPE_DATA,
    calibration_event,
    dump_file,
    read_file,
    without_id,
)
from events import assert_same

from ctapipe.pipeline import StepError, run

OF_EVENT = {MC_SHOWER, MC_EVENT, TELESCOPE_DATA, PHOTOELECTRON_SUM, ARRAY_EVENT}


class Collect:
    """Consumer that keeps the events."""

    events = []

    def run(self, event):
        Collect.events.append(event)


class Backwards:
    """Stage that sends its messages in the reverse order."""

    waiting = []
    n_messages = 0

    def run(self, message):
        self.waiting.append(message)
        if len(self.waiting) == self.n_messages:
            yield from reversed(self.waiting)


@pytest.fixture
def objects(toy_files):
    """What is before the first event of a file, and its first events."""
    objects = read_file(toy_files.many, size=5_000_000)
    first = next(i for i, o in enumerate(objects) if o.kind == MC_SHOWER)
    showers, shower = [], []
    for o in objects[first:]:
        if o.kind == MC_SHOWER:
            shower = []
            showers.append(shower)
        assert o.kind in OF_EVENT
        shower.append(o)
    events = [shower for shower in showers if shower[-1].kind == ARRAY_EVENT]
    return [o for o in objects[:first] if o.kind != CALIBRATION_EVENT], events[:6]


@pytest.fixture
def write(tmp_path):
    """Writes a file of objects."""

    def call(objects, size=None):
        path = tmp_path / "made.simtel"
        path.write_bytes(dump_file(objects)[:size])
        return path

    return call


def source_options(options):
    return {"focal_length_choice": "EQUIVALENT", **options}


def expected(path, **options):
    """The events that ctapipe reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with SimTelEventSource(path, **source_options(options)) as source:
            return list(source)


def parsed(path, executor="sequential", before=(), workers=None, on_error="stop", **options):
    """The events that come out of a pipeline."""
    Collect.events = []
    algorithms = "ctapipe.pipeline.algorithms"
    reader = {"module": f"{algorithms}.event_reader", "class": "EventReader"}
    parser = {"module": f"{algorithms}.event_parser", "class": "EventParser"}
    config = {
        "Pipeline": {
            "on_error": on_error,
            "producer_conf": {"name": "READER", **reader},
            "stagers_conf": [*before, {"name": "EVENTS", **parser, **(workers or {})}],
            "consumer_conf": {"name": "END", "class": Collect, "ordered": not before},
        },
        "SimTelEventSource": source_options(options),
        "EventSource": {"input_url": str(path)},
        "EventReader": {"defer_parsing": True, "drop_r0_waveforms": False},
        "EventParser": {"drop_r0_waveforms": False},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(config, executor=executor)
    return Collect.events


def assert_all_same(events, others):
    assert [e.index.event_id for e in events] == [e.index.event_id for e in others]
    for event, other in zip(events, others, strict=True):
        assert_same(event, other)


class TestSameEvents:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("mono", {}),
            ("mono", {"back_seekable": True}),
            ("mono", {"skip_calibration_events": False}),
            ("stereo", {"max_events": 3}),
            ("stereo", {"max_events": 3, "allowed_tels": {1, 2}}),
            ("many", {"max_events": 3, "select_gain": False, "override_obs_id": 7}),
        ],
    )
    def test_of_a_file(self, name, options, files):
        path = getattr(files, name)
        events = expected(path, **options)
        assert events
        assert_all_same(parsed(path, **options), events)

    @pytest.mark.parametrize("path", other_real_files(), ids=lambda path: path.name)
    def test_of_another_file(self, path):
        events = expected(path)
        assert events
        assert_all_same(parsed(path), events)

    @pytest.mark.parametrize(
        ("executor", "workers"), [("threads", {"nb_thread": 2}), ("processes", {"nb_process": 2})]
    )
    def test_of_several_workers(self, executor, workers, toy_files):
        found = parsed(toy_files.many, executor, workers=workers, max_events=12)
        assert_all_same(found, expected(toy_files.many, max_events=12))

    def test_of_events_that_did_not_trigger(self, objects, write):
        before, events = objects
        events[0] = [o for o in events[0] if o.kind != ARRAY_EVENT]
        events[3] = events[3][:2]
        path = write([*before, *chain(*events)])
        found = expected(path)
        assert len(found) == 4
        assert_all_same(parsed(path), found)
        assert_all_same(parsed(path, max_events=2), found[:2])

    def test_of_a_shower_that_is_used_again(self, objects, write):
        before, events = objects
        again = [o._replace(id=o.id + 1) for o in events[1] if o.kind == MC_EVENT]
        again += [o for o in events[1] if o.kind not in (MC_SHOWER, MC_EVENT)]
        path = write([*before, *events[0], *events[1], *again, *events[2]])
        found = expected(path)
        assert len(found) == 4
        assert_all_same(parsed(path), found)

    def test_of_events_without_id(self, objects, write):
        before, events = objects
        for i in (1, 3, 4):
            events[i] = [o._replace(id=0) if o.kind == MC_EVENT else o for o in events[i]]
            events[i][-1] = without_id(events[i][-1])
        path = write([*before, *chain(*events)])
        found = expected(path)
        assert [e.index.event_id for e in found if e.index.event_id < 0] == [-1, -2, -3]
        assert_all_same(parsed(path), found)

    @pytest.mark.parametrize("skip", [False, True])
    @pytest.mark.parametrize("is_bare", [False, True])
    def test_of_calibration_events(self, is_bare, skip, objects, write):
        before, events = objects
        calibration = [
            array_event if is_bare else calibration_event(array_event, kind)
            for kind, (*_, array_event) in enumerate(events[:3])
        ]
        path = write([*before, *calibration, *chain(*events[3:])])
        found = expected(path, skip_calibration_events=skip)
        assert len(found) == (3 if skip else 6)
        assert_all_same(parsed(path, skip_calibration_events=skip), found)

    @pytest.mark.parametrize("is_backwards", [False, True])
    def test_of_telescopes_that_change(self, is_backwards, objects, write, monkeypatch):
        before, events = objects
        (calibration,) = (o for o in before if o.kind == LASER_CALIBRATION)
        factors = np.frombuffer(calibration.payload[12:], "<f4") + np.float32(0.5)
        other = calibration._replace(payload=calibration.payload[:12] + factors.tobytes())
        first, then, last = (chain(*events[i : i + 2]) for i in (0, 2, 4))
        path = write([*before, *first, other, *then, calibration, *last])
        found = expected(path)
        times = [e.monitoring.tel[1].camera.coefficients.time_shift for e in found]
        assert (times[1] != times[2]).any()
        assert (times[1] == times[5]).all()
        monkeypatch.setattr(Backwards, "waiting", [])
        monkeypatch.setattr(Backwards, "n_messages", len(found))
        before = [{"name": "BACKWARDS", "class": Backwards}] if is_backwards else []
        assert_all_same(parsed(path, before=before), found[::-1] if is_backwards else found)

    @pytest.mark.parametrize(
        ("n_events", "n_objects", "n_bytes"),
        [
            (6, 0, 0),
            (3, 0, 0),
            (3, 0, 7),
            (3, 1, 0),
            (3, 2, 0),
            (3, 3, 9),
            (3, 4, 0),
            (3, 4, 60_000),
        ],
    )
    def test_of_a_file_that_was_cut_off(self, n_events, n_objects, n_bytes, objects, write):
        before, events = objects
        complete = [*before, *chain(*events[:n_events])]
        rest = [*chain(*events[n_events:])]
        size = len(dump_file(complete + rest[:n_objects])) + n_bytes
        path = write(complete + rest, size)
        found = expected(path)
        assert len(found) == n_events
        assert_all_same(parsed(path), found)


def test_an_event_that_is_damaged_is_not_lost_in_silence(objects, write):
    before, events = objects
    damaged = events[3][-1]._replace(payload=events[3][-1].payload + bytes(5))
    path = write([*before, *chain(*events[:3]), *events[3][:-1], damaged, *chain(*events[4:])])
    with pytest.raises(StepError) as raised:
        parsed(path)
    assert str(raised.value) == (
        f"step 'EVENTS' cannot read event 3 of '{path}' (is it cut off or damaged?): ValueError: "
        "eventio finds no event"
    )
    assert len(Collect.events) == 3


def test_an_event_that_is_damaged_can_be_skipped(objects, write):
    before, events = objects
    damaged = events[3][-1]._replace(payload=events[3][-1].payload + bytes(5))
    found = expected(write([*before, *chain(*events[:3], *events[4:])]))
    path = write([*before, *chain(*events[:3]), *events[3][:-1], damaged, *chain(*events[4:])])
    parsed(path, on_error="skip")
    ids = [event.index.event_id for event in Collect.events]
    assert ids == [event.index.event_id for event in found]
