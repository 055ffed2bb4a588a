# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""Messages as bytes that can leave the process, their large buffers in shared memory."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, uint64_t
from libc.string cimport memcpy

import pickle
import time

from _wire cimport wire_packed

cdef object loads = pickle.loads

# How long to wait before looking for room again, seconds.
PAUSE_S = 0.001


@cython.final
cdef class Packer:
    """Packs what a worker sends to another process, and unpacks what it receives.

    What is in the bytes says `_wire.h`.

    Parameters
    ----------
    memory : SharedMemory
        Where large buffers go.
    arena : int
        Which part of it is the worker's.
    arena_size : int
        The size of that, bytes.
    holder : int
        The worker's number as a receiver.
    keeps : bool
        Whether what it receives is kept for another one, should it die.
    ended : callable, optional
        Makes `pack` wait while there is no room, until it says that the run ends. Else
        buffers for which there is no room travel with the message: a stage that waited
        could be what the room is waiting for.
    """

    cdef object memory
    cdef object arena
    cdef object arena_index
    cdef uint64_t arena_size
    cdef object holder
    cdef bint keeps
    cdef object ended

    def __init__(self, memory, arena, uint64_t arena_size, holder, bint keeps, ended=None):
        self.memory = memory
        self.arena = memory.arena(arena)
        self.arena_index = arena
        self.arena_size = arena_size
        self.holder = holder
        self.keeps = keeps
        self.ended = ended

    cpdef bytes pack(self, bytes pickled, list buffers):
        """A message as bytes.

        Parameters
        ----------
        pickled : bytes
            Its pickle.
        buffers : list of buffer
            Those that the pickle does not hold; they are copied.

        Raises
        ------
        OverflowError
            If the pickle takes 4 GB or more.
        """
        cdef wire_packed head
        cdef uint64_t size
        cdef uint64_t total = 0
        cdef Py_ssize_t length = PyBytes_GET_SIZE(pickled)
        cdef Py_ssize_t n = len(buffers)
        cdef char *to
        if length > UINT32_MAX:
            raise OverflowError(
                f"a pickle of {length} bytes is too large for a message, which takes less than "
                "4 GB besides its NumPy arrays"
            )
        packed = PyBytes_FromStringAndSize(
            NULL, sizeof(wire_packed) + n * sizeof(uint64_t) + length
        )
        to = PyBytes_AS_STRING(packed) + sizeof(wire_packed)
        for raw in buffers:
            size = raw.nbytes
            total += size
            memcpy(to, &size, sizeof(uint64_t))
            to += sizeof(uint64_t)
        memcpy(to, PyBytes_AS_STRING(pickled), length)
        # Last, because a block that is not sent has to be freed.
        head.block = self.put(buffers, total) if n else 0
        head.n_buffers = n
        head.pickle_size = length
        memcpy(PyBytes_AS_STRING(packed), &head, sizeof(wire_packed))
        if n and head.block == 0:
            return b"".join([packed, *buffers])
        return packed

    cpdef unpack(self, bytes packed):
        """The message that a sender has packed.

        Its arrays are writable; those in shared memory lie there until nobody uses them.

        Raises
        ------
        ValueError
            If it is shorter than it says.
        Exception
            Whatever unpickling the message raises.
        """
        cdef wire_packed head
        cdef uint64_t size
        cdef uint64_t i
        cdef uint64_t length = PyBytes_GET_SIZE(packed)
        cdef uint64_t begin
        cdef const char *at = PyBytes_AS_STRING(packed)
        if length < sizeof(wire_packed):
            raise ValueError("a message is shorter than its header")
        memcpy(&head, at, sizeof(wire_packed))
        begin = sizeof(wire_packed) + head.n_buffers * sizeof(uint64_t)
        if length < begin + head.pickle_size:
            raise ValueError("a message is shorter than its header says")
        view = memoryview(packed)
        pickled = view[begin:begin + head.pickle_size]
        if head.n_buffers == 0:
            return loads(pickled)
        sizes = []
        for i in range(head.n_buffers):
            memcpy(&size, at + sizeof(wire_packed) + i * sizeof(uint64_t), sizeof(uint64_t))
            sizes.append(size)
        if head.block:
            try:
                buffers = self.memory.get(head.block, sizes, self.holder)
            finally:
                if not self.keeps:
                    self.memory.free(head.block)
            return loads(pickled, buffers=buffers)
        begin += head.pickle_size
        buffers = []
        for size in sizes:
            buffers.append(bytearray(view[begin:begin + size]))
            begin += size
        return loads(pickled, buffers=buffers)

    cpdef drop(self, uint64_t block):
        """Give back what a message takes that will not be sent, or not be unpacked."""
        if block:
            self.memory.free(block)

    cdef uint64_t put(self, list buffers, uint64_t size) except? 0:
        """The block that the buffers are in, 0 if there is no room for them."""
        while True:
            block = self.arena.put(buffers)
            if block is not None:
                return block
            if size > self.arena_size or not self.waits():
                return 0
            time.sleep(PAUSE_S)

    cdef bint waits(self) except *:
        """Whether there will be room: steps may keep what they have received."""
        if self.ended is None or self.ended():
            return False
        for _, _, state in self.memory.blocks(self.arena_index):
            if "SENT" in state:
                return True
        return False
