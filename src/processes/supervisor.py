"""The main process's side of worker processes: starts, watches, replaces and ends them."""

import contextlib
import logging
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Pipe, wait

from .._router import Router
from ..errors import ConfigurationError, Failure, RunError, StepError, as_failure
from ..transport.indices import RouterIndex
from ..workers.worker_thread import start_thread
from .fork_server_client import ForkServerClient
from .process_worker import ProcessWorker
from .worker_logs import WorkerLogs

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
    break_off : callable
        Takes why the run cannot go on.
    wait_for : callable
        Takes an event and what it is, and waits for it in the main thread.
    retries : int
        How many workers a message may kill before it is given up.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        router: Router,
        log: logging.Logger,
        on_error: Callable[[Failure], None],
        may_skip: Callable[[Failure], bool],
        break_off: Callable[[Failure], None],
        wait_for: Callable[[threading.Event, str], None],
        retries: int,
    ) -> None:
        self._router = router
        self._log = log
        self._on_error = on_error
        self._may_skip = may_skip
        self._break_off = break_off
        self._wait_for = wait_for
        self._retries = retries
        self._workers: list[ProcessWorker] = []
        self._lock = threading.Lock()
        # Those that the router has yet to clear: which process it was, and how it died.
        self._dying: dict[ProcessWorker, tuple[int | None, str]] = {}
        self._is_routed = False
        self._is_aborted = False
        self._fork_server = fork_server
        self._logs = WorkerLogs()
        self._ready = threading.Event()
        self._wake_read, self._wake_write = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._watch, name="processes", daemon=True)

    def start(self) -> None:
        """Watch the fork server and the workers from now on."""
        start_thread(self._thread)

    def worker(
        self, slot: int, router_index: RouterIndex, name: str, has_finish: bool
    ) -> ProcessWorker:
        """A worker that is not started yet."""
        worker = ProcessWorker(self.fork, slot, router_index, name, has_finish)
        self._workers.append(worker)
        return worker

    def fork(self, worker: ProcessWorker) -> None:
        """Start a worker's process, unless the run has been broken off.

        Raises
        ------
        OSError
            If this process may not open any more files.
        """
        self._wait_for(self._ready, "the modules of the steps to be imported for worker processes")
        with self._lock:
            if self._is_aborted:
                worker.has_ended()
                return
            endpoint = self._router.endpoint(worker.router_index)
            worker.connection = self._fork_server.fork(worker.slot, endpoint)
        self._wake()

    def routed(self) -> None:
        """The router has ended: who dies now is not replaced."""
        with self._lock:
            self._is_routed = True
            dying, self._dying = self._dying, {}
        for worker, (_, how) in dying.items():
            self._lose(worker, "finish", how)

    def abort(self) -> None:
        """Kill them all, and let nobody wait for them any more."""
        with self._lock:
            self._is_aborted = True
        self._ready.set()
        for worker in self._workers:
            worker.kill()
            worker.has_ended()

    def close(self) -> None:
        """End the process that workers are forked from, and the thread."""
        self._wake(b"end")
        if self._thread.ident is not None:
            self._thread.join()
        self._logs.log_repeated(self._log)
        self._fork_server.close()
        self._wake_read.close()
        self._wake_write.close()
        for worker in self._workers:
            if worker.connection is not None:
                worker.connection.close()

    def _wake(self, why: bytes = b"more to watch") -> None:
        with contextlib.suppress(OSError):
            self._wake_write.send_bytes(why)

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
                ready = wait([server, self._wake_read, notices, *connections])
                for connection in ready:
                    if connection in connections:
                        self._read(connections[connection])
                if notices in ready:
                    self._take_notices()
                if server in ready:
                    self._read_server()
                if self._wake_read in ready and self._wake_read.recv_bytes() == b"end":
                    return
        except BaseException as error:
            # Nobody else hears what they say.
            self._break_off(as_failure("worker processes can no longer be watched", error))

    def _read_server(self) -> None:
        try:
            kind, *what = self._fork_server.connection.recv()
        except (EOFError, OSError):
            raise RunError("the process that worker processes are forked from has died") from None
        if kind == "ready":
            self._ready.set()
        elif kind == "started":
            slot, pid = what
            self._fork_server.started(slot)
            worker = self._in_slot(slot)
            worker.pid = pid
            if self._is_aborted:
                worker.kill()
        elif kind == "ended":
            self._handle_end(*what)
        elif kind == "refused":
            raise ConfigurationError(
                [
                    f"the system refuses another worker process ({what[0]}): lower 'nb_process', "
                    "or raise the limit with ulimit -u"
                ]
            )
        elif self._ready.is_set():
            raise RunError(f"worker processes can no longer be started: {what[0]}")
        else:
            raise ConfigurationError([f"the steps cannot be made in worker processes: {what[0]}"])

    def _in_slot(self, slot: int) -> ProcessWorker:
        return next(worker for worker in self._workers if worker.slot == slot)

    def _read(self, worker: ProcessWorker) -> None:
        """Handle what a worker says, as long as there is anything."""
        assert worker.connection is not None
        try:
            while worker.connection.poll():
                kind, *what = worker.connection.recv()
                if kind == "log":
                    self._logs.handle(*what)
                elif kind == "error":
                    worker.has_failed = True
                    self._fail(pickle.loads(what[0]))
                elif kind == "may skip":
                    worker.tell("skip", self._may_skip(pickle.loads(what[0])))
                elif kind == "stack":
                    worker.stacks.put(what[0])
                elif kind == "broken":
                    self._break_off(pickle.loads(what[0]))
                else:
                    worker.has_done()
        except (EOFError, OSError):
            worker.connection.close()

    def _handle_end(self, slot: int, status: int) -> None:
        worker = self._in_slot(slot)
        # Its number may be given to another process.
        pid, worker.pid = worker.pid, None
        if worker.connection is not None and not worker.connection.closed:
            self._read(worker)
            worker.connection.close()
        if self._is_aborted:
            return
        if worker.is_finished and worker.is_retiring:
            self._router.worker_died(worker.router_index, True)
            return
        if worker.is_finished:
            worker.has_ended()
            return
        how = _describe(status) if worker.timed_out is None else "has taken too long"
        call = "finish" if worker.works and worker.is_initialized else "init"
        with self._lock:
            is_at_work = worker.works and not self._is_routed and not worker.is_retiring
            worker.n_failed_starts += call == "init"
            if is_at_work and worker.n_failed_starts <= MOST_FAILED_STARTS:
                self._dying[worker] = pid, how
                gives_up = worker.timed_out is not None
                self._router.worker_died(worker.router_index, True, gives_up)
                return
        if not self._is_routed:
            self._router.worker_died(worker.router_index, False)
        self._lose(worker, call, how)

    def _lose(self, worker: ProcessWorker, call: str, how: str) -> None:
        """A worker has died whose place is not taken."""
        if not worker.has_failed and (call == "init" or worker.has_finish):
            self._fail(StepError(worker.name, f"lost its worker process in {call}(): it {how}"))
        worker.has_ended()

    def _take_notices(self) -> None:
        for kind, index, *rest in self._router.notices():
            worker = next(worker for worker in self._workers if worker.router_index == index)
            if kind == "given up":
                self._give_up(worker, *rest)
                continue
            if kind == "retired":
                worker.retire()
                continue
            with self._lock:
                pid, how = self._dying.pop(worker, (None, ""))
            (is_replaced,) = rest
            worker.timed_out = None
            if how and is_replaced:
                self._log.warning(
                    "step %r: the worker process %s %s; another takes its place",
                    worker.name,
                    pid,
                    how,
                )
            if is_replaced:
                self.fork(worker)
                worker.tell_again()
            elif how:
                # The router has told it to stop.
                self._lose(worker, "finish", how)
            else:
                worker.has_ended()

    def _give_up(self, worker: ProcessWorker, event: int) -> None:
        worker.n_given_up += 1
        n = self._retries + 1
        times = "a worker process" if n == 1 else f"{n} worker processes"
        error = worker.timed_out or StepError(worker.name, f"lost {times} to one message", event)
        if not self._may_skip(error):
            self._router.discard()

    def _fail(self, error: Failure) -> None:
        self._on_error(error)
        self._router.discard()


def _describe(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
