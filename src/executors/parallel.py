"""Every worker in a thread or a process of its own; messages go through the compiled router."""

import dataclasses
import errno
import logging
import threading
from typing import Any, ClassVar, Literal

import cloudpickle
from traitlets.config import Config

from .._buffers import BufferPool
from .._channel import Channel
from .._router import Router
from .._shared import SharedMemory
from ..bodies import Bodies
from ..errors import ConfigurationError, StepError
from ..graph import UNLIMITED, Graph, StepSpec
from ..private_directory import PrivateDirectory
from ..step import create_steps
from ..worker import Worker, wait_for
from ..worker_process import SharedLayout, WorkerSetup
from ..worker_processes import ProcessWorker, WorkerProcesses
from .executor import Executor

__all__ = ["Processes", "Threads"]

MOST_SEND_AHEAD = 64
PAGE = 4096
RETRIES = 2
SHARED_MEMORY = 1 << 30


class Parallel(Executor):
    """Runs every worker in a thread or a process of its own."""

    # What a stage runs in that says nothing else.
    default: ClassVar[Literal["threads", "processes"]]

    def __init__(self, graph: Graph, log: logging.Logger) -> None:
        super().__init__(graph, log)
        self._in_process = [
            spec.role == "stage" and (spec.executor or self.default) == "processes"
            for spec in graph.steps
        ]
        # The index of each worker's step.
        self._steps = [i for i, spec in enumerate(graph.steps) for _ in range(spec.workers)]
        self._memory: SharedMemory | None = None
        self._directory: PrivateDirectory | None = None
        self._processes: WorkerProcesses | None = None
        self._layout = SharedLayout(())
        if any(self._in_process):
            self._layout = SharedLayout(self._rooms())
            self._memory = SharedMemory(list(self._layout.rooms), extra=self._layout.extra)
            self._directory = PrivateDirectory()
        steps = [
            (
                spec.queue_limit,
                rank,
                spec.prefetch or 0,
                graph.steps_before(i) if spec.ordered else None,
            )
            for i, (spec, rank) in enumerate(zip(graph.steps, graph.ranks(), strict=True))
        ]
        if self._memory is None or self._directory is None:
            self._router = Router(steps)
        else:
            self._router = Router(
                steps,
                shared=self._memory.address,
                flags=self._layout.flags(self._memory),
                directory=self._directory.path,
                retries=RETRIES,
            )
        self._channels: list[Channel] = []
        self._workers: list[tuple[StepSpec, Worker | ProcessWorker]] = []
        self._routed = threading.Event()
        self._router_error: OSError | None = None

    def workers(self, index: int) -> int:
        return self.graph.steps[index].workers

    def counters(self) -> list[dict[str, Any]]:
        return self._router.counters()

    def events(self) -> dict[str, int]:
        return self._router.events()

    def _end_production(self) -> None:
        self._router.end_production()

    def _run(self) -> None:
        router_thread = threading.Thread(target=self._route, name="router", daemon=True)
        try:
            self._create_workers()
        except BaseException:
            self._close()
            raise
        workers = [worker for _, worker in self._workers]
        try:
            if self._initialize():
                self.state = "running"
                router_thread.start()
            else:
                self._router.discard()
                self._routed.set()
            for worker in workers:
                worker.work()
            wait_for(self._routed)
            if self._processes is not None:
                self._processes.routed()
            for spec in self.graph.steps:
                of_step = self._of_step(spec)
                for worker in of_step:
                    worker.finish()
                for worker in of_step:
                    worker.join()
        except BaseException:
            # Interrupted for the second time: the threads end when their jobs do.
            self._router.discard()
            for worker in workers:
                worker.work()
                worker.finish()
            if self._processes is not None:
                self._processes.abort()
                self._close_processes()
            raise
        if router_thread.ident is not None:
            router_thread.join()
        self._close()
        if self._router_error is not None:
            raise self._router_error

    def _initialize(self) -> bool:
        """Start the workers, step by step, and say whether all may work.

        In the order of the graph, so that no output is touched when an input is not there.
        """
        for spec in self.graph.steps:
            of_step = self._of_step(spec)
            for worker in of_step:
                worker.start()
            for worker in of_step:
                wait_for(worker.initialized)
            if self._errors or self._interrupted:
                return False
        return True

    def _of_step(self, spec: StepSpec) -> list[Worker | ProcessWorker]:
        return [worker for other, worker in self._workers if other is spec]

    def _create_workers(self) -> None:
        if self._memory is not None:
            # Takes the longest: it imports what the steps need.
            self._start_processes(self._memory)
        pool = BufferPool()
        created = []
        try:
            # One by one, so that those that there are can be closed when the next fails.
            for worker, i in enumerate(self._steps):
                if self._in_process[i]:
                    counts = self._layout.counts(self._shared_memory, worker)
                    self._router.connect_process(i, counts)
                else:
                    channel = self._channel(worker, i, pool)
                    self._channels.append(channel)
                    created.append((self.graph.steps[i], channel.send))
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            raise ConfigurationError(
                [
                    f"{len(self._steps)} workers need more file descriptors than this process "
                    f"may open, about {4 * len(self._steps)}: lower 'nb_thread', or raise the "
                    "limit with ulimit -n"
                ]
            ) from None
        steps = iter(create_steps(self.graph, created, self.log))
        channels = iter(self._channels)
        for worker, i in enumerate(self._steps):
            spec = self.graph.steps[i]
            if self._processes is not None and self._in_process[i]:
                has_finish = hasattr(spec.step_class, "finish")
                process = self._processes.worker(worker, spec.name, has_finish)
                self._workers.append((spec, process))
            else:
                thread = Worker(
                    next(steps), next(channels), spec.role == "producer", self._on_error
                )
                self._workers.append((spec, thread))

    def _channel(self, worker: int, step: int, pool: BufferPool) -> Channel:
        spec = self.graph.steps[step]
        if self._memory is None:
            bodies = None
        else:
            bodies = Bodies(
                self._memory,
                worker,
                self._layout.rooms[worker],
                is_process=False,
                ended=self._is_ending if spec.role == "producer" else None,
            )
        return Channel(
            self._router,
            step,
            self._send_ahead(spec),
            by_reference=spec.serialization == "none",
            pool=pool,
            bodies=bodies,
            leave=bytes(self._in_process),
        )

    # ------------------------------------------------------------- processes

    def _rooms(self) -> tuple[int, ...]:
        """How the shared memory is divided: half for the producer, where all begins."""
        senders = [i for i in self._steps if self.graph.steps[i].role == "stage"]
        half = SHARED_MEMORY // 2
        rooms = {"producer": half, "stage": half // len(senders), "consumer": PAGE}
        return tuple(
            max(rooms[self.graph.steps[i].role] // PAGE, 1) * PAGE for i in self._steps
        )

    @property
    def _shared_memory(self) -> SharedMemory:
        assert self._memory is not None
        return self._memory

    def _start_processes(self, memory: SharedMemory) -> None:
        # Those of the steps that it does not run need not exist there.
        steps = tuple(
            spec
            if is_process
            else dataclasses.replace(spec, step_class=object, config=Config())
            for spec, is_process in zip(self.graph.steps, self._in_process, strict=True)
        )
        setup = WorkerSetup(
            graph=Graph(steps),
            steps=tuple(self._steps),
            send_ahead=tuple(self._send_ahead(self.graph.steps[i]) for i in self._steps),
            memory_fd=memory.fd,
            layout=self._layout,
            log_name=self.log.name,
            log_level=self.log.getEffectiveLevel(),
        )
        try:
            pickled = cloudpickle.dumps(setup)
        except Exception as error:
            raise ConfigurationError(
                [
                    f"a step's class cannot be sent to a worker process ({error}): put it at "
                    "the top of a module, or use the executor 'threads'"
                ]
            ) from error
        self._processes = WorkerProcesses(
            self._router,
            self.log,
            self._on_error,
            RETRIES,
            [spec.name for spec in self.graph.steps],
        )
        self._processes.start(pickled, memory.fd)

    def _is_ending(self) -> bool:
        return bool(self._interrupted or self._errors)

    def _close_processes(self) -> None:
        if self._processes is not None:
            self._processes.close()
        if self._directory is not None:
            self._directory.close()

    def _send_ahead(self, spec: StepSpec) -> int:
        """What may be under way to the router: half of what may wait there."""
        limits = [self.graph.steps[self.graph.index(name)].queue_limit for name in spec.next_steps]
        return min([MOST_SEND_AHEAD, *(limit // 2 for limit in limits if limit != UNLIMITED)])

    def _route(self) -> None:
        try:
            self._router.run()
        except OSError as error:
            self._router_error = error
            self._router.shut_down()
        finally:
            self._routed.set()

    def _on_error(self, error: StepError | ConfigurationError) -> None:
        self._errors.append(error)

    def _close(self) -> None:
        self._close_processes()
        for channel in self._channels:
            channel.close()
        self._router.close()
        if self._memory is not None:
            self._memory.close()


class Threads(Parallel):
    """Runs every worker in a thread.

    For steps that wait, or that compute without the GIL.
    """

    name: ClassVar[str] = "threads"
    default: ClassVar[Literal["threads", "processes"]] = "threads"


class Processes(Parallel):
    """Runs every worker of a stage in a process, the producer and the consumer in threads.

    For steps that compute in Python.
    """

    name: ClassVar[str] = "processes"
    default: ClassVar[Literal["threads", "processes"]] = "processes"
