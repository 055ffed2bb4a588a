"""Every worker in a thread of its own; messages go through the compiled router."""

import errno
import threading
from typing import Any, ClassVar

from .._buffers import BufferPool
from .._channel import Channel
from .._router import Router
from ..errors import ConfigurationError, StepError
from ..graph import UNLIMITED, StepSpec
from ..step import create_steps
from ..worker import Worker, wait_for
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
        self._channels: list[Channel] = []
        self._workers: list[tuple[StepSpec, Worker]] = []
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
        self._create_workers()
        router_thread = threading.Thread(target=self._route, name="router", daemon=True)
        workers = [worker for _, worker in self._workers]
        try:
            if self._initialize():
                self.state = "running"
                router_thread.start()
            else:
                self._router.discard()
                self._routed.set()
            for worker in workers:
                worker.may_work.set()
            wait_for(self._routed)
            for spec in self.graph.steps:
                of_step = self._of_step(spec)
                for worker in of_step:
                    worker.may_finish.set()
                for worker in of_step:
                    worker.join()
        except BaseException:
            # Interrupted for the second time: the threads end when their jobs do.
            self._router.discard()
            for worker in workers:
                worker.may_work.set()
                worker.may_finish.set()
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

    def _of_step(self, spec: StepSpec) -> list[Worker]:
        return [worker for other, worker in self._workers if other is spec]

    def _create_workers(self) -> None:
        specs = [spec for spec in self.graph.steps for _ in range(spec.workers)]
        pool = BufferPool()
        try:
            # One by one, so that those that there are can be closed when the next fails.
            for spec in specs:
                channel = Channel(
                    self._router,
                    self.graph.index(spec.name),
                    self._send_ahead(spec),
                    by_reference=spec.serialization == "none",
                    pool=pool,
                )
                self._channels.append(channel)
            steps = create_steps(
                self.graph,
                zip(specs, (channel.send for channel in self._channels), strict=True),
                self.log,
            )
        except OSError as error:
            self._close()
            if error.errno != errno.EMFILE:
                raise
            raise ConfigurationError(
                [
                    f"{len(specs)} workers need more file descriptors than this process may "
                    f"open, about {4 * len(specs)}: lower 'nb_thread', or raise the limit with "
                    "ulimit -n"
                ]
            ) from None
        except BaseException:
            self._close()
            raise
        self._workers = [
            (spec, Worker(step, channel, spec.role == "producer", self._on_error))
            for spec, step, channel in zip(specs, steps, self._channels, strict=True)
        ]

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
        for channel in self._channels:
            channel.close()
        self._router.close()
