"""A worker in a process of its own: what it is made of, and its life."""

import contextlib
import dataclasses
import logging
import logging.handlers
import os
import pickle
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from tblib import pickling_support

from ._channel import Channel
from ._shared import SharedMemory
from .bodies import Bodies
from .errors import ConfigurationError, StepError
from .graph import Graph
from .remote_router import RemoteRouter
from .step import create_steps
from .worker import Worker

__all__ = ["SharedLayout", "WorkerSetup", "dump_error"]

# A cache line, and the size of wire_counts (see _wire.h), bytes.
FLAGS_SIZE = 64
COUNTS_SIZE = 128


@dataclasses.dataclass(frozen=True)
class SharedLayout:
    """Where what the processes of a run share lies.

    Parameters
    ----------
    rooms : tuple of int
        The size of each worker's arena, bytes.
    """

    rooms: tuple[int, ...]

    @property
    def extra(self) -> int:
        """The size of the flags and the counts together, bytes."""
        return FLAGS_SIZE + COUNTS_SIZE * len(self.rooms)

    def flags(self, memory: SharedMemory) -> int:
        """The address of the run's flags."""
        return memory.extra_address

    def counts(self, memory: SharedMemory, worker: int) -> int:
        """The address of a worker's counts."""
        return memory.extra_address + FLAGS_SIZE + COUNTS_SIZE * worker


@dataclasses.dataclass(frozen=True)
class WorkerSetup:
    """All that a worker process needs to know.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph; the classes of the steps that it does not run may be missing.
    steps : tuple of int
        The index of each worker's step.
    send_ahead : tuple of int
        How many messages each worker may send before the router reads them.
    memory_fd : int
        The file descriptor of the shared memory.
    layout : SharedLayout
        Where things are in it.
    log_name : str
        The name of the pipeline's log.
    log_level : int
        Its level.
    """

    graph: Graph
    steps: tuple[int, ...]
    send_ahead: tuple[int, ...]
    memory_fd: int
    layout: SharedLayout
    log_name: str
    log_level: int

    def run(self, index: int, endpoint: str, connection: Connection) -> None:
        """Be a worker, until the main process lets it finish or dies.

        Parameters
        ----------
        index : int
            Which one.
        endpoint : str
            The router's address for it.
        connection : multiprocessing.connection.Connection
            To the main process: it is sent ``("initialized",)``, ``("error", error)`` and
            ``("log", record)``, and sends ``work`` and ``finish``.
        """
        send = _Sender(connection)
        memory = SharedMemory.attach(self.memory_fd, private=True)
        spec = self.graph.steps[self.steps[index]]
        channel = Channel(
            RemoteRouter(
                endpoint, self.layout.counts(memory, index), self.layout.flags(memory)
            ),
            self.steps[index],
            self.send_ahead[index],
            bodies=Bodies(memory, index, self.layout.rooms[index], is_process=True),
            leave=bytes([1] * len(self.graph.steps)),
            is_process=True,
        )
        try:
            (step,) = create_steps(self.graph, [(spec, channel.send)], self._log(send))
        except (ConfigurationError, StepError) as error:
            send("error", dump_error(error))
            send("initialized")
            channel.goodbye()
            channel.close()
            return
        worker = Worker(step, channel, False, lambda error: send("error", dump_error(error)))
        worker.start()
        worker.initialized.wait()
        send("initialized")
        try:
            while True:
                command = connection.recv()
                if command == "work":
                    worker.work()
                elif command == "finish":
                    worker.work()
                    worker.finish()
                    break
        except (EOFError, OSError):
            # The main process has died, or has been told to end at once.
            os._exit(1)
        worker.join()
        channel.close()

    def _log(self, send: "_Sender") -> logging.Logger:
        logging.getLogger().addHandler(_LogHandler(send))
        log = logging.getLogger(self.log_name)
        log.setLevel(self.log_level)
        return log


class _Sender:
    """Sends to the main process, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, *message: Any) -> None:
        # It has died: this process ends too.
        with self._lock, contextlib.suppress(OSError):
            self._connection.send(message)


class _LogHandler(logging.handlers.QueueHandler):
    """Hands what is logged to the main process."""

    def __init__(self, send: _Sender) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send("log", record)


def dump_error(error: StepError | ConfigurationError) -> bytes:
    """An error as a pickle, with its cause and that one's traceback."""
    try:
        pickled = _dump(error)
        # Not every exception can be made again from its arguments.
        pickle.loads(pickled)
    except Exception:
        cause = error.__cause__
        lines = traceback.format_exception_only(cause) if cause is not None else []
        substitute = RuntimeError("".join(lines).strip())
        substitute.__traceback__ = cause.__traceback__ if cause is not None else None
        error.__cause__ = substitute
        pickled = _dump(error)
    return pickled


def _dump(error: BaseException) -> bytes:
    pickling_support.install(error)
    return pickle.dumps(error)
