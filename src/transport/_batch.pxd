"""Jobs that have ended and are acknowledged together."""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    # How many jobs are acknowledged together, in a thread and in a process.
    MOST_AT_ONCE = 16
    MOST_AT_ONCE_IN_A_PROCESS = 64
    # For how long a time of work an acknowledgement may be held back, ns.
    LONGEST_WAIT = 20_000
    LONGEST_WAIT_IN_A_PROCESS = 100_000


cdef struct Batch:
    uint32_t n_ended
    uint32_t most
    # When the first began, when the last ended, and how long they have waited to send, ns.
    uint64_t began
    uint64_t ended
    uint64_t blocked
    uint64_t longest_wait


cdef inline void limit_batch(Batch *batch, bint is_process) noexcept nogil:
    batch.most = MOST_AT_ONCE_IN_A_PROCESS if is_process else MOST_AT_ONCE
    batch.longest_wait = LONGEST_WAIT_IN_A_PROCESS if is_process else LONGEST_WAIT


cdef inline void begin_batch(Batch *batch, uint64_t time) noexcept nogil:
    batch.n_ended = 0
    batch.began = time
    batch.blocked = 0


cdef inline uint64_t busy_time(Batch *batch, uint64_t time) noexcept nogil:
    """How long its jobs have worked until now, ns."""
    return time - batch.began - batch.blocked


cdef inline bint is_due(Batch *batch, uint64_t time) noexcept nogil:
    """Whether it is long enough."""
    return batch.n_ended == batch.most or busy_time(batch, time) > batch.longest_wait
