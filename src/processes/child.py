"""A worker in a process of its own: what it is made of, and its life."""

import contextlib
import dataclasses
import gc
import logging
import logging.handlers
import os
import pickle
import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from tblib import pickling_support

from ..configuration.graph import Graph
from ..errors import ConfigurationError, Failure, StepError, as_failure
from ..transport._channel import Channel
from ..transport._packing import Packer
from ..transport._shared import SharedMemory
from ..workers.chains import ChainCounts, join_chain
from ..workers.step import Step, create_steps
from ..workers.worker import Worker
from ..workers.worker_thread import WorkerThread
from .remote_router import RemoteRouter
from .shared_layout import SharedLayout

__all__ = ["WorkerSetup", "dump_error", "log_levels"]

OnError = Callable[[Failure], None]
MaySkip = Callable[[Failure], bool]


@dataclasses.dataclass(frozen=True)
class WorkerSetup:
    """All that a worker process needs to know.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph; the classes of the steps that run elsewhere may be missing.
    slots : tuple of tuple (head, number)
        Of each worker the index of its step, the first of its chain, and which of that
        step's workers it is.
    send_ahead : tuple of int
        How many messages each may send before the router reads them.
    layout : SharedLayout
        Where things are in the shared memory.
    log_name : str
        The name of the pipeline's log.
    log_levels : mapping of str to int
        The levels of the loggers that have one: see `log_levels`.
    """

    graph: Graph
    slots: tuple[tuple[int, int], ...]
    send_ahead: tuple[int, ...]
    layout: SharedLayout
    log_name: str
    log_levels: Mapping[str, int]

    def run(self, memory_fd: int, slot: int, endpoint: str, connection: Connection) -> None:
        """Be a worker, until the main process ends it or dies.

        Parameters
        ----------
        memory_fd : int
            The file descriptor of the shared memory.
        slot : int
            Which one.
        endpoint : str
            The router's address for it.
        connection : multiprocessing.connection.Connection
            To the main process. It sends ``(call, step)``, a call being ``init``, ``work``
            or ``finish``, and then ``("end",)``; ``("skip", whether)`` when it was asked; and
            ``("stack", None)``. It is sent ``("done",)`` after each call, ``("error", error)``,
            ``("may skip", error)``, ``("log", record)``, ``("stack", text)``, and
            ``("broken", error)`` if the worker cannot go on.
        """
        send = _Sender(connection)
        name = self.graph.steps[self.slots[slot][0]].name
        answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def may_skip(error: Failure) -> bool:
            send("may skip", dump_error(error))
            return answers.get()

        def on_error(error: Failure) -> None:
            send("error", dump_error(error))

        def on_failure(error: BaseException) -> None:
            send("broken", dump_error(as_failure(f"a worker of step {name!r} cannot go on", error)))

        with contextlib.closing(SharedMemory.attach(memory_fd, private=True)) as memory:
            try:
                channel = self._channel(slot, endpoint, memory)
                worker, steps = self._worker(slot, channel, memory, send, on_error, may_skip)
            except (ConfigurationError, StepError) as error:
                on_error(error)
                os._exit(1)
            except BaseException as error:
                on_failure(error)
                os._exit(1)
            thread = WorkerThread(name, on_failure)

            def call(what: str, arguments: list[Step]) -> None:
                if what == "work":
                    # What modules and steps have made stays: not to be looked through again.
                    gc.freeze()
                getattr(worker, what)(*arguments)
                send("done")

            try:
                while (command := connection.recv()) != ("end",):
                    what, argument = command
                    if what == "skip":
                        answers.put(argument)
                    elif what == "stack":
                        send("stack", thread.stack())
                    else:
                        thread.call(call, what, [] if what == "work" else [steps[argument]])
            except (EOFError, OSError):
                # The main process has died, or has told it to end at once.
                os._exit(1)
            thread.end()
            thread.join()
            channel.close()

    def _channel(self, slot: int, endpoint: str, memory: SharedMemory) -> Channel:
        head, _ = self.slots[slot]
        layout = self.layout
        return Channel(
            RemoteRouter(endpoint, layout.counts(memory, slot), layout.flags(memory)),
            head,
            self.send_ahead[slot],
            packer=Packer(
                memory,
                layout.arena(slot),
                layout.arena_sizes[slot],
                layout.holder(slot),
                keeps=True,
            ),
            leaves_process=bytes([1] * len(self.graph.steps)),
            is_process=True,
        )

    def _worker(
        self,
        slot: int,
        channel: Channel,
        memory: SharedMemory,
        send: "_Sender",
        on_error: OnError,
        may_skip: MaySkip,
    ) -> tuple[Worker, dict[int, Step]]:
        head, number = self.slots[slot]
        chain = self.graph.chains()[head]
        created = create_steps(
            self.graph,
            [(self.graph.steps[i], channel.send) for i in chain],
            self._log(send),
            interruptible=False,
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
        # So that what all workers warn of need not be shown so many times.
        logging.captureWarnings(True)
        for name, level in self.log_levels.items():
            logging.getLogger(name).setLevel(level)
        return logging.getLogger(self.log_name)


class _Sender:
    """Sends to the main process, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, *message: Any) -> None:
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            # The main process has died, or a step has closed the connection: nobody would hear
            # of this one again.
            os._exit(1)


class _LogHandler(logging.handlers.QueueHandler):
    """Hands what is logged to the main process."""

    def __init__(self, send: _Sender) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send("log", record)


def log_levels() -> dict[str, int]:
    """The levels that loggers of this process have been given, the root's by an empty name."""
    loggers = logging.Logger.manager.loggerDict.copy()
    levels = {
        name: logger.level
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET
    }
    return {"": logging.getLogger().level, **levels}


def dump_error(error: Failure) -> bytes:
    """An error as a pickle, with its cause and that one's traceback."""
    try:
        pickled = _dump(error)
        # Not every exception can be made again from its arguments.
        pickle.loads(pickled)
    except BaseException:
        cause = error.__cause__
        lines = traceback.format_exception_only(cause) if cause is not None else []
        substitute = RuntimeError("".join(lines).strip())
        substitute.__traceback__ = cause.__traceback__ if cause is not None else None
        error.__cause__ = error.__context__ = substitute
        pickled = _dump(error)
    return pickled


def _dump(error: BaseException) -> bytes:
    pickling_support.install(error)
    return pickle.dumps(error)
