"""Every worker in a thread or a process of its own; messages go through the compiled router."""

import dataclasses
import errno
import functools
import gc
import threading
from collections.abc import Iterable
from typing import Any, ClassVar

from traitlets.config import Config

from .._router import Router
from ..configuration.graph import UNLIMITED, Graph, WorkerKind
from ..errors import ConfigurationError, Failure, as_failure
from ..event_selection import ALL_EVENTS, send_only
from ..processes.child import WorkerSetup, log_levels
from ..processes.descriptor_limit import check_descriptors, too_many_workers
from ..processes.fork_server_client import ForkServerClient
from ..processes.pickle_by_value import dump_by_value
from ..processes.private_directory import PrivateDirectory
from ..processes.process_worker import ProcessWorker
from ..processes.shared_layout import SharedLayout, arena_sizes
from ..processes.supervisor import Supervisor
from ..transport._buffers import BufferPool
from ..transport._channel import Channel
from ..transport._packing import Packer
from ..transport._shared import SharedMemory
from ..transport.indices import RouterIndex
from ..workers.chains import ChainCounts, join_chain
from ..workers.step import Send, Step, create_steps
from ..workers.worker import Worker
from ..workers.worker_thread import LONGEST_DEAFNESS_S, start_thread
from .executor import Executor, Percentiles
from .thread_worker import ThreadWorker
from .watchdog import Watchdog

__all__ = ["Processes", "Threads"]

MOST_SEND_AHEAD = 64
# Records of 32 bytes.
LONGEST_TRACE = 1 << 20
# What a worker process takes here when it starts: its connection to the router, and both ends of
# that to the main process.
DESCRIPTORS_PER_PROCESS = 3


class Parallel(Executor):
    """Runs every worker in a thread or a process of its own."""

    # What a stage runs in that says nothing else.
    default: ClassVar[WorkerKind]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        graph = self.graph
        self._chains = graph.chains()
        self._in_process = [self._runs_in_process(i) for i in range(len(graph.steps))]
        # The first step of each worker's chain, and which of that step's workers it is.
        self._slots = [
            (head, number) for head in self._chains for number in range(graph.steps[head].workers)
        ]
        n_workers = [spec.workers for spec in graph.steps]
        self._chain_counts = ChainCounts(graph, n_workers)
        self._memory: SharedMemory | None = None
        self._directory: PrivateDirectory | None = None
        self._supervisor: Supervisor | None = None
        self._layout = SharedLayout()
        try:
            if any(self._in_process):
                self._directory = PrivateDirectory()
                roles = [graph.steps[head].role for head, _ in self._slots]
                sizes = arena_sizes(roles, self._shared_memory_mb)
                self._layout = SharedLayout(sizes, self._chain_counts.size)
                self._memory = self._layout.create()
                counts = self._layout.chain_counts(self._memory)
                self._chain_counts = ChainCounts(graph, n_workers, counts)
            self._router = self._make_router()
        except BaseException:
            self._close_processes()
            if self._memory is not None:
                self._chain_counts.close()
                self._memory.close()
            raise
        self._channels: list[Channel] = []
        self._workers: list[ThreadWorker | ProcessWorker] = []
        # Where an `init` was called, by step, in the order of the calls.
        self._to_finish: dict[int, list[ThreadWorker | ProcessWorker]] = {}
        # So that nobody reads counts of a router that is being closed.
        self._counting = threading.RLock()
        self._closed = False
        self._last_counters: list[dict[str, Any]] | None = None
        self._router_thread: threading.Thread | None = None
        self._routed = threading.Event()
        self._left: tuple[list[int], int] = ([], 0)
        self._is_broken = False
        self._is_created = False
        self._is_aborted = False

    def workers(self, index: int) -> int:
        return self.graph.steps[index].workers

    def counters(self) -> list[dict[str, Any]]:
        with self._counting:
            if self._last_counters is not None:
                return self._last_counters
            counters = self._chain_counts.complete(self._router.counters())
            for (head, _), worker in zip(self._slots, self._workers, strict=False):
                # The router has counted them, too, but not for those who count themselves.
                if isinstance(worker, ProcessWorker) and len(self._chains[head]) > 1:
                    counters[head]["failed"] += worker.n_given_up
            return counters

    def worker_states(self) -> list[list[str]]:
        with self._counting:
            if self._closed:
                return [["idle"] * self.workers(i) for i in range(len(self.graph.steps))]
            states = self._chain_counts.complete_states(self._router.worker_states())
        # Those that are not connected yet do nothing.
        return [known + ["idle"] * (self.workers(i) - len(known)) for i, known in enumerate(states)]

    def events(self) -> dict[str, int]:
        return self._router.events()

    def percentiles(self) -> tuple[Percentiles | None, list[Percentiles | None]]:
        return self._router.percentiles()

    def record_trace(self) -> None:
        self._router.record_trace(LONGEST_TRACE)

    def trace(self) -> tuple[list[tuple[str, int]], bytes]:
        workers = [(self.graph.steps[head].name, number) for head, number in self._slots]
        return workers, self._router.recorded_trace()

    def _unfinished(self) -> tuple[list[int], int]:
        return self._left

    def _end_production(self) -> None:
        self._router.end_production()

    def _runs_in_process(self, index: int) -> bool:
        head = self.graph.steps[self.graph.head_of(index)]
        return head.worker_kind(self.default) == "processes"

    def _make_router(self) -> Router:
        steps = [
            (
                spec.queue_limit,
                rank,
                spec.prefetch or 0,
                self.graph.steps_before(i) if spec.ordered else None,
                spec.max_jobs_per_worker or 0,
            )
            for i, (spec, rank) in enumerate(zip(self.graph.steps, self.graph.ranks(), strict=True))
        ]
        if self._memory is None or self._directory is None:
            return Router(steps)
        return Router(
            steps,
            segment=self._memory.segment,
            flags=self._layout.flags(self._memory),
            directory=self._directory.path,
            retries=self._retries,
        )

    def _run(self) -> None:
        try:
            self._create_workers()
            heads = [head for head, _ in self._slots]
            self._watchdog = Watchdog(self.graph, self.log, self._router, heads, self._workers)
        except BaseException as error:
            self._close()
            if self._is_broken and isinstance(error, Exception):
                # What else went wrong is because of that.
                raise self._first_error() from None
            raise
        self._is_created = True
        try:
            try:
                self._work()
            except Exception as error:
                self._break_off(as_failure("the run cannot go on", error))
            self._finish()
        except BaseException:
            # Interrupted for the second time.
            self._abort()
            raise
        if any(isinstance(worker, ThreadWorker) and worker.is_given_up for worker in self._workers):
            self._close_later()
        else:
            self._join_and_close()

    def _work(self) -> None:
        """Initialize the workers and let them work until the router has ended."""
        if not self._initialize():
            return
        self.state = "running"
        router_thread = threading.Thread(target=self._route, name="router", daemon=True)
        start_thread(router_thread)
        self._router_thread = router_thread
        # What modules and steps have made stays: not to be looked through again.
        gc.freeze()
        try:
            for worker in self._workers:
                worker.call("work")
            self._wait_for(self._routed)
        finally:
            gc.unfreeze()

    def _initialize(self) -> bool:
        """Call ``init`` of all workers, step by step, and say whether they may work.

        In the order of the graph, so that no output is touched when an input is not there.
        """
        for i in range(len(self.graph.steps)):
            calls = []
            self._to_finish[i] = []
            for worker in self._of(i):
                calls.append(worker.call("init", i))
                self._to_finish[i].append(worker)
            for ended in calls:
                self._wait_for(ended)
            if self._is_ending():
                return False
        return True

    def _finish(self) -> None:
        """Call ``finish`` wherever ``init`` was called, step by step, and end the workers."""
        if self._supervisor is not None:
            self._supervisor.routed()
        for calls in self._finish_calls():
            for ended in calls:
                self._wait_for(ended)
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            if isinstance(worker, ProcessWorker) and worker.connection is not None:
                self._wait_for(worker.ended, f"a process of step {worker.name!r} to end")

    def _finish_calls(self) -> Iterable[list[threading.Event]]:
        """Tell the workers to make the calls of ``finish`` of one step after the other."""
        while self._to_finish:
            step = next(iter(self._to_finish))
            workers = self._to_finish.pop(step)
            yield [worker.call("finish", step) for worker in workers]

    def _break_off(self, error: Failure) -> None:
        """End the run, which cannot go on: whatever finds this out reports it here.

        All that waits is woken: the router, the threads, and who waits for a worker process,
        for they are killed. Then the run ends as any other.
        """
        with self._lock:
            if self._is_broken:
                return
            self._is_broken = True
            self._errors.append(error)
        self._router.shut_down()
        if self._supervisor is not None:
            self._supervisor.abort()

    def abort(self) -> None:
        # While it waits for others, not in the middle of what the main thread does: it could
        # leave a lock behind that nobody releases.
        if not self._is_created or self._is_aborted:
            raise KeyboardInterrupt
        self._is_aborted = True

    def _abort(self) -> None:
        """End at once; threads end after their jobs, and all is closed after the last one."""
        self._is_broken = True
        self._router.shut_down()
        if self._router_thread is not None:
            self._router_thread.join()
        if self._supervisor is not None:
            self._supervisor.abort()
        for _ in self._finish_calls():
            pass
        for worker in self._workers:
            worker.end()
        self._close_later()

    def _close_later(self) -> None:
        """Close all when the last job has ended."""
        self._close_processes()
        start_thread(threading.Thread(target=self._join_and_close, name="closer", daemon=True))

    def _wait_for(self, event: threading.Event, what: str = "") -> None:
        """Wait in the main thread, so that a signal is handled whenever it comes."""
        while not event.wait(LONGEST_DEAFNESS_S):
            if self._is_aborted:
                raise KeyboardInterrupt
            self._watchdog.look(event, what)

    def _join_and_close(self) -> None:
        for worker in self._workers:
            worker.join()
        if self._router_thread is not None:
            self._router_thread.join()
        self._close()

    def _of(self, step: int) -> list[ThreadWorker | ProcessWorker]:
        """The workers of a step."""
        head = self.graph.head_of(step)
        return [
            worker
            for (other, _), worker in zip(self._slots, self._workers, strict=True)
            if other == head
        ]

    def _create_workers(self) -> None:
        if self._memory is not None:
            # First, because it takes the longest: it imports what the steps need.
            self._start_processes(self._memory)
        pool = BufferPool()
        channels: dict[int, Channel] = {}
        indices: dict[int, RouterIndex] = {}
        try:
            # One by one, so that those that there are can be closed when the next fails.
            for slot, (head, _) in enumerate(self._slots):
                if self._in_process[head] and self._memory is not None:
                    indices[slot] = self._router.connect_process(
                        head,
                        self._layout.counts(self._memory, slot),
                        self._layout.arena(slot),
                        self._layout.holder(slot),
                    )
                else:
                    channels[slot] = self._channel(slot, head, pool)
                    self._channels.append(channels[slot])
            if self._memory is not None:
                check_descriptors(DESCRIPTORS_PER_PROCESS * len(indices))
            steps = create_steps(
                self.graph,
                [
                    (self.graph.steps[i], self._send(channel, self._slots[slot][0], i))
                    for slot, channel in channels.items()
                    for i in self._chains[self._slots[slot][0]]
                ],
                self.log,
            )
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            raise too_many_workers(len(self._slots)) from None
        self._producer, rest = steps[0], iter(steps)
        for slot, (head, number) in enumerate(self._slots):
            chain = self._chains[head]
            if slot not in channels and self._supervisor is not None:
                worker = self._supervisor.worker(slot, indices[slot], *self._describe(chain))
                self._workers.append(worker)
                continue
            instances = {i: next(rest) for i in chain}
            self._workers.append(self._thread_worker(channels[slot], number, instances))

    def _thread_worker(self, channel: Channel, number: int, steps: dict[int, Step]) -> ThreadWorker:
        worker = Worker(list(steps.values()), channel, 0 in steps, self._on_error, self._may_skip)
        if len(steps) > 1:
            counts = {i: self._chain_counts.row(i, number) for i in steps}
            join_chain(self.graph, steps, counts, worker.on_chained_error, channel)
        return ThreadWorker(worker, steps, self._break_off)

    def _describe(self, chain: tuple[int, ...]) -> tuple[str, bool]:
        """The name of a chain's first step, and whether there is anything to finish."""
        specs = [self.graph.steps[i] for i in chain]
        return specs[0].name, any(hasattr(spec.step_class, "finish") for spec in specs)

    def _channel(self, slot: int, head: int, pool: BufferPool) -> Channel:
        spec = self.graph.steps[head]
        packer = None
        if self._memory is not None:
            packer = Packer(
                self._memory,
                self._layout.arena(slot),
                self._layout.arena_sizes[slot],
                self._layout.holder(slot),
                keeps=False,
                ended=self._is_ending if spec.role == "producer" else None,
            )
        return Channel(
            self._router,
            head,
            self._send_ahead(self._chains[head]),
            by_reference=spec.serialization == "none",
            pool=pool,
            packer=packer,
            leaves_process=bytes(self._in_process),
            in_batches=not any(spec.ordered for spec in self.graph.steps),
        )

    def _send(self, channel: Channel, head: int, index: int) -> Send:
        """What a step sends with, through the channel of the first step of its chain."""
        if self.graph.steps[index].role == "producer" and self._only != ALL_EVENTS:
            return send_only(self._only, channel.send, channel.leave_out)
        serialization = self.graph.steps[index].serialization
        if serialization == self.graph.steps[head].serialization:
            return channel.send
        return functools.partial(channel.send_as, serialization == "none")

    def _send_ahead(self, chain: tuple[int, ...]) -> int:
        """What may be under way to the router: half of what may wait there."""
        limits = [
            self.graph.steps[self.graph.index(name)].queue_limit
            for i in chain
            for name in self.graph.steps[i].next_steps
        ]
        return min([MOST_SEND_AHEAD, *(limit // 2 for limit in limits if limit != UNLIMITED)])

    # ------------------------------------------------------------- processes

    def _start_processes(self, memory: SharedMemory) -> None:
        # The classes of the steps that run here need not be known there.
        steps = tuple(
            spec if is_process else dataclasses.replace(spec, step_class=object, config=Config())
            for spec, is_process in zip(self.graph.steps, self._in_process, strict=True)
        )
        setup = WorkerSetup(
            graph=Graph(steps),
            slots=tuple(self._slots),
            send_ahead=tuple(self._send_ahead(self._chains[head]) for head, _ in self._slots),
            layout=self._layout,
            log_name=self.log.name,
            log_levels=log_levels(),
        )
        try:
            pickled = dump_by_value(setup)
        except Exception as error:
            raise ConfigurationError(
                [
                    f"a step's class cannot be sent to a worker process ({error}): put it at "
                    "the top of a module, or use the executor 'threads'"
                ]
            ) from error
        fork_server = self._fork_server or ForkServerClient()
        self._supervisor = Supervisor(
            fork_server,
            self._router,
            self.log,
            self._on_error,
            self._may_skip,
            self._break_off,
            self._wait_for,
            self._retries,
        )
        fork_server.set_up(pickled, memory.fd)
        self._supervisor.start()

    def _close_processes(self) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
        if self._directory is not None:
            self._directory.close()

    def _route(self) -> None:
        try:
            try:
                self._router.run()
            finally:
                self._left = self._router.unfinished()
        except BaseException as error:
            self._break_off(as_failure("the router cannot go on", error))
        finally:
            self._routed.set()

    def _on_error(self, error: Failure) -> None:
        self._errors.append(error)

    def _close(self) -> None:
        self._close_processes()
        for channel in self._channels:
            channel.close()
        with self._counting:
            self._closed = True
            self._router.close()
            if self._memory is not None:
                self._last_counters = self.counters()
                self._chain_counts.close()
                self._memory.close()


class Threads(Parallel):
    """Runs every worker in a thread.

    For steps that wait, or that compute without the GIL.
    """

    name: ClassVar[str] = "threads"
    default: ClassVar[WorkerKind] = "threads"


class Processes(Parallel):
    """Runs every worker of a stage in a process, the producer and the consumer in threads.

    For steps that compute in Python.
    """

    name: ClassVar[str] = "processes"
    default: ClassVar[WorkerKind] = "processes"
