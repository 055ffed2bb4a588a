"""The clock of all busy times."""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec


cdef inline uint64_t now() noexcept nogil:
    """Monotonic time in ns."""
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <uint64_t> time.tv_sec * 1_000_000_000 + time.tv_nsec
