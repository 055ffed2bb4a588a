"""What the router knows of a worker, and the lists that workers wait in."""

from libc.stdint cimport uint32_t, uint64_t

from _libzmq cimport zmq_msg_t
from _wire cimport wire_counts

cdef enum:
    NOBODY = -1


# What is to be done about a process that has died; the last one is added to another.
cdef enum Death:
    ALIVE = 0
    TO_BE_REPLACED = 1
    NOT_TO_BE_REPLACED = 2
    GIVES_UP = 4


cdef struct WorkerList:
    int first
    int last


cdef struct WorkerState:
    int step
    void *inbox
    void *outbox
    wire_counts *counts
    uint64_t n_read
    int fd
    # Its inbox was found empty, so that libzmq signals the next message through `fd`.
    bint is_signalled
    bint gone
    # It has not said yet that it takes jobs.
    bint starting
    # It was stopped, so that another takes its place.
    bint retiring
    # The message that found its destination full, until there is room for it.
    zmq_msg_t parked
    bint is_parked
    # Since when; how long in all since it was traced last, and since when first; and when it
    # was traced last, ns.
    uint64_t parked_since
    uint64_t parked_for
    uint64_t first_parked
    uint64_t traced_until
    # What it was given and has not acknowledged, oldest first: a ring, as long as a
    # power of two, of which the mask is one less.
    uint64_t *given
    uint32_t given_mask
    uint32_t given_first
    uint32_t n_given
    uint32_t credit
    uint64_t n_acknowledged
    uint64_t job_time
    # The list it is in; one at most.
    WorkerList *list
    int previous
    int next
    # Of a process: copies of what it was given, NULL for a thread; its death, and how many
    # died in its place; what it sends from, and receives for, in the shared memory.
    zmq_msg_t *kept
    int death
    int n_died
    uint32_t arena
    uint32_t holder


cdef inline void empty_list(WorkerList *workers) noexcept nogil:
    workers.first = workers.last = NOBODY


cdef inline void join_list(WorkerState *all, WorkerList *workers, int w) noexcept nogil:
    """Put a worker, of all that there are, at the end of a list."""
    all[w].list = workers
    all[w].next = NOBODY
    all[w].previous = workers.last
    if workers.last == NOBODY:
        workers.first = w
    else:
        all[workers.last].next = w
    workers.last = w


cdef inline void leave_list(WorkerState *all, int w) noexcept nogil:
    """Take a worker out of the list that it is in, if it is in any."""
    cdef WorkerState *worker = &all[w]
    if worker.list is NULL:
        return
    if worker.previous == NOBODY:
        worker.list.first = worker.next
    else:
        all[worker.previous].next = worker.next
    if worker.next == NOBODY:
        worker.list.last = worker.previous
    else:
        all[worker.next].previous = worker.previous
    worker.list = NULL
