"""What the router tells the thread that looks after worker processes, through a pipe."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint64_t
from libc.string cimport memset
from posix.unistd cimport write

cdef extern from "<sched.h>" nogil:
    int sched_yield()


cdef enum NoticeKind:
    # What a dead worker had is dealt with.
    WORKER_CLEARED = 1
    # A message has killed too many workers, this one at last.
    MESSAGE_GIVEN_UP = 2
    # A worker has done as many jobs as it is to do.
    WORKER_RETIRED = 3


cdef struct Notice:
    int kind
    # The worker.
    int index
    # Whether the worker's place is to be taken, or the event that the message is of.
    uint64_t value


cdef inline int write_notice(int pipe, int kind, int index, uint64_t value) noexcept nogil:
    """0, or -1 with errno."""
    cdef Notice notice
    memset(&notice, 0, sizeof(Notice))
    notice.kind, notice.index, notice.value = kind, index, value
    while write(pipe, &notice, sizeof(Notice)) < 0:
        if errno == EAGAIN:
            sched_yield()
        elif errno != EINTR:
            return -1
    return 0
