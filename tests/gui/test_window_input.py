"""Whatever arrives at the window: it is data, or it is dropped."""

import contextlib
import json
import logging
import os
import pickle
import random
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import zmq
import zmq.auth
from common_steps import Consumer, Pass, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from window_snapshots import frames, snapshot
from zmq.utils.monitor import recv_monitor_message

from ctapipe.pipeline import ConfigurationError, run
from ctapipe.pipeline.gui.model.receiver import MOST_FRAME_BYTES, Receiver
from ctapipe.pipeline.gui.model.shown_pipelines import MOST_PIPELINES
from ctapipe.pipeline.gui.views.feed import Feed
from ctapipe.pipeline.gui.views.window import Window
from ctapipe.pipeline.status.snapshot import BadSnapshot, read_snapshot

WAIT_MS = 45_000
LOG = logging.getLogger("ctapipe.window")


@pytest.fixture
def receiver():
    with Receiver("127.0.0.1", 0, LOG) as receiver:
        yield receiver


@pytest.fixture
def window(qtbot, receiver):
    feed = Feed(receiver)
    window = Window(feed)
    qtbot.addWidget(window)
    window.show()
    yield window
    window.close()
    feed.close()


@pytest.fixture
def sender(qtbot, window, receiver):
    """A socket that the window listens to, and that never drops what it sends."""
    with zmq.Context() as context, connected(context, receiver.address) as socket:
        heard(qtbot, socket, b"\x01")
        yield socket


def heard(qtbot, socket, message):
    """Wait until the window says that it listens, or no longer does."""
    qtbot.waitUntil(lambda: socket.poll(0), timeout=WAIT_MS)
    assert socket.recv() == message


def receive_until(receiver, condition):
    """What the event loop does, without a window."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + 1e-3 * WAIT_MS
        receiver._socket.poll(20)
        receiver.receive()


def run_in_thread(receiver, **options):
    """Run a pipeline that the receiver listens to, to its end."""
    with ThreadPoolExecutor() as pool:
        running = pool.submit(
            run, {"Pipeline": {**STEPS, "gui_address": receiver.address, **options}}
        )
        receive_until(receiver, running.done)
        running.result()
    receive_until(receiver, lambda: any(p.snapshot.ended for p in receiver.pipelines))


def connected(context, address, **options):
    socket = context.socket(zmq.XPUB)
    socket.linger = 0
    socket.rcvtimeo = WAIT_MS
    socket.xpub_nodrop = True
    for name, value in options.items():
        setattr(socket, name, value)
    socket.connect(f"tcp://{address}")
    return socket


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def garbage(rng, bomb):
    """A message of random, truncated, or malicious frames."""
    content = snapshot(f"fuzz{rng.randrange(100)}", rng.randrange(1000))
    name, good = frames(content)
    kind = rng.randrange(9)
    if kind == 0:
        return [rng.randbytes(rng.randrange(300)) for _ in range(rng.randrange(1, 6))]
    if kind == 1:
        return [name, good[: rng.randrange(len(good))]]
    if kind == 2:
        return [name, bomb]
    if kind == 3:
        broken = bytearray(good)
        broken[rng.randrange(len(good))] = rng.randrange(256)
        return [name, bytes(broken)]
    if kind == 4:
        return [name, b"[" * 50_000]
    if kind == 5:
        step = rng.choice(content["steps"])
        step[rng.choice(list(step))] = rng.choice([None, -5, "x", 1e308, [], {}, 10**30, True])
        return [name, json.dumps(content).encode()]
    if kind == 6:
        return [name, b'{"schema": ' + b"9" * 5000 + b"}"]
    if kind == 7:
        return [name, json.dumps({**content, "schema": 2}).encode()]
    return [name, good, b"more", bomb]


def test_ten_thousand_frames_of_garbage(qtbot, window, sender, tmp_path, caplog):
    rng = random.Random(6)
    path = tmp_path / "unpickled"
    bomb = pickle.dumps(Bomb(path))
    sender.sndtimeo = 0
    process = psutil.Process()
    rss = []

    def send(message):
        while True:
            try:
                return sender.send_multipart(message)
            except zmq.Again:
                qtbot.wait(1)

    for n_sent in range(10_000):
        send(garbage(rng, bomb))
        if n_sent % 1000 == 999:
            rss.append(process.memory_info().rss)
    # It is alive: it shows what is right.
    send(frames(snapshot("good", 42)))
    pipelines = window._feed.receiver.pipelines
    qtbot.waitUntil(lambda: pipelines.get("good") is not None, timeout=WAIT_MS)
    assert pipelines.get("good").snapshot.steps[0].done == 42
    assert not path.exists()
    assert len(pipelines) <= MOST_PIPELINES
    # Most of what it keeps, it keeps from the first thousand on.
    assert max(rss) - rss[0] < 100 << 20
    dropped = [record.getMessage() for record in caplog.records]
    assert any("not JSON" in message for message in dropped)
    assert len(dropped) == len(set(dropped)) < 60


def test_a_bomb_would_go_off_if_it_were_unpickled(tmp_path):
    path = tmp_path / "unpickled"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists()


def test_a_frame_that_is_too_long_never_gets_in(qtbot, window, receiver):
    with zmq.Context() as context:
        with connected(context, receiver.address) as stranger:
            heard(qtbot, stranger, b"\x01")
            monitor = stranger.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            stranger.send_multipart([b"id", bytes(MOST_FRAME_BYTES + 1)])
            # The window closes the connection: it does not want to hear more of it.
            qtbot.waitUntil(lambda: monitor.poll(0), timeout=WAIT_MS)
            stranger.disable_monitor()
            monitor.close()
        with connected(context, receiver.address) as other:
            heard(qtbot, other, b"\x01")
            other.send_multipart(frames(snapshot("good")))
            qtbot.waitUntil(lambda: receiver.pipelines.get("good"), timeout=WAIT_MS)


def test_a_hundred_pipelines_and_more(qtbot, window, sender, caplog):
    for k in range(MOST_PIPELINES + 20):
        sender.send_multipart(frames(snapshot(f"p{k}", state="running" if k else "finished")))
    pipelines = window._feed.receiver.pipelines
    qtbot.waitUntil(lambda: len(pipelines) == MOST_PIPELINES, timeout=WAIT_MS)
    qtbot.waitUntil(
        lambda: any("at once" in record.getMessage() for record in caplog.records), timeout=WAIT_MS
    )
    # The one that had ended made room; none that runs did.
    assert pipelines.get("p0") is None
    assert pipelines.get("p1") is not None
    assert len(pipelines) == MOST_PIPELINES


def test_names_are_no_html(qtbot, window, sender):
    content = snapshot("p", configuration="<img src='file:///etc/passwd'>\n<b>x</b>")
    content["steps"][0]["name"] = "<b>bold</b>"
    sender.send_multipart(frames(content))
    qtbot.waitUntil(lambda: window.pipeline is not None, timeout=WAIT_MS)
    window._show_all()
    assert "<img src='file:///etc/passwd'>\ufffd<b>x</b>" in window.header._title.text()
    assert "&lt;b>bold" in window.graph._items[0].toolTip()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 2}, "another version"),
        ({"steps": []}, "steps"),
        ({"steps": [1]}, "not an object"),
        ({"steps": [{"name": "A"}] * 251}, "steps"),
        ({"state": "asleep"}, "state"),
        ({"pid": True}, "pid"),
        ({"pid": 1.5}, "pid"),
        ({"elapsed_s": "1"}, "elapsed_s"),
        ({"elapsed_s": 10**400}, "elapsed_s"),
        ({"host": "h" * 201}, "host"),
        ({"host": None}, "host"),
    ],
)
def test_what_is_no_snapshot(change, problem):
    with pytest.raises(BadSnapshot, match=problem):
        read_snapshot(json.dumps(snapshot(**change)).encode())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"next_steps": ["NONE"]}, "next_steps"),
        ({"next_steps": [{}]}, "next_steps"),
        ({"worker_states": ["busy"]}, "do not agree"),
        ({"worker_states": ["busy", ["x"]]}, "worker_states"),
        ({"done": -1}, "done"),
        ({"done": 2**60}, "done"),
        ({"queue_limit": -2}, "queue_limit"),
        ({"role": "spectator"}, "role"),
        ({"name": "STEP_0"}, "same name"),
        ({"busy_s": -1}, "busy_s"),
        ({"chained": 1}, "chained"),
    ],
)
def test_what_is_no_step(change, problem):
    content = snapshot()
    content["steps"][1].update(change)
    with pytest.raises(BadSnapshot, match=problem):
        read_snapshot(json.dumps(content).encode())


def test_numbers_that_json_has_not():
    with pytest.raises(BadSnapshot, match="not JSON"):
        read_snapshot(json.dumps(snapshot(elapsed_s=float("nan"))).encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", "asleep` - at `$.pid`\nCRITICAL: all is lost"),
        ("role", "CRITICAL"),
        ("worker_states", ["CRITICAL"]),
        ("next_steps", ["CRITICAL"]),
        ("CRITICAL", 1),
        ("host", "CRITICAL" * 100),
        ("sent", "CRITICAL"),
    ],
)
def test_what_is_wrong_is_said_in_own_words(key, value):
    content = snapshot()
    for place in (content, content["events"], content["steps"][2]):
        if key in place or key == "CRITICAL":
            changed = {**place, key: value}
            if key == "CRITICAL":
                del changed[next(iter(place))]
            place.clear()
            place.update(changed)
    with pytest.raises(BadSnapshot) as caught:
        read_snapshot(json.dumps(content).encode())
    assert "CRITICAL" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["pid", "steps", "events", "state"])
def test_a_key_that_is_missing_is_named(key):
    content = snapshot()
    del content[key]
    with pytest.raises(BadSnapshot, match=f"^{key} is missing"):
        read_snapshot(json.dumps(content).encode())
    content = snapshot()
    del content["steps"][1]["done"]
    with pytest.raises(BadSnapshot, match="^steps: done is missing"):
        read_snapshot(json.dumps(content).encode())


def test_a_key_that_is_there_twice():
    content = json.dumps(snapshot()).replace('"pid": 1', '"pid": "x", "pid": 1')
    with pytest.raises(BadSnapshot, match="twice"):
        read_snapshot(content.encode())


def test_keys_of_a_later_version_are_left_alone():
    content = snapshot(later={"a": [1, None]})
    content["steps"][0]["later"] = "x"
    content["events"]["later"] = 1
    assert read_snapshot(json.dumps(content).encode()) == read_snapshot(
        json.dumps(snapshot()).encode()
    )


def test_more_links_and_workers_than_can_be_shown():
    content = snapshot(n_steps=100)
    for step in content["steps"]:
        step["next_steps"] = ["STEP_1"] * 11
    with pytest.raises(BadSnapshot, match="more than 1000 next_steps"):
        read_snapshot(json.dumps(content).encode())
    content = snapshot(n_steps=100)
    for step in content["steps"]:
        step.update(workers=51, worker_states=["idle"] * 51)
    with pytest.raises(BadSnapshot, match="more than 5000 workers"):
        read_snapshot(json.dumps(content).encode())


def test_names_that_cannot_be_printed_stay_connected():
    content = snapshot()
    content["steps"][1]["name"] = "A\nB"
    content["steps"][0]["next_steps"] = ["A\nB"]
    read = read_snapshot(json.dumps(content).encode())
    assert read.steps[1].name == "A\ufffdB"
    assert read.successors() == [[1], [2], []]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "steps", "schema", "sent"]), children, max_size=3
        )
    ),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_value_anywhere_is_taken_or_refused(data):
    content = snapshot()
    place = data.draw(st.sampled_from([content, content["events"], *content["steps"]]))
    place[data.draw(st.sampled_from(list(place)))] = data.draw(JSON)
    with contextlib.suppress(BadSnapshot):
        read_snapshot(json.dumps(content).encode())


# ---------------------------------------------------------------- keys


@pytest.fixture
def keys(tmp_path):
    """The files with a window's public and its secret key."""
    public, secret = zmq.auth.create_certificates(tmp_path, "window")
    os.chmod(secret, stat.S_IRUSR | stat.S_IWUSR)
    return Path(public), Path(secret)


STEPS = {
    "producer_conf": {"name": "PRODUCER", "class": numbers(7)},
    "stagers_conf": [{"name": "PASS", "class": Pass}],
    "consumer_conf": {"name": "CONSUMER", "class": Consumer},
}


@pytest.mark.parametrize("form", ["the file", "the key"])
def test_a_pipeline_with_the_key_gets_in(keys, form):
    public, secret = keys
    key = public if form == "the file" else zmq.auth.load_certificate(public)[0].decode()
    with Receiver("127.0.0.1", 0, LOG, str(secret)) as receiver:
        run_in_thread(receiver, gui_server_key=str(key))
        (pipeline,) = receiver.pipelines
    assert [step.done for step in pipeline.snapshot.steps] == [7, 7, 7]


@pytest.mark.parametrize("stranger", ["no key", "another key"])
def test_a_stranger_gets_nothing_in(keys, stranger):
    public, secret = keys
    options = {}
    if stranger == "another key":
        options["curve_serverkey"] = zmq.curve_keypair()[0]
        options["curve_publickey"], options["curve_secretkey"] = zmq.curve_keypair()
    with Receiver("127.0.0.1", 0, LOG, str(secret)) as receiver, zmq.Context() as context:
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        monitor = receiver._socket.get_monitor_socket(
            events | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        )
        monitor.rcvtimeo = WAIT_MS
        with connected(context, receiver.address, **options) as socket:
            event = recv_monitor_message(monitor)["event"]
            assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED
            # Nobody has subscribed, so it does not even leave.
            for _ in range(100):
                socket.send_multipart(frames(snapshot("stranger")))
            # One who has the key gets in meanwhile.
            run_in_thread(receiver, gui_server_key=str(public))
            assert not socket.poll(0)
        assert [pipeline.name for pipeline in receiver.pipelines] == ["a dictionary"]
        receiver._socket.disable_monitor()
        monitor.close()


def test_a_key_that_others_can_read_is_refused(keys):
    _, secret = keys
    os.chmod(secret, 0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Receiver("127.0.0.1", 0, LOG, str(secret))


def test_files_without_a_key(keys, tmp_path):
    public, _ = keys
    with pytest.raises(ConfigurationError, match="key_secret"):
        Receiver("127.0.0.1", 0, LOG, str(public))
    (tmp_path / "empty").write_text("")
    with pytest.raises(ConfigurationError, match="empty"):
        Receiver("127.0.0.1", 0, LOG, str(tmp_path / "empty"))
    with pytest.raises(ConfigurationError, match="gui_server_key.*neither"):
        run({"Pipeline": {**STEPS, "gui_server_key": str(tmp_path / "empty")}})


def test_it_listens_here_only(receiver):
    connections = psutil.Process().net_connections("tcp")
    port = int(receiver.address.rpartition(":")[2])
    assert [c.laddr.ip for c in connections if c.status == "LISTEN" and c.laddr.port == port] == [
        "127.0.0.1"
    ]
