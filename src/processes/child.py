"""A worker in a process of its own: what it is made of, and its life."""

import contextlib
import ctypes
import dataclasses
import gc
import logging
import logging.handlers
import os
import pickle
import queue
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from tblib import pickling_support

from ..configuration.graph import Graph
from ..errors import ConfigurationError, StepError
from ..transport._channel import Channel
from ..transport._shared import SharedMemory
from ..transport.packing import Bodies
from ..workers.chains import ChainCounts, join_chain
from ..workers.step import Step, create_steps
from ..workers.worker import Worker, WorkerThread
from .remote_router import RemoteRouter

__all__ = ["SharedLayout", "WorkerSetup", "dump_error"]

OnError = Callable[[StepError | ConfigurationError], None]
MaySkip = Callable[[StepError | ConfigurationError], bool]

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
    chain_counts_size : int
        The size of the counts of chains, bytes.
    """

    rooms: tuple[int, ...] = ()
    chain_counts_size: int = 0

    @property
    def extra(self) -> int:
        """The size of the flags and all counts together, bytes."""
        return FLAGS_SIZE + COUNTS_SIZE * len(self.rooms) + self.chain_counts_size

    def flags(self, memory: SharedMemory) -> int:
        """The address of the run's flags."""
        return memory.extra_address

    def counts(self, memory: SharedMemory, worker: int) -> int:
        """The address of a worker's counts."""
        return memory.extra_address + FLAGS_SIZE + COUNTS_SIZE * worker

    def chain_counts(self, memory: SharedMemory) -> memoryview:
        """The counts of chains; to be used as long as the memory is open."""
        size = self.chain_counts_size
        return memoryview((ctypes.c_char * size).from_address(self.counts(memory, len(self.rooms))))


@dataclasses.dataclass(frozen=True)
class WorkerSetup:
    """All that a worker process needs to know.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph; the classes of the steps that run elsewhere may be missing.
    workers : tuple of tuple (head, number)
        Of each worker the index of its step, the first of its chain, and which of that
        step's workers it is.
    send_ahead : tuple of int
        How many messages each worker may send before the router reads them.
    layout : SharedLayout
        Where things are in the shared memory.
    log_name : str
        The name of the pipeline's log.
    log_level : int
        Its level.
    """

    graph: Graph
    workers: tuple[tuple[int, int], ...]
    send_ahead: tuple[int, ...]
    layout: SharedLayout
    log_name: str
    log_level: int

    def run(self, memory_fd: int, index: int, endpoint: str, connection: Connection) -> None:
        """Be a worker, until the main process ends it or dies.

        Parameters
        ----------
        memory_fd : int
            The file descriptor of the shared memory.
        index : int
            Which one.
        endpoint : str
            The router's address for it.
        connection : multiprocessing.connection.Connection
            To the main process. It sends ``(call, step)``, a call being ``init``, ``work``
            or ``finish``, and then ``("end",)``; and ``("skip", whether)`` when it was
            asked. It is sent ``("done",)`` after each call, ``("error", error)``,
            ``("may skip", error)`` and ``("log", record)``.
        """
        send = _Sender(connection)
        answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def may_skip(error: StepError | ConfigurationError) -> bool:
            send("may skip", dump_error(error))
            return answers.get()

        def on_error(error: StepError | ConfigurationError) -> None:
            send("error", dump_error(error))

        with contextlib.closing(SharedMemory.attach(memory_fd, private=True)) as memory:
            channel = self._channel(index, endpoint, memory)
            try:
                worker, steps = self._worker(index, channel, memory, send, on_error, may_skip)
            except (ConfigurationError, StepError) as error:
                on_error(error)
                os._exit(1)
            thread = WorkerThread(worker.steps[0].name)

            def call(name: str, arguments: list[Step]) -> None:
                if name == "work":
                    # What modules and steps have made stays: not to be looked through again.
                    gc.freeze()
                getattr(worker, name)(*arguments)
                send("done")

            try:
                while (command := connection.recv()) != ("end",):
                    name, argument = command
                    if name == "skip":
                        answers.put(argument)
                    else:
                        thread.call(call, name, [] if name == "work" else [steps[argument]])
            except (EOFError, OSError):
                # The main process has died, or has told it to end at once.
                os._exit(1)
            thread.end()
            thread.join()
            channel.close()

    def _channel(self, index: int, endpoint: str, memory: SharedMemory) -> Channel:
        head, _ = self.workers[index]
        return Channel(
            RemoteRouter(endpoint, self.layout.counts(memory, index), self.layout.flags(memory)),
            head,
            self.send_ahead[index],
            bodies=Bodies(memory, index, self.layout.rooms[index], is_process=True),
            leave=bytes([1] * len(self.graph.steps)),
            is_process=True,
        )

    def _worker(
        self,
        index: int,
        channel: Channel,
        memory: SharedMemory,
        send: "_Sender",
        on_error: OnError,
        may_skip: MaySkip,
    ) -> tuple[Worker, dict[int, Step]]:
        head, number = self.workers[index]
        chain = self.graph.chains()[head]
        created = create_steps(
            self.graph, [(self.graph.steps[i], channel.send) for i in chain], self._log(send)
        )
        steps = dict(zip(chain, created, strict=True))
        worker = Worker(created, channel, False, on_error, may_skip)
        if len(chain) > 1:
            n_workers = [spec.workers for spec in self.graph.steps]
            counts = ChainCounts(self.graph, n_workers, self.layout.chain_counts(memory))
            rows = {i: counts.row(i, number) for i in chain}
            join_chain(self.graph, steps, rows, worker.on_chained_error, channel)
        return worker, steps

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
