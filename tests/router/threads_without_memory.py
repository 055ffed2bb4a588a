"""Messages between threads while allocations of the core fail; prints how many there are."""

import contextlib
import gc
import itertools
import weakref

import numpy as np
from failing_allocations import fail_each, try_again

from ctapipe.pipeline._router import Router
from ctapipe.pipeline.transport._channel import STOP, Channel

# So many that every table has to grow.
N_EVENTS = 200
N_WORKERS = 2
N_AT_ONCE = 20

living = weakref.WeakSet()


class WithArray:
    """A message whose pickle has a large buffer."""

    def __init__(self, number):
        self.number = number
        self.array = np.full(1000, number)
        living.add(self)

    def __reduce__(self):
        return WithArray, (self.number,), {"array": self.array}


def message_of(number):
    if number % 10 == 0:
        return WithArray(number)
    return np.full(1000, number) if number % 10 == 1 else number


def number_of(message):
    if isinstance(message, WithArray):
        assert (message.array == message.number).all()
        return message.number
    if isinstance(message, np.ndarray):
        assert (message == message[0]).all()
        return int(message[0])
    return message


def move_messages(ordered, discards):
    """All that the producer sends, unless that is discarded, to the consumer."""
    received = []
    with contextlib.ExitStack() as stack:
        router = Router(
            [(-1, 0, 0, None, 0), (-1, 1, 0, None, 0), (-1, 2, 1, [1] if ordered else None, 0)]
        )
        stack.callback(router.close)
        channels = []
        for step in (0, *[1] * N_WORKERS, 2):
            channels.append(Channel(router, step, 64, by_reference=step == 1))
            stack.callback(channels[-1].close)
            channels[-1].open()
        producer, *receivers = channels
        producer.start_producing()
        for number in range(N_EVENTS):
            try_again(producer.send, 1, message_of(number))
            if number % N_AT_ONCE == 0:
                router.route_arrived()
        producer.goodbye()
        router.route_arrived()
        if discards:
            router.discard()
        working = list(receivers)
        while working:
            router.route_arrived()
            for channel in list(working):
                with contextlib.suppress(BlockingIOError):
                    message = try_again(channel.receive, block=False)
                    if message is STOP:
                        working.remove(channel)
                        channel.goodbye()
                        continue
                    if channel is receivers[-1]:
                        received.append(number_of(message))
                    else:
                        try_again(channel.send, 2, message)
                    del message
                    channel.acknowledge()
        assert router.route_arrived()
        assert discards or router.events() == {"sent": N_EVENTS, "finished": N_EVENTS}
    if not discards:
        assert (received if ordered else sorted(received)) == list(range(N_EVENTS))


def run(ordered, discards):
    """The same; no message is left then."""
    error = None
    try:
        move_messages(ordered, discards)
    except (MemoryError, OSError) as caught:
        # Its frames keep messages.
        error = caught.with_traceback(None)
        error.__context__ = None
    gc.collect()
    assert not living, f"{len(living)} messages are left"
    if error is not None:
        raise error


if __name__ == "__main__":
    for ordered, discards in itertools.product((False, True), repeat=2):
        print(fail_each(lambda ordered=ordered, discards=discards: run(ordered, discards)))
