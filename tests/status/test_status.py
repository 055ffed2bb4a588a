"""Snapshots of a running pipeline, on a real socket."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading

import msgspec
import pytest
import zmq
from common_steps import Consumer, Pass, numbers

from ctapipe.pipeline import StepError, run
from ctapipe.pipeline.configuration.reader import read_graph
from ctapipe.pipeline.executors import EXECUTORS
from ctapipe.pipeline.status.publisher import take_snapshot
from ctapipe.pipeline.status.snapshot import read_snapshot


@pytest.fixture
def window():
    """A socket that listens as the window does, and its address."""
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.subscribe(b"")
        subscriber.rcvtimeo = 20_000
        subscriber.linger = 0
        port = subscriber.bind_to_random_port("tcp://127.0.0.1")
        yield subscriber, f"127.0.0.1:{port}"


def receive(subscriber):
    pipeline, content = subscriber.recv_multipart()
    snapshot = json.loads(content)
    assert snapshot["pipeline"] == pipeline.decode()
    return snapshot


def receive_until(subscriber, *states):
    snapshots = []
    while not snapshots or snapshots[-1]["state"] not in states:
        snapshots.append(receive(subscriber))
    return snapshots


@pytest.mark.parametrize(
    "names",
    [
        ["n" * 1000 + str(i) for i in range(30)],
        ["望遠鏡" * 400 + str(i) for i in range(248)],
        ["\N{TELESCOPE}" * 1000 + str(i) for i in range(248)],
        ["a\nb", "a\tb", "a\x1bb", "a\ud800b", "a\ufffdb", "a\ufffdb2"],
        ["n" * 199 + "…", "n" * 200, "n" * 201, "n" * 198 + "…2"],
        ["שלב", "مرحلة", "चरण", "e\u0301", "é"],
    ],
    ids=["long", "Chinese", "emoji", "not printable", "alike", "scripts"],
)
def test_whatever_steps_are_called_a_window_can_show_them(names):
    """Each with its links, and no two by the same name."""
    next_steps = {name: names[i + 1 : i + 3] for i, name in enumerate(names)}
    stages = [
        {"name": name, "class": Pass, "next_steps": next_steps[name] or ["LAST"]} for name in names
    ]
    pipeline = {
        "producer_conf": {"name": "FIRST", "class": numbers(3)},
        "stagers_conf": stages,
        "consumer_conf": {"name": "LAST", "class": Consumer},
    }
    graph = read_graph({"Pipeline": pipeline})
    runner = EXECUTORS["sequential"](graph, logging.getLogger())
    sent = msgspec.json.encode(take_snapshot(runner, "a run", "x" * 1000))
    steps = read_snapshot(sent).steps
    assert len({step.name for step in steps}) == len(names) + 2
    shown = {spec.name: step.name for spec, step in zip(graph.steps, steps, strict=True)}
    for spec, step in zip(graph.steps, steps, strict=True):
        assert step.next_steps == tuple(shown[name] for name in spec.next_steps)
    assert all(shown[name].startswith(name[:10]) for name in names if name.isprintable())


def test_a_snapshot_before_there_are_workers(executor):
    Producer = type("Producer", (), {"run": lambda self: iter(range(5))})
    graph = read_graph(
        {
            "Pipeline": {
                "producer_conf": {"name": "Producer", "class": Producer},
                "stagers_conf": [{"name": "Pass", "class": Pass, "nb_thread": 2}],
                "consumer_conf": {"name": "Consumer", "class": Consumer},
            }
        }
    )
    runner = EXECUTORS[executor](graph, logging.getLogger())
    n_workers = [1, 1, 1] if executor == "sequential" else [1, 2, 1]
    steps = take_snapshot(runner, "a run", "a file").steps
    assert [step.worker_states for step in steps] == [("idle",) * n for n in n_workers]
    runner.run()


def test_a_file_whose_name_is_no_text():
    Producer = type("Producer", (), {"run": lambda self: iter(range(5))})
    graph = read_graph(
        {
            "Pipeline": {
                "producer_conf": {"name": "Producer", "class": Producer},
                "stagers_conf": [{"name": "Pass", "class": Pass}],
                "consumer_conf": {"name": "Consumer", "class": Consumer},
            }
        }
    )
    runner = EXECUTORS["sequential"](graph, logging.getLogger())
    taken = take_snapshot(runner, "a run", os.fsdecode(b"\xff.json"))
    assert read_snapshot(msgspec.json.encode(taken)) == taken
    assert taken.configuration == "\ufffd.json"


@pytest.mark.parametrize("executor", ["threads", "sequential"])
@pytest.mark.parametrize("prefix", ["", "tcp://"])
def test_complete_snapshots_while_it_runs_and_at_the_end(window, executor, prefix):
    subscriber, address = window
    seen = threading.Event()

    class Producer:
        """Waits half-way until the window has got a snapshot."""

        def run(self):
            yield from range(5)
            assert seen.wait(20)
            yield from range(5)

    received = []

    def watch():
        received.append(receive(subscriber))
        seen.set()
        received.extend(receive_until(subscriber, "finished"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run(
        [Producer, {"class": Pass, "nb_thread": 2, "queue_limit": 7}, Consumer],
        executor=executor,
        gui_address=prefix + address,
    )
    watcher.join()
    first, last = received[0], received[-1]
    assert first["state"] in ("starting", "running")
    assert last["state"] == "finished"
    assert last["elapsed_s"] > first["elapsed_s"]
    for snapshot in received:
        assert snapshot["schema"] == 1
        assert snapshot["pipeline"] == first["pipeline"]
        assert snapshot["host"] == socket.gethostname()
        assert snapshot["pid"] == os.getpid()
        assert snapshot["configuration"] == "Python"
        assert snapshot["executor"] == executor
        for step in snapshot["steps"]:
            assert len(step["worker_states"]) == step["workers"]
    assert first["steps"][0]["worker_states"] in (["idle"], ["busy"])
    assert last["events"] == {"sent": 10, "finished": 10}
    assert all(step.pop("busy_s") >= 0 for step in last["steps"])
    waits = [last["age"], *(step.pop("wait") for step in last["steps"])]
    if executor == "sequential":
        assert waits == [None] * 4
    else:
        assert waits.pop(1) is None
        assert all(0 <= times["p50_s"] <= times["p99_s"] for times in waits)
    assert last["steps"] == [
        {
            "name": "Producer",
            "role": "producer",
            "next_steps": ["Pass"],
            "chained": False,
            "workers": 1,
            "worker_states": ["idle"],
            "queue_limit": 100,
            "running": 0,
            "queue": 0,
            "received": 0,
            "done": 10,
            "failed": 0,
            "sent": 10,
        },
        {
            "name": "Pass",
            "role": "stage",
            "next_steps": ["Consumer"],
            "chained": False,
            "workers": 2 if executor == "threads" else 1,
            "worker_states": ["idle"] * (2 if executor == "threads" else 1),
            "queue_limit": 7,
            "running": 0,
            "queue": 0,
            "received": 10,
            "done": 10,
            "failed": 0,
            "sent": 10,
        },
        {
            "name": "Consumer",
            "role": "consumer",
            "next_steps": [],
            "chained": False,
            "workers": 1,
            "worker_states": ["idle"],
            "queue_limit": 100,
            "running": 0,
            "queue": 0,
            "received": 10,
            "done": 10,
            "failed": 0,
            "sent": 0,
        },
    ]


def test_a_failed_run_says_so(window):
    subscriber, address = window
    seen = threading.Event()
    states = []

    class Producer:
        def run(self):
            assert seen.wait(20)
            yield 1

    class Bad:
        def run(self, message):
            raise ValueError

    def watch():
        receive(subscriber)
        seen.set()
        states.extend(receive_until(subscriber, "failed"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(StepError):
        run([Producer, Bad, Consumer], gui_address=address)
    watcher.join()
    assert states[-1]["steps"][1]["failed"] == 1


@pytest.fixture
def slow_way(window):
    """An address at which the window is there at once, but answers only after 400 ms."""
    _, address = window
    host, port = address.split(":")
    server = socket.create_server((host, 0))
    ends = []

    def forward(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)

    def connect():
        with contextlib.suppress(OSError):
            ours, _ = server.accept()
            ends.append(ours)
            never.wait(0.4)
            theirs = socket.create_connection((host, int(port)))
            ends.append(theirs)
            for pair in ((ours, theirs), (theirs, ours)):
                threads.append(threading.Thread(target=forward, args=pair))
                threads[-1].start()

    never = threading.Event()
    threads = [threading.Thread(target=connect)]
    threads[0].start()
    yield f"{host}:{server.getsockname()[1]}"
    for end in (server, *ends):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(20)
    for end in (server, *ends):
        end.close()


def test_a_window_that_is_slow_to_answer_hears_how_a_short_run_ended(window, slow_way):
    subscriber, _ = window
    states = []
    watcher = threading.Thread(target=lambda: states.append(receive(subscriber)["state"]))
    watcher.start()
    run([numbers(10), Pass, Consumer], gui_address=slow_way)
    watcher.join()
    assert states == ["finished"]


NO_WINDOW = """
import socket, sys, threading
from ctapipe.pipeline import run

answer = bytes.fromhex(sys.argv[1])
n_answers = 0

def serve():
    global n_answers
    while True:
        connection, _ = server.accept()
        connection.recv(10)
        connection.sendall(answer)
        connection.close()
        n_answers += 1

class Producer:
    def run(self):
        while not n_answers:
            yield 1

class Pass:
    def run(self, number):
        return number

class Consumer:
    def run(self, number):
        pass

with socket.create_server(("127.0.0.1", 0)) as server:
    threading.Thread(target=serve, daemon=True).start()
    address = "127.0.0.1:%d" % server.getsockname()[1]
    print(run([Producer, Pass, Consumer], gui_address=address)["state"])
"""
SIGNATURE = bytes([0xFF, *[0] * 8, 0x7F])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 200, id="web server"),
        pytest.param(b"SSH-2.0-server\r\n", id="SSH"),
        pytest.param(b"\x01\x00" + b"\x02\x00x" * 50, id="ZMTP 1, unversioned"),
        pytest.param(SIGNATURE + b"\x00\x02\x00\x00" + b"\x02\x00x" * 50, id="ZMTP 1"),
        pytest.param(SIGNATURE + b"\x01\x02\x00\x00" + b"\x00\x01x" * 50, id="ZMTP 2"),
        pytest.param(SIGNATURE + b"\x03\x00NULL" + bytes(100), id="ZMTP 3"),
        pytest.param(bytes(200), id="zeros"),
    ],
)
def test_what_is_no_window_does_not_end_a_run(answer):
    done = subprocess.run(
        [sys.executable, "-c", NO_WINDOW, answer.hex()], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (0, "finished\n"), done.stderr


def test_without_an_address_nothing_is_sent(monkeypatch):
    def no_socket(*_):
        raise AssertionError("a socket was made")

    monkeypatch.setattr(zmq.Context, "socket", no_socket)
    assert run([numbers(10), Pass, Consumer], gui_address="")["state"] == "finished"


def test_a_configuration_with_a_long_name_is_shown(window, tmp_path):
    subscriber, address = window
    path = tmp_path / f"{'x' * 240}.json"
    (tmp_path / "ten.py").write_text("class Ten:\n    run = lambda self: iter(range(10))\n")
    conf = {
        "producer_conf": {"name": "P", "class": "Ten", "module": "ten"},
        "stagers_conf": [{"name": "S", "class": "Pass", "module": "common_steps"}],
        "consumer_conf": {"name": "C", "class": "Consumer", "module": "common_steps"},
    }
    path.write_text(json.dumps({"Pipeline": conf}))
    read = []
    watcher = threading.Thread(target=lambda: read.append(subscriber.recv_multipart()))
    watcher.start()
    run(path, gui_address=address)
    watcher.join()
    ((_, content),) = read
    assert read_snapshot(content).configuration == "x" * 199 + "…"


def test_a_window_that_does_not_read_holds_nothing_up():
    """Connected, but never read: the pipeline ends all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        summary = run(
            [numbers(1000), Pass, Consumer],
            gui_address=f"127.0.0.1:{port}",
        )
    assert summary["state"] == "finished"
