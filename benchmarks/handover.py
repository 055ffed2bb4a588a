"""How fast large arrays go from one process to another: ours, and what it is compared with.

Run as a script it prints a table. Each way has a sender, a process of its own, and a receiver.
"""

import mmap
import os
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from itertools import cycle
from time import perf_counter

import numpy as np
import zmq

from ctapipe.pipeline.transport._shared import SharedMemory

__all__ = ["SIZES", "bare_copies", "pickled_over_ipc", "through_shared_memory"]

# One event of a telescope, and of fifteen; bytes.
SIZES = {"630 kB": 630_000, "12 MB": 12_000_000}

# How many messages there is room for, and how many are received before the clock starts.
IN_FLIGHT = 8
WARM_UP = 2 * IN_FLIGHT

# libzmq's own.
ZMQ_LIMIT = 1000

HEADER = struct.Struct("=QQ")
HOLDER = 1


def pickled_over_ipc(size, n):
    """Pickles, in band: what takes no thought.

    Parameters
    ----------
    size : int
        Of an array, in bytes.
    n : int
        How many.

    Returns
    -------
    float
        Arrays per second.
    """
    with _socket(IN_FLIGHT) as (socket, address), _Sender("pickled", size, n, address):

        def receive():
            # Without another copy than the one that pickle makes.
            return pickle.loads(socket.recv(copy=False).buffer)

        return _arrays_per_s(receive, n)


def bare_copies(size, n):
    """Copies into shared memory and a byte for each that wakes the receiver: what is possible.

    Parameters and result are those of `pickled_over_ipc`.
    """
    memory = os.memfd_create("ring")
    os.ftruncate(memory, IN_FLIGHT * size)
    wake, waker = os.pipe()
    try:
        with _Sender("bare", size, n, memory, waker, inherited=[memory, waker]):
            return _arrays_per_s(lambda: os.read(wake, 1), n)
    finally:
        for fd in (memory, wake, waker):
            os.close(fd)


def through_shared_memory(size, n):
    """Ours: one copy, on which the receiver's array lies, as a worker's that may be killed.

    Parameters and result are those of `pickled_over_ipc`.
    """
    memory = SharedMemory([IN_FLIGHT * (size + mmap.PAGESIZE)])
    attached = SharedMemory.attach(memory.fd, private=True)

    def receive():
        message = socket.recv()
        block, nbytes = HEADER.unpack_from(message)
        # What the router does with it.
        memory.mark_sent(block)
        buffers = attached.get(block, [nbytes], HOLDER)
        array = pickle.loads(memoryview(message)[HEADER.size :], buffers=buffers)
        memory.free(block)
        return array

    try:
        # What is in flight is bounded by the arena.
        with (
            _socket(ZMQ_LIMIT) as (socket, address),
            _Sender("ours", size, n, address, memory.fd, inherited=[memory.fd]),
        ):
            return _arrays_per_s(receive, n)
    finally:
        attached.close()
        memory.close()


def _arrays_per_s(receive, n):
    for _ in range(WARM_UP):
        receive()
    began = perf_counter()
    for _ in range(n):
        receive()
    return n / (perf_counter() - began)


@contextmanager
def _socket(limit):
    """The receiver's end and its address; `limit` messages wait there at most."""
    with (
        tempfile.TemporaryDirectory() as directory,
        zmq.Context() as context,
        context.socket(zmq.PAIR) as socket,
    ):
        socket.rcvhwm = limit
        address = f"ipc://{directory}/socket"
        socket.bind(address)
        yield socket, address


class _Sender:
    """The sender's process."""

    def __init__(self, way, size, n, *arguments, inherited=()):
        arguments = [way, size, WARM_UP + n, *arguments]
        self.command = [sys.executable, __file__, *map(str, arguments)]
        self.inherited = inherited

    def __enter__(self):
        self.process = subprocess.Popen(self.command, pass_fds=self.inherited)

    def __exit__(self, error, *_):
        if error:
            self.process.kill()
        assert self.process.wait() == 0 or error


# ------------------------------------------------------------------------ the senders


def _send_pickled(array, n, address):
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.sndhwm = IN_FLIGHT
        socket.connect(address)
        for _ in range(n):
            socket.send(pickle.dumps(array, protocol=5), copy=False)


def _send_bare(array, n, memory, waker):
    with mmap.mmap(int(memory), IN_FLIGHT * array.nbytes) as ring, memoryview(ring) as view:
        slots = [view[i * array.nbytes : (i + 1) * array.nbytes] for i in range(IN_FLIGHT)]
        raw = memoryview(array).cast("B")
        for _, slot in zip(range(n), cycle(slots), strict=False):
            slot[:] = raw
            os.write(int(waker), b"x")
        for slot in slots:
            slot.release()


def _send_ours(array, n, address, fd):
    memory = SharedMemory.attach(int(fd), private=True)
    arena = memory.arena(0)
    with zmq.Context() as context, context.socket(zmq.PAIR) as socket:
        socket.connect(address)
        for _ in range(n):
            buffers = []
            pickled = pickle.dumps(array, protocol=5, buffer_callback=buffers.append)
            (raw,) = (buffer.raw() for buffer in buffers)
            while (block := arena.put([raw])) is None:
                os.sched_yield()
            socket.send(HEADER.pack(block, raw.nbytes) + pickled)


SENDERS = {"pickled": _send_pickled, "bare": _send_bare, "ours": _send_ours}


def _print_table(tries=5):
    print(f"{'arrays per second':20}{'(a) pickled':>13}{'(b) bare':>11}{'(c) ours':>11}", end="")
    print(f"{'c/a':>8}{'c/b':>8}")
    for name, size in SIZES.items():
        n = 600_000_000 // size
        rates = [
            [way(size, n) for way in (pickled_over_ipc, bare_copies, through_shared_memory)]
            for _ in range(tries)
        ]
        a, b, c = (statistics.median(rate) for rate in zip(*rates, strict=True))
        print(f"{name:20}{a:13,.0f}{b:11,.0f}{c:11,.0f}{c / a:8.2f}{c / b:8.2f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        way, size, n, *arguments = sys.argv[1:]
        SENDERS[way](np.ones(int(size), dtype=np.uint8), int(n), *arguments)
    else:
        _print_table()
