"""Every worker in a thread of its own; messages go through the compiled router."""

import errno
import functools
import threading
from typing import Any, ClassVar

from .._buffers import BufferPool
from .._channel import Channel
from .._router import Router
from ..chains import ChainCounts, join_chain
from ..errors import ConfigurationError, StepError
from ..graph import UNLIMITED, StepSpec
from ..step import Send, Step, create_steps
from ..worker import Worker, WorkerThread, wait_for
from .executor import Executor

__all__ = ["Threads"]

MOST_SEND_AHEAD = 64


class Threads(Executor):
    """Runs every worker in a thread.

    For steps that wait, or that compute without the GIL.
    """

    name: ClassVar[str] = "threads"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._router = Router(
            [
                (
                    spec.queue_limit,
                    rank,
                    spec.prefetch or 0,
                    self.graph.steps_before(i) if spec.ordered else None,
                )
                for i, (spec, rank) in enumerate(
                    zip(self.graph.steps, self.graph.ranks(), strict=True)
                )
            ]
        )
        self._chain_counts = ChainCounts(self.graph, [spec.workers for spec in self.graph.steps])
        self._channels: list[Channel] = []
        self._workers: list[tuple[Worker, WorkerThread]] = []
        self._to_finish: list[StepSpec] = []
        self._routed = threading.Event()
        self._router_error: OSError | None = None

    def workers(self, index: int) -> int:
        return self.graph.steps[index].workers

    def counters(self) -> list[dict[str, Any]]:
        return self._chain_counts.complete(self._router.counters())

    def events(self) -> dict[str, int]:
        return self._router.events()

    def _end_production(self) -> None:
        self._router.end_production()

    def _run(self) -> None:
        self._create_workers()
        router_thread = threading.Thread(target=self._route, name="router", daemon=True)
        threads = [thread for _, thread in self._workers]
        try:
            if self._initialize():
                self.state = "running"
                router_thread.start()
                for worker, thread in self._workers:
                    thread.call(worker.work)
                wait_for(self._routed)
            while self._to_finish:
                for ended in self._finish(self._to_finish.pop(0)):
                    wait_for(ended)
            for thread in threads:
                thread.end()
                thread.join()
        except BaseException:
            # Interrupted for the second time: the threads end when their jobs do.
            self._router.discard()
            while self._to_finish:
                self._finish(self._to_finish.pop(0))
            for thread in threads:
                thread.end()
            raise
        if router_thread.ident is not None:
            router_thread.join()
        self._close()
        if self._router_error is not None:
            raise self._router_error

    def _initialize(self) -> bool:
        """Call ``init`` of all workers, step by step, and say whether they may work.

        In the order of the graph, so that no output is touched when an input is not there.
        """
        for spec in self.graph.steps:
            called = [thread.call(worker.init, step) for step, worker, thread in self._of(spec)]
            self._to_finish.append(spec)
            for ended in called:
                wait_for(ended)
            if self._errors or self._interrupted:
                return False
        return True

    def _finish(self, spec: StepSpec) -> list[threading.Event]:
        return [thread.call(worker.finish, step) for step, worker, thread in self._of(spec)]

    def _of(self, spec: StepSpec) -> list[tuple[Step, Worker, WorkerThread]]:
        """The instances of a step, each with its worker."""
        return [
            (step, worker, thread)
            for worker, thread in self._workers
            for step in worker.steps
            if step.name == spec.name
        ]

    def _create_workers(self) -> None:
        chains = self.graph.chains()
        workers = [
            (head, number) for head in chains for number in range(self.graph.steps[head].workers)
        ]
        pool = BufferPool()
        try:
            # One by one, so that those that there are can be closed when the next fails.
            for head, _ in workers:
                channel = Channel(
                    self._router,
                    head,
                    self._send_ahead(chains[head]),
                    by_reference=self.graph.steps[head].serialization == "none",
                    pool=pool,
                )
                self._channels.append(channel)
            steps = create_steps(
                self.graph,
                [
                    (self.graph.steps[i], self._send(channel, head, i))
                    for (head, _), channel in zip(workers, self._channels, strict=True)
                    for i in chains[head]
                ],
                self.log,
            )
        except OSError as error:
            self._close()
            if error.errno != errno.EMFILE:
                raise
            raise ConfigurationError(
                [
                    f"{len(workers)} workers need more file descriptors than this process may "
                    f"open, about {4 * len(workers)}: lower 'nb_thread', or raise the limit with "
                    "ulimit -n"
                ]
            ) from None
        except BaseException:
            self._close()
            raise
        rest = iter(steps)
        for (head, number), channel in zip(workers, self._channels, strict=True):
            of_worker = {i: next(rest) for i in chains[head]}
            worker = Worker(
                list(of_worker.values()), channel, head == 0, self._on_error, self._may_skip
            )
            if len(of_worker) > 1:
                counts = {i: self._chain_counts.row(i, number) for i in of_worker}
                join_chain(self.graph, of_worker, counts, worker.on_chained_error, channel)
            self._workers.append((worker, WorkerThread(worker.steps[0].name)))

    def _send(self, channel: Channel, head: int, index: int) -> Send:
        """What a step sends with, through the channel of the first step of its chain."""
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
        for channel in self._channels:
            channel.close()
        self._router.close()
