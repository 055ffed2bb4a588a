"""Messages to and from a worker process while allocations of the core fail; prints how many.

The worker process is this one, so that what is counted is the same every time.
"""

import contextlib
import gc
import mmap
import os
import tempfile
import time

import numpy as np
from failing_allocations import fail_each, try_again

from ctapipe.pipeline import ConfigurationError
from ctapipe.pipeline._router import Router
from ctapipe.pipeline.processes.remote_router import RemoteRouter
from ctapipe.pipeline.processes.shared_layout import SharedLayout
from ctapipe.pipeline.transport._channel import STOP, Channel
from ctapipe.pipeline.transport._packing import Packer
from ctapipe.pipeline.transport._shared import SharedMemory

# More than what a queue begins with, and than the worker is given.
N_EVENTS = 24
PREFETCH = 20
LAYOUT = SharedLayout((1000 * mmap.PAGESIZE, 1000 * mmap.PAGESIZE, mmap.PAGESIZE))
PRODUCER, WORKER, CONSUMER = range(3)


def packer(memory, slot, keeps):
    return Packer(memory, slot, LAYOUT.arena_sizes[slot], slot, keeps)


@contextlib.contextmanager
def worker_process(memory, router, w):
    """The channel of a worker process."""
    attached = SharedMemory.attach(memory.fd, private=True)
    with contextlib.closing(attached):
        remote = RemoteRouter(
            router.endpoint(w), LAYOUT.counts(attached, WORKER), LAYOUT.flags(attached)
        )
        channel = Channel(
            remote,
            WORKER,
            packer=packer(attached, WORKER, keeps=True),
            leaves_process=bytes([1, 1, 1]),
            is_process=True,
        )
        with contextlib.closing(channel):
            channel.open()
            channel.ready()
            yield channel


def thread_channel(memory, router, slot):
    channel = Channel(
        router,
        slot,
        packer=packer(memory, slot, keeps=False),
        leaves_process=bytes([0, 1, 0]),
    )
    channel.open()
    return contextlib.closing(channel)


def wait(router, condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()
        router.route_arrived()


def receive(router, channel):
    arrived = []

    def look():
        try:
            arrived.append(try_again(channel.receive, block=False))
        except BlockingIOError:
            return False
        return True

    wait(router, look)
    return arrived[0]


def message_of(number):
    return np.full(2000, number) if number % 2 else number


def number_of(message):
    if isinstance(message, np.ndarray):
        assert (message == message[0]).all()
        return int(message[0])
    return message


def move_messages(memory, directory, ordered):
    """All to a worker process, which dies and is replaced, and to the consumer."""
    with contextlib.ExitStack() as stack:
        router = Router(
            [
                (-1, 0, 0, None, 0),
                (-1, 1, PREFETCH, [] if ordered else None, 0),
                (-1, 2, 1, None, 0),
            ],
            segment=memory.segment,
            flags=LAYOUT.flags(memory),
            directory=directory,
            retries=1,
        )
        stack.callback(router.close)
        producer = stack.enter_context(thread_channel(memory, router, PRODUCER))
        consumer = stack.enter_context(thread_channel(memory, router, CONSUMER))
        w = router.connect_process(WORKER, LAYOUT.counts(memory, WORKER), WORKER, WORKER)
        with worker_process(memory, router, w) as worker:
            producer.start_producing()
            for number in range(N_EVENTS):
                try_again(producer.send, WORKER, message_of(number))
                router.route_arrived()
            producer.goodbye()
            wait(router, lambda: router.counters()[WORKER]["received"] == PREFETCH)
            receive(router, worker)
            try_again(worker.send, CONSUMER, np.full(2000, -1))
        router.worker_died(w, True)
        notices = []
        wait(router, lambda: notices.extend(router.notices()) or notices)
        assert notices == [("cleared", w, True)]
        numbers = []
        with worker_process(memory, router, w) as worker:
            for _ in range(N_EVENTS):
                try_again(worker.send, CONSUMER, receive(router, worker))
                try_again(worker.acknowledge)
            for _ in range(N_EVENTS):
                numbers.append(number_of(receive(router, consumer)))
                consumer.acknowledge()
            for channel in (worker, consumer):
                assert receive(router, channel) is STOP
                channel.goodbye()
            wait(router, router.route_arrived)
        assert sorted(numbers) == list(range(N_EVENTS))
        assert router.events() == {"sent": N_EVENTS, "finished": N_EVENTS}


def run(directory, ordered):
    """The same; all of the shared memory is free then."""
    error = None
    try:
        memory = LAYOUT.create()
    except ConfigurationError as refused:
        assert "Cannot allocate memory" in str(refused)
        return
    with contextlib.closing(memory):
        try:
            move_messages(memory, directory, ordered)
        except (MemoryError, OSError) as caught:
            # Its frames keep messages.
            error = caught.with_traceback(None)
            error.__context__ = None
            gc.collect()
            # As the executor does for a process that has died.
            memory.reclaim_arena(WORKER)
            memory.reclaim_holder(WORKER)
        states = [state for slot in range(3) for _, _, state in memory.blocks(slot)]
        assert set(states) == {"FREE"}, states
    if error is not None:
        raise error


if __name__ == "__main__":
    for ordered in (False, True):
        with tempfile.TemporaryDirectory() as directory:
            print(fail_each(lambda directory=directory, o=ordered: run(directory, o)))
