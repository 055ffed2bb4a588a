"""The main process's side of worker processes: starts, watches, replaces and ends them."""

import contextlib
import logging
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Pipe, wait

from .._router import Router
from ..errors import ConfigurationError, StepError
from ..transport.indices import RouterIndex
from ..workers.worker_thread import wait_for
from .fork_server_client import ForkServerClient
from .process_worker import ProcessWorker

__all__ = ["Supervisor"]

# How often in a row a replacement may die before it is initialized.
MOST_FAILED_STARTS = 10


class Supervisor:
    """Looks after all worker processes of a run, in a thread of its own.

    Parameters
    ----------
    fork_server : ForkServerClient
        What forks them; it is closed with this.
    router : Router
        To be told who died.
    log : logging.Logger
        Where to say what happens.
    on_error : callable
        Takes the error of a worker, with which the run ends.
    may_skip : callable
        Takes the error of a message that failed, and says whether the run goes on without it.
    retries : int
        How many workers a message may kill before it is given up.
    step_names : sequence of str
        The names of the pipeline's steps.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        router: Router,
        log: logging.Logger,
        on_error: Callable[[StepError | ConfigurationError], None],
        may_skip: Callable[[StepError | ConfigurationError], bool],
        retries: int,
        step_names: Sequence[str],
    ) -> None:
        self._router = router
        self._log = log
        self._on_error = on_error
        self._may_skip = may_skip
        self._retries = retries
        self._step_names = step_names
        self._workers: list[ProcessWorker] = []
        self._lock = threading.Lock()
        self._dying: set[ProcessWorker] = set()
        self._is_routed = False
        self._is_aborted = False
        self._has_failed = False
        self._fork_server = fork_server
        self._ready = threading.Event()
        self._error: str | None = None
        self._stop_read, self._stop_write = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._watch, name="processes", daemon=True)

    def start(self) -> None:
        """Watch the fork server and the workers from now on."""
        self._thread.start()

    def worker(
        self, slot: int, router_index: RouterIndex, name: str, has_finish: bool
    ) -> ProcessWorker:
        """A worker that is not started yet."""
        worker = ProcessWorker(self.fork, slot, router_index, name, has_finish)
        self._workers.append(worker)
        return worker

    def fork(self, worker: ProcessWorker) -> None:
        """Start a worker's process.

        Raises
        ------
        ConfigurationError
            If what it is made of cannot be had in another process.
        """
        wait_for(self._ready)
        if self._error is not None:
            raise ConfigurationError(
                [f"the steps cannot be made in worker processes: {self._error}"]
            )
        with self._lock:
            endpoint = self._router.endpoint(worker.router_index)
            worker.connection = self._fork_server.fork(worker.slot, endpoint)
        self._wake()

    def routed(self) -> None:
        """The router has ended: who dies now is not replaced."""
        with self._lock:
            self._is_routed = True
            for worker in self._dying:
                worker.has_ended()

    def abort(self) -> None:
        """Kill them all."""
        self._is_aborted = True
        for worker in self._workers:
            if worker.pid is not None and not worker.ended.is_set():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process that workers are forked from, and the thread."""
        self._stop_write.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._fork_server.close()
        self._stop_read.close()
        for worker in self._workers:
            if worker.connection is not None:
                worker.connection.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._stop_write.send_bytes(b"")

    # ------------------------------------------------------ in the thread

    def _watch(self) -> None:
        notices = self._router.notice_fd
        server = self._fork_server.connection
        try:
            while True:
                connections = {
                    worker.connection: worker
                    for worker in self._workers
                    if worker.connection is not None and not worker.connection.closed
                }
                ready = wait([server, self._stop_read, notices, *connections])
                for connection in ready:
                    if connection in connections:
                        self._read(connections[connection])
                if notices in ready:
                    self._take_notices()
                if server in ready:
                    self._read_server()
                if self._stop_read in ready:
                    self._stop_read.recv_bytes()
        except (EOFError, ConnectionError):
            if self._stop_write.closed:
                return
            self._give_all_up("the process that they are forked from has died")
        except Exception as error:
            # Nobody else hears what they say: without an end, the run would wait for ever.
            what = "".join(traceback.format_exception_only(error)).strip()
            self._give_all_up(f"worker processes can no longer be watched: {what}")

    def _read_server(self) -> None:
        kind, *what = self._fork_server.connection.recv()
        if kind == "ready":
            self._ready.set()
        elif kind == "failed":
            (self._error,) = what
            self._ready.set()
        elif kind == "started":
            slot, pid = what
            self._fork_server.started(slot)
            self._in_slot(slot).pid = pid
            if self._is_aborted:
                self.abort()
        else:
            self._handle_end(*what)

    def _in_slot(self, slot: int) -> ProcessWorker:
        return next(worker for worker in self._workers if worker.slot == slot)

    def _read(self, worker: ProcessWorker) -> None:
        """Handle what a worker says, as long as there is anything."""
        assert worker.connection is not None
        try:
            while worker.connection.poll():
                kind, *what = worker.connection.recv()
                if kind == "log":
                    (record,) = what
                    logging.getLogger(record.name).handle(record)
                elif kind == "error":
                    self._fail(pickle.loads(what[0]))
                elif kind == "may skip":
                    worker.tell("skip", self._may_skip(pickle.loads(what[0])))
                else:
                    worker.has_done()
        except (EOFError, OSError):
            worker.connection.close()

    def _handle_end(self, slot: int, status: int) -> None:
        worker = self._in_slot(slot)
        if worker.connection is not None and not worker.connection.closed:
            self._read(worker)
            worker.connection.close()
        if status == 0 or self._is_aborted:
            worker.has_ended()
            return
        how = _describe(status)
        worker.n_failed_starts += not worker.is_initialized
        with self._lock:
            at_work = worker.works and not self._is_routed
            if at_work and worker.n_failed_starts <= MOST_FAILED_STARTS:
                self._log.warning(
                    "step %r: the worker process %s %s; another takes its place",
                    worker.name,
                    worker.pid,
                    how,
                )
                self._dying.add(worker)
                self._router.worker_died(worker.router_index, True)
                return
        if at_work or not worker.works:
            if not self._has_failed:
                self._fail(StepError(worker.name, f"lost its worker process in init(): it {how}"))
            self._router.worker_died(worker.router_index, False)
        elif worker.has_finish:
            self._fail(StepError(worker.name, f"lost its worker process in finish(): it {how}"))
        worker.has_ended()

    def _take_notices(self) -> None:
        for kind, index, *rest in self._router.notices():
            if kind == "given up":
                self._give_up(self._step_names[index], *rest)
                continue
            worker = next(worker for worker in self._workers if worker.router_index == index)
            with self._lock:
                self._dying.discard(worker)
            if rest[0] and not self._is_routed:
                self.fork(worker)
                worker.tell_again()
            else:
                worker.has_ended()

    def _give_up(self, step: str, event: int) -> None:
        n = self._retries + 1
        times = "a worker process" if n == 1 else f"{n} worker processes"
        if not self._may_skip(StepError(step, f"lost {times} to one message", event)):
            self._router.discard()

    def _fail(self, error: StepError | ConfigurationError) -> None:
        self._has_failed = True
        self._on_error(error)
        self._router.discard()

    def _give_all_up(self, why: str) -> None:
        """No process can be started any more, and nobody hears of those that end."""
        self._error = self._error or why
        self._ready.set()
        self._is_aborted = True
        for worker in self._workers:
            if not worker.ended.is_set():
                self._fail(StepError(worker.name, f"cannot go on: {self._error}"))
                if worker.pid is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGKILL)
                self._router.worker_died(worker.router_index, False)
                worker.has_ended()


def _describe(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
