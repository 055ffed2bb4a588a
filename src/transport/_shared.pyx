# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""Where the large buffers of messages between processes lie: memory that they share.

A sender copies them in; a receiver's arrays lie on it. How it is divided, and who frees
what, says `_shared.h`.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.errno cimport EFBIG, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.fcntl cimport O_CREAT, O_EXCL, O_RDWR
from posix.mman cimport (
    MAP_FAILED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
    PROT_WRITE,
    mmap,
    munmap,
    shm_open,
    shm_unlink,
)
from posix.types cimport pid_t
from posix.unistd cimport close, getpid

import mmap as python_mmap
import os
import secrets
from contextlib import suppress

from _shared cimport (
    SHARED_ALIGNMENT,
    SHARED_HOLDER,
    SHARED_MAGIC,
    SHARED_MAPS_PRIVATE,
    SHARED_SENT,
    SHARED_WRITTEN,
    shared_allocate,
    shared_arena,
    shared_entry,
    shared_forget,
    shared_free,
    shared_hold,
    shared_let_go,
    shared_mark_sent,
    shared_memory,
    shared_pages,
    shared_reclaim_arena,
    shared_reclaim_holder,
    shared_set_pages,
    shared_state,
)


cdef inline uint64_t aligned(uint64_t size) noexcept nogil:
    return (size + SHARED_ALIGNMENT - 1) // SHARED_ALIGNMENT * SHARED_ALIGNMENT


def anonymous_file(uint64_t size):
    """A file in memory that nobody else can open, and that ends with its last user.

    Parameters
    ----------
    size : int
        In bytes; they take no memory before they are written.

    Returns
    -------
    int
        Its file descriptor.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("ctapipe-pipeline")
    else:
        name = f"/ctapipe-{secrets.token_hex(8)}".encode()
        fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0o600)
        if fd < 0:
            raise OSError(errno, os.strerror(errno))
        shm_unlink(name)
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


cdef char *map_file(int fd, uint64_t size, int kind) except NULL:
    # Without a reserve: most of it is never touched.
    cdef void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, fd, 0)
    if memory == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    return <char *> memory


@cython.final
cdef class Mapping:
    """The segment in this process, for as long as anything lies on it."""

    cdef shared_memory *shared
    # Where received arrays lie: the same, or a mapping of its own.
    cdef char *received
    cdef uint64_t size
    cdef bint private
    cdef int pagemap
    cdef pid_t process

    def __cinit__(self, int fd, uint64_t size, bint private):
        self.size = size
        self.private = private
        self.pagemap = -1
        self.process = getpid()
        self.shared = <shared_memory *> map_file(fd, size, MAP_SHARED)
        self.received = <char *> self.shared
        if private and SHARED_MAPS_PRIVATE:
            self.received = NULL
            self.received = map_file(fd, size, MAP_PRIVATE)
            with suppress(OSError):
                self.pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)

    def __dealloc__(self):
        if self.pagemap >= 0:
            close(self.pagemap)
        if self.received is not NULL and self.received != <char *> self.shared:
            munmap(self.received, self.size)
        if self.shared is not NULL:
            munmap(self.shared, self.size)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.shared, self.size, 0, flags)


@cython.final
@cython.no_gc  # its block must find the mapping
@cython.freelist(64)
cdef class Received:
    """A block that a receiver's arrays lie on, as a buffer."""

    cdef Mapping mapping
    cdef uint64_t block
    cdef uint64_t size
    cdef char *memory
    # Where a mapping cannot be private.
    cdef char *copy

    def __dealloc__(self):
        cdef Mapping mapping = self.mapping
        # A process that was forked off has the object, too, but not the block.
        if mapping is None or getpid() != mapping.process:
            return
        if self.copy is not NULL:
            free(self.copy)
        elif mapping.received != <char *> mapping.shared:
            # What was changed here must not show through the block's next message. A
            # block that cannot be used again comes back when this process has ended.
            if shared_forget(
                mapping.pagemap, self.memory, self.size, mapping.shared.page_size
            ) < 0:
                return
        shared_let_go(mapping.shared, self.block)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.memory, self.size, 0, flags)


@cython.final
cdef class Arena:
    """A sender's part of the memory; to be used by one thread of one process at a time."""

    cdef Mapping mapping
    cdef uint32_t index

    def put(self, list buffers not None):
        """Copy the buffers of a message into one block.

        Parameters
        ----------
        buffers : list of buffer
            Contiguous bytes.

        Returns
        -------
        int or None
            The block, which is not 0, or None if there is no room.
        """
        cdef shared_memory *shared = self.mapping.shared
        cdef Py_ssize_t n = len(buffers)
        cdef Py_ssize_t n_held = 0
        cdef Py_ssize_t i
        cdef uint64_t size = 0
        cdef uint64_t block
        cdef char *to
        cdef Py_buffer *held = <Py_buffer *> malloc(max(n, 1) * sizeof(Py_buffer))
        if held is NULL:
            raise MemoryError
        try:
            for i in range(n):
                PyObject_GetBuffer(buffers[i], &held[i], PyBUF_SIMPLE)
                n_held += 1
                size += aligned(held[i].len)
            with nogil:
                block = shared_allocate(shared, self.index, size)
                if block != 0:
                    to = <char *> shared + block * shared.page_size
                    for i in range(n):
                        memcpy(to, held[i].buf, held[i].len)
                        to += aligned(held[i].len)
        finally:
            for i in range(n_held):
                PyBuffer_Release(&held[i])
            free(held)
        return block if block != 0 else None


@cython.final
cdef class SharedMemory:
    """Memory that the processes of a run share, with an arena for each sender.

    It has no name: a process that is to use it inherits the file descriptor. The kernel
    takes it back when the last of them has ended, however that happens.

    Parameters
    ----------
    sizes : list of int
        Of the arenas, in bytes.
    control_size : int
        How much memory is set apart for other things, in bytes; it is zero at first.
    """

    cdef Mapping mapping
    cdef readonly int fd

    def __cinit__(self):
        self.fd = -1

    def __init__(self, list sizes not None, uint64_t control_size=0):
        cdef uint64_t page_size = python_mmap.PAGESIZE
        cdef uint64_t header = aligned(sizeof(shared_memory) + len(sizes) * sizeof(shared_arena))
        cdef uint64_t first
        cdef uint32_t i
        cdef shared_memory *shared
        if self.mapping is not None:
            raise RuntimeError("the memory is there already")
        pages = [-(-size // page_size) for size in (*sizes, control_size)]
        if min(pages) < 0:
            raise ValueError("a size is negative")
        # A page's entry takes a bit of a page, which has an entry, too.
        n_first = -(
            -(header + sum(pages) * sizeof(shared_entry)) // (page_size - sizeof(shared_entry))
        )
        n_pages = n_first + sum(pages)
        if n_pages >= 1 << 32:
            raise OSError(EFBIG, os.strerror(EFBIG))
        self.fd = anonymous_file(n_pages * page_size)
        self.mapping = Mapping(self.fd, n_pages * page_size, False)
        shared = self.mapping.shared
        shared.size = n_pages * page_size
        shared.page_size = page_size
        shared.n_pages = n_pages
        shared.entries = header
        shared.control = n_first * page_size
        shared.control_size = control_size
        shared.n_arenas = len(sizes)
        first = n_first + pages.pop()
        for i in range(shared.n_arenas):
            shared.arenas[i].first = first
            shared_set_pages(shared, first, pages[i])
            first += pages[i]
            shared.arenas[i].end = first
        shared.magic = SHARED_MAGIC

    def __dealloc__(self):
        if self.fd >= 0:
            close(self.fd)

    @staticmethod
    def attach(int fd, bint private):
        """The memory that another process has made.

        Parameters
        ----------
        fd : int
            Its file descriptor, which can be closed afterwards.
        private : bool
            Whether what is changed in a received array stays in this process. A message
            that may have to be given to another receiver must not change.

        Returns
        -------
        SharedMemory
            The same memory, without a file descriptor.

        Raises
        ------
        ValueError
            If the file is anything else.
        """
        cdef SharedMemory memory = SharedMemory.__new__(SharedMemory)
        cdef uint64_t size = os.fstat(fd).st_size
        if size < sizeof(shared_memory):
            raise ValueError("this is not shared memory of a pipeline")
        memory.mapping = Mapping(fd, size, private)
        if memory.mapping.shared.magic != SHARED_MAGIC or memory.mapping.shared.size != size:
            raise ValueError("this is not shared memory of a pipeline, or another version's")
        return memory

    def close(self):
        """Let go of the memory; it stays for as long as an array or a view lies on it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.mapping = None

    cdef shared_memory *shared(self) except NULL:
        if self.mapping is None:
            raise ValueError("the memory is closed")
        return self.mapping.shared

    @property
    def segment(self):
        """All of it, as a memoryview that keeps it mapped, for the functions of `_shared.h`."""
        self.shared()
        return memoryview(self.mapping)

    @property
    def control(self):
        """What is set apart for other things, as a memoryview that keeps it mapped."""
        cdef shared_memory *shared = self.shared()
        return memoryview(self.mapping)[shared.control:shared.control + shared.control_size]

    def arena(self, uint32_t index):
        """An arena, for its owner.

        What an owner has left that was killed is as good as what any other leaves, once
        it was reclaimed.

        Parameters
        ----------
        index : int
            Which.

        Returns
        -------
        Arena
            To be used by one thread of one process at a time.
        """
        cdef Arena arena = Arena.__new__(Arena)
        if index >= self.shared().n_arenas:
            raise IndexError(f"there is no arena {index}")
        arena.mapping = self.mapping
        arena.index = index
        return arena

    def get(self, uint64_t block, list sizes not None, uint32_t holder):
        """The buffers of a message, where they lie.

        Parameters
        ----------
        block : int
            What `Arena.put` has returned; the router must have accepted it.
        sizes : list of int
            Of the buffers that were put there, in bytes.
        holder : int
            The receiver's number, by which its blocks are reclaimed should it die.

        Returns
        -------
        list of memoryview
            Writable. The block is held until none of them is used any more.

        Raises
        ------
        ValueError
            If there is no such message.
        RuntimeError
            In a process that was forked off.
        """
        cdef shared_memory *shared = self.shared()
        cdef Received received
        cdef uint64_t offset = 0
        cdef uint64_t size
        if getpid() != self.mapping.process:
            raise RuntimeError("this process has to attach to the memory first")
        received = Received.__new__(Received)
        if shared_hold(shared, block, holder) < 0:
            raise ValueError(f"block {block} is of no message to be received")
        received.mapping = self.mapping
        received.block = block
        received.size = shared_pages(shared, block) * <uint64_t> shared.page_size
        received.memory = self.mapping.received + block * shared.page_size
        if self.mapping.private and not SHARED_MAPS_PRIVATE:
            received.copy = <char *> malloc(received.size)
            if received.copy is NULL:
                raise MemoryError
            memcpy(received.copy, received.memory, received.size)
            received.memory = received.copy
        view = memoryview(received)
        buffers = []
        for size in sizes:
            if size > received.size or offset > received.size - size:
                raise ValueError(f"block {block} is smaller than {sizes}")
            buffers.append(view[offset:offset + size])
            offset += aligned(size)
        return buffers

    def mark_sent(self, uint64_t block):
        """Make a block the router's, as it has accepted the message."""
        check(shared_mark_sent(self.shared(), block), block)

    def free(self, uint64_t block):
        """Free a block, as its message is acknowledged or dropped; once no array lies on it."""
        check(shared_free(self.shared(), block), block)

    def reclaim_arena(self, uint32_t arena):
        """Free what an owner that has died has not brought to the router."""
        if shared_reclaim_arena(self.shared(), arena) < 0:
            raise IndexError(f"there is no arena {arena}")

    def reclaim_holder(self, uint32_t holder):
        """Take from a receiver that has died all that it held."""
        if shared_reclaim_holder(self.shared(), holder) < 0:
            raise IndexError(f"there is no receiver {holder}")

    def blocks(self, uint32_t arena):
        """What is in an arena, for tests and for looking at what keeps it full.

        Returns
        -------
        list of tuple
            Of each block its number, its size in bytes and its state.
        """
        cdef shared_memory *shared = self.shared()
        cdef uint64_t block, pages
        if arena >= shared.n_arenas:
            raise IndexError(f"there is no arena {arena}")
        blocks = []
        block = shared.arenas[arena].first
        while block < shared.arenas[arena].end:
            pages = shared_pages(shared, block)
            blocks.append((block, pages * shared.page_size, state_of(shared, block)))
            if pages == 0:
                break
            block += pages
        return blocks


cdef state_of(shared_memory *shared, uint64_t block):
    """Such as ``SENT HELD 3``."""
    cdef uint32_t state = shared_state(shared, block)
    words = []
    if state & SHARED_WRITTEN:
        words.append("WRITTEN")
    if state & SHARED_SENT:
        words.append("SENT")
    if state & SHARED_HOLDER:
        words.append(f"HELD {(state & SHARED_HOLDER) - 1}")
    return " ".join(words) or "FREE"


cdef int check(int result, uint64_t block) except -1:
    if result < 0:
        raise ValueError(f"block {block} is of no message")
    return 0
