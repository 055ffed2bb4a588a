"""Takes snapshots of a running pipeline, and sends them."""

import functools
import itertools
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import cast

import msgspec
import zmq
from zmq.auth import load_certificate
from zmq.utils.monitor import recv_monitor_message

from ..errors import ConfigurationError
from ..executors import Executor
from ..workers.worker_thread import start_thread
from .snapshot import (
    LONGEST_TEXT,
    MOST_BYTES,
    SCHEMA,
    EventCounts,
    Percentiles,
    Snapshot,
    State,
    StepSnapshot,
    WorkerState,
    printable,
)

__all__ = ["StatusPublisher", "take_snapshot"]

SHORTEST_NAME = 20
# In Z85, as ZeroMQ writes the 32 bytes of a key.
KEY = re.compile(r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
SHORTEST_PAUSE_S = 0.1
# How often to look whether anything has changed, when nothing does.
LONGEST_PAUSE_S = 0.4
# Sent even then, so that a window can tell a quiet pipeline from a lost one.
LONGEST_SILENCE_S = 1.0
# How long after its begin a run does not end, ms, if it is not known yet whether a window is there.
LONGEST_CONNECTING_MS = 200
# The same if one is there, whose machine may be busy; and how long the last snapshot may take
# to leave.
LONGEST_GOODBYE_MS = 2000
# What libzmq says of a connection that does not come about.
NOBODY_THERE = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


def take_snapshot(executor: Executor, pipeline_id: str, configuration: str) -> Snapshot:
    """The state of a pipeline, for a window to show.

    Parameters
    ----------
    executor : Executor
        What runs.
    pipeline_id : str
        Tells this run from all others.
    configuration : str
        The name of the configuration.
    """
    steps = executor.graph.steps
    age, waits = executor.percentiles()
    shown = _shown_names(tuple((spec.name, *spec.next_steps) for spec in steps))
    return Snapshot(
        schema=SCHEMA,
        pipeline=pipeline_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        configuration=_shortened(printable(configuration), LONGEST_TEXT),
        state=cast("State", executor.state),
        executor=executor.name,
        elapsed_s=executor.elapsed_s,
        events=EventCounts(**executor.events()),
        age=_percentiles(age),
        steps=tuple(
            StepSnapshot(
                name=shown[spec.name],
                role=spec.role,
                next_steps=tuple(map(shown.__getitem__, spec.next_steps)),
                chained=spec.chained,
                workers=executor.workers(i),
                worker_states=cast("tuple[WorkerState, ...]", tuple(states)),
                queue_limit=spec.queue_limit,
                running=counters["running"],
                queue=counters["queue"],
                received=counters["received"],
                done=counters["done"],
                failed=counters["failed"],
                sent=counters["sent"],
                busy_s=counters["busy_s"],
                wait=_percentiles(wait),
            )
            for i, (spec, states, counters, wait) in enumerate(
                zip(
                    executor.graph.steps,
                    executor.worker_states(),
                    executor.counters(),
                    waits,
                    strict=True,
                )
            )
        ),
    )


def _percentiles(times: tuple[float, float] | None) -> Percentiles | None:
    return None if times is None else Percentiles(p50_s=times[0], p99_s=times[1])


@functools.lru_cache(maxsize=1)
def _shown_names(steps: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    """What a window is to call steps: names that it takes, each for one step.

    Of each step its name comes first, then those of its next steps.
    """
    longest = LONGEST_TEXT
    while True:
        shown: dict[str, str] = {}
        taken: set[str] = set()
        for name, *_ in steps:
            text = printable(name)
            candidates = (_shortened(text, longest, end) for end in _ends())
            shown[name] = next(each for each in candidates if each not in taken)
            taken.add(shown[name])
        n_bytes = sum(len(shown[name].encode()) for names in steps for name in names)
        # What else is in a snapshot can need as much again.
        if n_bytes <= MOST_BYTES // 2 or longest <= SHORTEST_NAME:
            return shown
        longest //= 2


def _ends() -> Iterator[str]:
    yield ""
    yield from map(str, itertools.count(2))


def _shortened(text: str, longest: int, end: str = "") -> str:
    if len(text) + len(end) <= longest:
        return text + end
    return f"{text[: longest - 1 - len(end)]}…{end}"


class StatusPublisher:
    """Sends snapshots to a window while it is entered, from a thread of its own.

    A window that is not there, or does not keep up, misses snapshots; nothing waits
    for it.

    Parameters
    ----------
    executor : Executor
        What runs.
    address : str
        ``host:port`` of the window, with or without ``tcp://``.
    configuration : str
        The name of the configuration.
    server_key : str
        The window's public key, if it has one: its 40 characters, or a file made by
        `zmq.auth.create_certificates`. Without it nothing is encrypted.

    Raises
    ------
    ConfigurationError
        If the address or the key is none.
    """

    def __init__(
        self, executor: Executor, address: str, configuration: str, server_key: str = ""
    ) -> None:
        self._executor = executor
        self._configuration = configuration
        self._pipeline_id = uuid.uuid4().hex
        self._ended = threading.Event()
        self._context = zmq.Context()
        # Unlike PUB, it says when somebody listens.
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = LONGEST_GOODBYE_MS
        # Nobody looks at it, but with it libzmq refuses what speaks no ZMTP of today. What it takes
        # for a peer of version 1, such as a web server, can end the whole process.
        self._socket.zap_domain = b"ctapipe-pipeline"
        self._socket.sndhwm = 8
        self._socket.reconnect_ivl = 200
        self._socket.reconnect_ivl_max = 1000
        try:
            if server_key:
                self._socket.curve_serverkey = _public_key(server_key)
                self._socket.curve_publickey, self._socket.curve_secretkey = zmq.curve_keypair()
            endpoint = _endpoint(address)
            self._socket.ipv6 = "[" in endpoint
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_CONNECTED | NOBODY_THERE)
            self._connecting_s = time.monotonic()
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ConfigurationError(
                [f"Pipeline.gui_address: {address!r} cannot be used: {error}"]
            ) from error
        except ConfigurationError:
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._publish, name="status", daemon=True)

    def __enter__(self) -> "StatusPublisher":
        try:
            start_thread(self._thread)
        except ConfigurationError:
            self._close()
            self._context.term()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        try:
            self._thread.join()
        finally:
            self._context.term()

    def _publish(self) -> None:
        try:
            self._publish_until_end()
        finally:
            # Whatever went wrong: the context waits for them.
            self._close()

    def _close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()

    def _publish_until_end(self) -> None:
        silence_s = 0.0
        pause_s = SHORTEST_PAUSE_S
        previous = None
        while True:
            ended = self._ended.is_set()
            current = take_snapshot(self._executor, self._pipeline_id, self._configuration)
            progress = (current.state, current.steps)
            if progress != previous:
                pause_s = SHORTEST_PAUSE_S
            else:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if ended:
                self._wait_for_window()
            if ended or progress != previous or silence_s >= LONGEST_SILENCE_S:
                self._socket.send_multipart(
                    [self._pipeline_id.encode(), msgspec.json.encode(current)]
                )
                previous = progress
                silence_s = 0.0
            if ended:
                break
            self._ended.wait(pause_s)
            silence_s += pause_s

    def _wait_for_window(self) -> None:
        """Give a window that is there the time to subscribe, when a run was shorter than that."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        longest_ms = LONGEST_CONNECTING_MS
        # Either says at once what is the case already.
        while (left_ms := longest_ms - round(1e3 * (time.monotonic() - self._connecting_s))) > 0:
            ready = dict(poller.poll(left_ms))
            if self._socket in ready or self._monitor not in ready:
                return
            if recv_monitor_message(self._monitor)["event"] != zmq.EVENT_CONNECTED:
                return
            longest_ms = LONGEST_GOODBYE_MS


def _public_key(key: str) -> bytes:
    if KEY.fullmatch(key) and not Path(key).is_file():
        return key.encode()
    try:
        return load_certificate(key)[0]
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            [
                f"Pipeline.gui_server_key: {key!r} is neither a key of 40 characters nor a file "
                f"with one, as zmq.auth.create_certificates makes it: {error}"
            ]
        ) from error


def _endpoint(address: str) -> str:
    endpoint = address if "://" in address else f"tcp://{address}"
    match = re.fullmatch(r"tcp://(\[[0-9a-fA-F:.]+\]|[^:/\s]+):(\d{1,5})", endpoint)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ConfigurationError(
            [
                f"Pipeline.gui_address: {address!r} is no address; "
                "write host:port, for example localhost:5565"
            ]
        )
    return endpoint
