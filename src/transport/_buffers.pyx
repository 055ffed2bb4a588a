# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""Where the large buffers of messages lie: memory that is used again and again.

The kernel clears every page of fresh memory when it is first touched, which takes longer
than to copy an array into it, and the processor's cache knows nothing of it.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free
from libc.string cimport memcpy

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef enum:
    SIZE_CLASSES = 128
    # Of a cache line, and of the widest vector registers, bytes.
    ALIGNMENT = 64

# How much memory is kept for the next messages at most, bytes.
cdef size_t MOST_KEPT = 64 << 20


cdef struct Block:
    Block *next


cdef inline size_t capacity_of(int size_class) noexcept nogil:
    """Four classes to an octave, from 4 kB on: a fifth of a block is unused at most."""
    return (<size_t> 4 + size_class % 4) << (10 + size_class // 4)


cdef inline int size_class_of(size_t size) noexcept nogil:
    cdef int size_class = 0
    while capacity_of(size_class + 4) < size:
        size_class += 4
    while capacity_of(size_class) < size:
        size_class += 1
    return size_class


@cython.final
cdef class BufferPool:
    """Makes copies in memory that earlier copies have left.

    Memory of a size class is used last in, first out. A receiver keeps a buffer for as
    long as it likes and may give it back in any thread, so a lock guards the pool.
    """

    cdef cython.pymutex lock
    cdef Block *kept[SIZE_CLASSES]
    cdef size_t kept_size

    def __dealloc__(self):
        cdef int i
        cdef Block *block
        for i in range(SIZE_CLASSES):
            while self.kept[i] is not NULL:
                block = self.kept[i]
                self.kept[i] = block.next
                free(block)

    def copy(self, const unsigned char[::1] raw not None):
        """A copy of a buffer.

        Parameters
        ----------
        raw : buffer
            Contiguous bytes.

        Returns
        -------
        Buffer
            Writable; its memory comes back when nobody uses it any more.

        Raises
        ------
        MemoryError
            If there is no memory.
        """
        cdef Buffer buffer = Buffer.__new__(Buffer)
        cdef size_t size = raw.shape[0]
        buffer.size_class = size_class_of(size)
        buffer.memory = self.take(buffer.size_class)
        buffer.pool = self
        buffer.size = size
        with nogil:
            memcpy(buffer.memory, &raw[0], size)
        return buffer

    cdef void *take(self, int size_class) except NULL:
        cdef Block *block
        cdef void *memory = NULL
        with self.lock:
            block = self.kept[size_class]
            if block is not NULL:
                self.kept[size_class] = block.next
                self.kept_size -= capacity_of(size_class)
                return block
        if posix_memalign(&memory, ALIGNMENT, capacity_of(size_class)) != 0:
            raise MemoryError
        return memory

    cdef int give_back(self, void *memory, int size_class) except -1:
        cdef Block *block = <Block *> memory
        cdef size_t capacity = capacity_of(size_class)
        with self.lock:
            if self.kept_size + capacity <= MOST_KEPT:
                self.kept_size += capacity
                block.next = self.kept[size_class]
                self.kept[size_class] = block
                return 0
        free(memory)
        return 0


@cython.final
@cython.no_gc  # its memory must find the pool
@cython.freelist(64)
cdef class Buffer:
    """Writable memory of a pool, as a buffer."""

    cdef BufferPool pool
    cdef void *memory
    cdef size_t size
    cdef int size_class

    def __dealloc__(self):
        if self.memory is not NULL:
            self.pool.give_back(self.memory, self.size_class)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.memory, self.size, 0, flags)
