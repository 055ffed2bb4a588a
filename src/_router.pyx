# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""The router: queues, least recently used workers, and the exact end of a run.

One thread runs the loop, without the GIL, and owns everything in it: the
queues, the list of idle workers of each step, the router's end of every
worker's two sockets. Other threads only read the counters, raise the two flags
and write to the wake-up pipe.

A worker has one socket for its jobs and one for what it sends, and both ends count
what they have sent. The router reads what the counts say, so that it never finds a
socket empty and libzmq never signals. When there has been nothing for a while, it looks
into each socket once more, after which libzmq signals the next message through the
socket's file descriptor, and sleeps in one ``poll``.
"""

from cpython.ref cimport Py_DECREF, PyObject
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close as close_fd
from posix.unistd cimport pipe, read, write
from posix.fcntl cimport F_SETFD, F_SETFL, FD_CLOEXEC, O_NONBLOCK, fcntl

from _libzmq cimport (
    ZMQ_DONTWAIT,
    ZMQ_FD,
    ZMQ_IO_THREADS,
    ZMQ_LINGER,
    ZMQ_MAX_SOCKETS,
    ZMQ_PAIR,
    ZMQ_RCVHWM,
    ZMQ_SNDHWM,
    zmq_bind,
    zmq_close,
    zmq_connect,
    zmq_ctx_new,
    zmq_ctx_set,
    zmq_ctx_shutdown,
    zmq_ctx_term,
    zmq_errno,
    zmq_getsockopt,
    zmq_msg_close,
    zmq_msg_copy,
    zmq_msg_data,
    zmq_msg_init,
    zmq_msg_init_size,
    zmq_msg_move,
    zmq_msg_recv,
    zmq_msg_send,
    zmq_msg_t,
    zmq_setsockopt,
    zmq_socket,
    zmq_strerror,
)
from _shared cimport (
    shared_free,
    shared_mark_sent,
    shared_memory,
    shared_reclaim_arena,
    shared_reclaim_holder,
)
from _wire cimport (
    WIRE_ACKNOWLEDGE,
    WIRE_BODY,
    WIRE_FAILED,
    WIRE_GOODBYE,
    WIRE_JOB,
    WIRE_MESSAGE,
    WIRE_READY,
    WIRE_SKIPPED,
    WIRE_STOP,
    count_of,
    flag_is_up,
    raise_flag,
    set_count,
    set_flag,
    wire_body,
    wire_counts,
    wire_flags,
    wire_header,
)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<poll.h>" nogil:
    ctypedef unsigned long nfds_t
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, nfds_t nfds, int timeout)
    const short POLLIN

cdef enum:
    NOBODY = -1
    # More than sockaddr_un takes.
    ADDRESS_SIZE = 128
    # So that one busy worker cannot keep the router from the others.
    READ_AT_ONCE = 64
    # A power of two.
    MOST_CREDIT = 256
    # How often to look for a message before going to sleep: some tens of µs.
    SPINS = 50
    # What has become of an event; a bit that no count of messages reaches.
    ENDED = 1
    LOST = 1 << 30

# How much work may wait behind a running job, in ns (see docs/how_it_works.rst).
cdef uint64_t WORK_AHEAD = 200_000
# The same for a process. The way there and back takes several threads of two processes,
# that may have to wait for a core that another worker computes on.
cdef uint64_t WORK_AHEAD_OF_A_PROCESS = 20_000_000

# About what it takes to wake a sleeping thread, in ns.
cdef uint64_t WAKING_UP = 5_000


# ---------------------------------------------------------------- messages

cdef inline wire_header *header_of(zmq_msg_t *message) noexcept nogil:
    return <wire_header *> zmq_msg_data(message)


cdef inline void move_message(zmq_msg_t *target, zmq_msg_t *source) noexcept nogil:
    zmq_msg_init(target)
    zmq_msg_move(target, source)


cdef inline uint64_t block_of(zmq_msg_t *message) noexcept nogil:
    """The block of shared memory of a message with a body; 0 if it has none."""
    return (<wire_body *> (header_of(message) + 1)).block


# The objects of dropped messages, until somebody with the GIL lets go of them, and the
# memory that the blocks of others are given back to.
cdef struct References:
    shared_memory *shared
    PyObject **objects
    size_t length
    size_t capacity


cdef void keep_reference(References *dropped, zmq_msg_t *message) noexcept nogil:
    cdef PyObject **grown
    cdef size_t capacity
    if dropped.length == dropped.capacity:
        capacity = 2 * dropped.capacity if dropped.capacity else 64
        grown = <PyObject **> realloc(dropped.objects, capacity * sizeof(PyObject *))
        if grown is NULL:
            return
        dropped.objects = grown
        dropped.capacity = capacity
    dropped.objects[dropped.length] = (<PyObject **> (header_of(message) + 1))[0]
    dropped.length += 1


cdef inline void drop_message(zmq_msg_t *message, References *dropped) noexcept nogil:
    if header_of(message).kind in (WIRE_MESSAGE, WIRE_JOB):
        if header_of(message).mark == WIRE_BODY:
            shared_free(dropped.shared, block_of(message))
        else:
            keep_reference(dropped, message)
    zmq_msg_close(message)


# ------------------------------------------------------------------ queues

cdef struct Queue:
    zmq_msg_t *slots
    size_t capacity
    size_t first
    size_t length


cdef int push_message(Queue *queue, zmq_msg_t *message) noexcept nogil:
    cdef size_t i, capacity
    cdef zmq_msg_t *slots
    if queue.length == queue.capacity:
        capacity = 2 * queue.capacity if queue.capacity else 16
        slots = <zmq_msg_t *> malloc(capacity * sizeof(zmq_msg_t))
        if slots is NULL:
            return -1
        for i in range(queue.length):
            move_message(
                &slots[i], &queue.slots[(queue.first + i) & (queue.capacity - 1)]
            )
        free(queue.slots)
        queue.slots = slots
        queue.capacity = capacity
        queue.first = 0
    move_message(
        &queue.slots[(queue.first + queue.length) & (queue.capacity - 1)], message
    )
    queue.length += 1
    return 0


cdef int push_front(Queue *queue, zmq_msg_t *message) noexcept nogil:
    """Put a message before all others."""
    cdef size_t last
    # At the end first, which makes room.
    if push_message(queue, message) < 0:
        return -1
    last = (queue.first + queue.length - 1) & (queue.capacity - 1)
    queue.first = (queue.first - 1) & (queue.capacity - 1)
    if last != queue.first:
        move_message(&queue.slots[queue.first], &queue.slots[last])
    return 0


cdef inline zmq_msg_t *pop_message(Queue *queue) noexcept nogil:
    """The first message: to be used before the next push."""
    cdef zmq_msg_t *message = &queue.slots[queue.first]
    queue.first = (queue.first + 1) & (queue.capacity - 1)
    queue.length -= 1
    return message


cdef void clear_queue(Queue *queue, References *dropped) noexcept nogil:
    while queue.length:
        drop_message(pop_message(queue), dropped)


# ------------------------------------------- messages that wait for their turn

cdef struct Entry:
    uint64_t event
    int64_t arrival
    zmq_msg_t *message


# A binary heap (Knuth, The Art of Computer Programming 3, section 5.2.3): the first
# event first, and its messages in the order in which they came.
cdef struct Heap:
    Entry *entries
    size_t capacity
    size_t length
    int64_t first_arrival
    int64_t last_arrival


cdef inline bint comes_before(Entry *one, Entry *other) noexcept nogil:
    return one.event < other.event or (
        one.event == other.event and one.arrival < other.arrival
    )


cdef int push_in_order(Heap *heap, zmq_msg_t *message, bint returned) noexcept nogil:
    """Add a message; one that is returned comes before the others of its event."""
    cdef Entry entry
    cdef Entry *grown
    cdef size_t i, parent
    cdef size_t capacity
    if heap.length == heap.capacity:
        capacity = 2 * heap.capacity if heap.capacity else 16
        grown = <Entry *> realloc(heap.entries, capacity * sizeof(Entry))
        if grown is NULL:
            return -1
        heap.entries = grown
        heap.capacity = capacity
    entry.message = <zmq_msg_t *> malloc(sizeof(zmq_msg_t))
    if entry.message is NULL:
        return -1
    entry.event = header_of(message).value
    if returned:
        heap.first_arrival -= 1
        entry.arrival = heap.first_arrival
    else:
        heap.last_arrival += 1
        entry.arrival = heap.last_arrival
    move_message(entry.message, message)
    i = heap.length
    heap.length += 1
    while i > 0:
        parent = (i - 1) // 2
        if not comes_before(&entry, &heap.entries[parent]):
            break
        heap.entries[i] = heap.entries[parent]
        i = parent
    heap.entries[i] = entry
    return 0


cdef void pop_in_order(Heap *heap, zmq_msg_t *message) noexcept nogil:
    cdef Entry last
    cdef size_t i = 0
    cdef size_t child
    move_message(message, heap.entries[0].message)
    free(heap.entries[0].message)
    heap.length -= 1
    last = heap.entries[heap.length]
    while True:
        child = 2 * i + 1
        if child >= heap.length:
            break
        if child + 1 < heap.length and comes_before(
            &heap.entries[child + 1], &heap.entries[child]
        ):
            child += 1
        if not comes_before(&heap.entries[child], &last):
            break
        heap.entries[i] = heap.entries[child]
        i = child
    heap.entries[i] = last


cdef void clear_heap(Heap *heap, References *dropped) noexcept nogil:
    cdef size_t i
    for i in range(heap.length):
        drop_message(heap.entries[i].message, dropped)
        free(heap.entries[i].message)
    heap.length = 0


# ------------------------------------------------- how many live per event

# Open addressing: event number + 1 (0 is an empty slot) and its count.
cdef struct Descendants:
    uint64_t *events
    # With `LOST`, if a message of the event has failed.
    uint32_t *counts
    size_t capacity
    # 64 less the binary logarithm of the capacity.
    int shift
    size_t length


cdef inline size_t home_of(Descendants *living, uint64_t event) noexcept nogil:
    """The slot where to begin to look for an event.

    Events that live follow one another; next to each other they would make one run of
    full slots, all of which a removal would go through. The golden ratio scatters them
    (Knuth, The Art of Computer Programming 3, section 6.4, Fibonacci hashing).
    """
    return (event * <uint64_t> 0x9E3779B97F4A7C15) >> living.shift


cdef inline size_t find_event(Descendants *living, uint64_t event) noexcept nogil:
    cdef size_t slot = home_of(living, event)
    while living.events[slot] != 0 and living.events[slot] != event + 1:
        slot = (slot + 1) & (living.capacity - 1)
    return slot


cdef int grow_descendants(Descendants *living) noexcept nogil:
    cdef Descendants grown
    cdef size_t i, slot
    grown.capacity = 2 * living.capacity if living.capacity else 256
    grown.shift = living.shift - 1 if living.capacity else 56
    grown.length = living.length
    grown.events = <uint64_t *> calloc(grown.capacity, sizeof(uint64_t))
    grown.counts = <uint32_t *> calloc(grown.capacity, sizeof(uint32_t))
    if grown.events is NULL or grown.counts is NULL:
        free(grown.events)
        free(grown.counts)
        return -1
    for i in range(living.capacity):
        if living.events[i]:
            slot = find_event(&grown, living.events[i] - 1)
            grown.events[slot] = living.events[i]
            grown.counts[slot] = living.counts[i]
    free(living.events)
    free(living.counts)
    living[0] = grown
    return 0


cdef inline bint has_descendants(Descendants *living, uint64_t event) noexcept nogil:
    return living.events[find_event(living, event)] != 0


cdef inline int add_descendant(Descendants *living, uint64_t event) noexcept nogil:
    cdef size_t slot
    if 2 * living.length >= living.capacity and grow_descendants(living) < 0:
        return -1
    slot = find_event(living, event)
    if living.events[slot] == 0:
        living.events[slot] = event + 1
        living.counts[slot] = 0
        living.length += 1
    living.counts[slot] += 1
    return 0


cdef inline int remove_descendant(
    Descendants *living, uint64_t event, bint failed=False
) noexcept nogil:
    """0, or if it was the event's last, `ENDED`, or `LOST` if it or one before has failed."""
    cdef size_t mask = living.capacity - 1
    cdef size_t slot = find_event(living, event)
    cdef size_t hole, home
    cdef int ended
    living.counts[slot] -= 1
    if failed:
        living.counts[slot] |= <uint32_t> LOST
    if living.counts[slot] & ~<uint32_t> LOST:
        return 0
    ended = LOST if living.counts[slot] else ENDED
    # Close the gap, so that no search ends at it too early (Knuth, The Art of
    # Computer Programming 3, section 6.4, algorithm R).
    living.length -= 1
    hole = slot
    while True:
        slot = (slot + 1) & mask
        if living.events[slot] == 0:
            break
        home = home_of(living, living.events[slot] - 1)
        if ((slot - home) & mask) >= ((slot - hole) & mask):
            living.events[hole] = living.events[slot]
            living.counts[hole] = living.counts[slot]
            hole = slot
    living.events[hole] = 0
    return ended


# ------------------------------------------------------- workers and steps

cdef struct WorkerList:
    int first
    int last


cdef struct Worker:
    int step
    void *inbox
    void *outbox
    wire_counts *counts
    uint64_t n_read
    int fd
    # It was found empty: the next message is signalled.
    bint signals
    bint gone
    # It has not said yet that it takes jobs.
    bint starting
    # A process: how many died in its place, and copies of what it was given.
    int died
    int n_died
    uint64_t n_acknowledged
    zmq_msg_t *kept
    # The message that found its destination full, until there is room for it.
    zmq_msg_t parked
    bint is_parked
    # What it was given and has not acknowledged, oldest first: a ring, as long as a
    # power of two, of which the mask is one less.
    uint64_t *given
    uint32_t given_mask
    uint32_t given_first
    uint32_t n_given
    uint32_t credit
    uint64_t job_time
    # The list it is in, of those below; one at most.
    WorkerList *list
    int previous
    int next


# What happened to a worker process, for the thread that looks after them.
cdef struct Notice:
    int kind
    int index
    # Or whether a worker's place is to be taken.
    uint64_t event

cdef enum:
    # Notice.kind: a worker's place is free again; a message was given up.
    NOTICE_BURIED = 1
    NOTICE_GIVEN_UP = 2
    # Worker.died
    TO_BE_REPLACED = 1
    NOT_TO_BE_REPLACED = 2


cdef struct Step:
    int64_t queue_limit
    int rank
    uint32_t prefetch
    Queue queue
    # For a step that is ordered: it waits in the heap instead, until no message of an
    # event before the first one is at an earlier step.
    bint ordered
    Heap heap
    # Per step, whether what it sends can come here; and which events have messages there.
    bint *comes_after
    Descendants before
    uint64_t first_event
    # Workers without a job, the one that has waited longest first; then those
    # that have jobs but would take more.
    WorkerList idle
    WorkerList ready
    # Workers of other steps whose parked message is for this one.
    WorkerList waiting
    # Counters; written by the router only.
    uint64_t received
    uint64_t done
    uint64_t failed
    uint64_t sent
    uint64_t busy
    uint64_t queue_peak
    uint64_t running


cdef inline uint64_t n_waiting(Step *step) noexcept nogil:
    return step.heap.length if step.ordered else step.queue.length


cdef class Router:
    """Moves messages between the workers of a pipeline's steps.

    Connect the workers, then let one thread call `run`. It returns when every
    worker has said goodbye: after the producer has ended and no message is
    queued or being worked on, or after `discard`.

    Parameters
    ----------
    steps : sequence of tuple (queue_limit, rank, prefetch, before)
        One per step, the producer first. `queue_limit`: how many messages may
        wait for the step, -1 for no limit. `rank`: its place in the order of the
        graph; a message to a step of the same or a lower rank goes against that
        order and is exempt from the limit, so that a cycle cannot block itself.
        `prefetch`: how many messages a worker may hold, the one it works on
        included; 0 lets the router choose from the time its jobs take. `before`: None, or,
        for a step that receives messages in the order of their events, the indices of the
        steps at which there may be messages of earlier events. Then it is the producer that
        waits while `queue_limit` messages wait for the step: to stop another worker could
        stop the message that all wait for.
    shared : int, optional
        The address of the memory that is shared with worker processes.
    flags : int, optional
        The address of the run's flags in it.
    directory : str, optional
        A private directory for the sockets of worker processes.
    retries : int
        How many workers a message may have killed before it is given up.

    Raises
    ------
    OSError
        If the system refuses memory, a pipe or a socket.
    """

    cdef void *context
    cdef Step *steps
    cdef int n_steps
    cdef int n_ordered
    cdef Worker *workers
    cdef int n_workers
    cdef int most_workers
    cdef int n_gone
    cdef int n_open_ends
    cdef Descendants living
    cdef References dropped
    cdef uint64_t in_flight
    cdef uint64_t events_sent
    cdef uint64_t events_finished
    cdef bint producer_ended
    cdef bint stopped
    cdef wire_flags own_flags
    cdef wire_flags *flags
    cdef int wake_read
    cdef int wake_write
    cdef int notice_read
    cdef int notice_write
    cdef uint32_t retries
    cdef bytes directory
    cdef const char *directory_name
    cdef pollfd *pollfds
    cdef bint closed

    def __cinit__(
        self, steps, size_t shared=0, size_t flags=0, str directory=None, uint32_t retries=0
    ):
        cdef int fds[4]
        cdef int i
        self.wake_read = self.wake_write = self.notice_read = self.notice_write = -1
        self.flags = <wire_flags *> flags if flags else &self.own_flags
        self.dropped.shared = <shared_memory *> shared
        self.directory = b"" if directory is None else directory.encode()
        self.directory_name = self.directory
        self.retries = retries
        self.n_steps = len(steps)
        self.steps = <Step *> calloc(self.n_steps, sizeof(Step))
        if self.steps is NULL:
            raise MemoryError
        for i, (queue_limit, rank, prefetch, before) in enumerate(steps):
            self.steps[i].queue_limit = queue_limit
            self.steps[i].rank = rank
            self.steps[i].prefetch = prefetch
            if before is not None:
                self.order(i, before)
            self.steps[i].idle.first = self.steps[i].idle.last = NOBODY
            self.steps[i].ready.first = self.steps[i].ready.last = NOBODY
            self.steps[i].waiting.first = self.steps[i].waiting.last = NOBODY
        if grow_descendants(&self.living) < 0:
            raise MemoryError
        if pipe(fds) < 0:
            raise_zmq_error()
        self.wake_read, self.wake_write = fds[0], fds[1]
        if pipe(fds + 2) < 0:
            raise_zmq_error()
        self.notice_read, self.notice_write = fds[2], fds[3]
        for i in range(4):
            fcntl(fds[i], F_SETFL, O_NONBLOCK)
            fcntl(fds[i], F_SETFD, FD_CLOEXEC)
        self.context = zmq_ctx_new()
        if self.context is NULL:
            raise_zmq_error()
        zmq_ctx_set(self.context, ZMQ_IO_THREADS, 0 if directory is None else 1)
        zmq_ctx_set(self.context, ZMQ_MAX_SOCKETS, 65535)

    cdef int order(self, int s, before) except -1:
        cdef Step *step = &self.steps[s]
        step.ordered = True
        self.n_ordered += 1
        step.comes_after = <bint *> calloc(self.n_steps, sizeof(bint))
        if step.comes_after is NULL or grow_descendants(&step.before) < 0:
            raise MemoryError
        for other in before:
            step.comes_after[<int> other] = True
        return 0

    def __dealloc__(self):
        self.release()
        free(self.steps)

    # ------------------------------------------------------------ set up

    def connect(self, int step, int send_ahead=16):
        """Add a worker of a step.

        Parameters
        ----------
        step : int
            The index of its step.
        send_ahead : int
            How many messages it may send before the router reads them.

        Returns
        -------
        tuple of int
            The addresses of the worker's socket for jobs, of its socket for what it
            sends, of the counts of both and of the run's flags. They are a worker's end
            of the wire, for `Channel` to use and to give back.
        """
        cdef Worker *worker = self.new_worker(step)
        cdef void *jobs = NULL
        cdef void *sent = NULL
        cdef size_t length = sizeof(int)
        worker.counts = <wire_counts *> calloc(1, sizeof(wire_counts))
        if worker.counts is NULL:
            free(worker.given)
            raise MemoryError
        name = f"inproc://{step}-{self.n_workers}-".encode()
        try:
            # What a worker has been given is bounded by its credit.
            worker.outbox = self.open_socket(name + b"jobs", 0, 0, True)
            worker.inbox = self.open_socket(name + b"sent", 1, 1, True)
            jobs = self.open_socket(name + b"jobs", 0, 0, False)
            sent = self.open_socket(name + b"sent", max(1, send_ahead - 1), 1, False)
            if zmq_getsockopt(worker.inbox, ZMQ_FD, &worker.fd, &length) < 0:
                raise_zmq_error()
        except OSError:
            for socket in (
                <size_t> worker.outbox, <size_t> worker.inbox, <size_t> jobs, <size_t> sent
            ):
                if socket:
                    zmq_close(<void *> <size_t> socket)
            free(worker.given)
            free(worker.counts)
            raise
        worker.credit = self.steps[step].prefetch or 1
        self.n_open_ends += 1
        self.n_workers += 1
        if step > 0:
            self.append(&self.steps[step].idle, self.n_workers - 1)
        return <size_t> jobs, <size_t> sent, <size_t> worker.counts, <size_t> self.flags

    def connect_process(self, int step, size_t counts):
        """Add a worker of a step that is a process.

        Parameters
        ----------
        step : int
            The index of its step.
        counts : int
            The address of its counts in the shared memory.

        Returns
        -------
        int
            The worker's index, for `endpoint` and `worker_died`.
        """
        cdef Worker *worker = self.new_worker(step)
        worker.counts = <wire_counts *> counts
        worker.starting = True
        worker.kept = <zmq_msg_t *> calloc(worker.given_mask + 1, sizeof(zmq_msg_t))
        if worker.kept is NULL:
            free(worker.given)
            raise MemoryError
        if self.open_process(self.n_workers) < 0:
            free(worker.given)
            free(worker.kept)
            raise_zmq_error()
        worker.credit = self.steps[step].prefetch or 1
        self.n_workers += 1
        return self.n_workers - 1

    def endpoint(self, int w):
        """Where a worker process connects its socket to; another one when it was replaced."""
        cdef char address[ADDRESS_SIZE]
        self.write_address(w, address)
        return address.decode()

    cdef int write_address(self, int w, char *address) noexcept nogil:
        return snprintf(
            address, ADDRESS_SIZE, b"ipc://%s/%d.%d",
            self.directory_name, w, self.workers[w].n_died,
        )

    cdef int open_process(self, int w) noexcept nogil:
        """Open the socket of a worker process: 0, or -1 with zmq_errno()."""
        cdef Worker *worker = &self.workers[w]
        cdef char address[ADDRESS_SIZE]
        cdef int none = 0
        cdef int one = 1
        cdef size_t length = sizeof(int)
        worker.inbox = zmq_socket(self.context, ZMQ_PAIR)
        if worker.inbox is NULL:
            return -1
        worker.outbox = worker.inbox
        zmq_setsockopt(worker.inbox, ZMQ_LINGER, &none, sizeof(int))
        zmq_setsockopt(worker.inbox, ZMQ_SNDHWM, &none, sizeof(int))
        zmq_setsockopt(worker.inbox, ZMQ_RCVHWM, &one, sizeof(int))
        self.write_address(w, address)
        if (
            zmq_bind(worker.inbox, address) < 0
            or zmq_getsockopt(worker.inbox, ZMQ_FD, &worker.fd, &length) < 0
        ):
            zmq_close(worker.inbox)
            worker.inbox = worker.outbox = NULL
            return -1
        return 0

    cdef Worker *new_worker(self, int step) except NULL:
        cdef Worker *worker
        if self.n_workers == self.most_workers:
            self.grow_workers()
        worker = &self.workers[self.n_workers]
        memset(worker, 0, sizeof(Worker))
        worker.step = step
        worker.next = worker.previous = NOBODY
        worker.given_mask = MOST_CREDIT - 1
        while worker.given_mask < self.steps[step].prefetch:
            worker.given_mask = 2 * worker.given_mask + 1
        worker.given = <uint64_t *> calloc(worker.given_mask + 1, sizeof(uint64_t))
        if worker.given is NULL:
            raise MemoryError
        return worker

    def disconnect(self, size_t jobs, size_t sent):
        """Close a worker's end of the wire, that `connect` returned."""
        zmq_close(<void *> jobs)
        zmq_close(<void *> sent)
        self.n_open_ends -= 1

    cdef int grow_workers(self) except -1:
        cdef int most = 2 * self.most_workers if self.most_workers else 16
        cdef Worker *workers = <Worker *> malloc(most * sizeof(Worker))
        cdef pollfd *pollfds = <pollfd *> malloc((most + 1) * sizeof(pollfd))
        if workers is NULL or pollfds is NULL:
            free(workers)
            free(pollfds)
            raise MemoryError
        # Nothing is parked before the loop runs: no message has to be moved.
        if self.n_workers:
            memcpy(workers, self.workers, self.n_workers * sizeof(Worker))
        free(self.workers)
        free(self.pollfds)
        self.workers = workers
        self.pollfds = pollfds
        self.most_workers = most
        return 0

    cdef void *open_socket(self, bytes address, int sndhwm, int rcvhwm, bint bind) except NULL:
        cdef int linger = 0
        cdef bint failed
        cdef void *socket = zmq_socket(self.context, ZMQ_PAIR)
        if socket is NULL:
            raise_zmq_error()
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(int))
        zmq_setsockopt(socket, ZMQ_SNDHWM, &sndhwm, sizeof(int))
        zmq_setsockopt(socket, ZMQ_RCVHWM, &rcvhwm, sizeof(int))
        if bind:
            failed = zmq_bind(socket, address) < 0
        else:
            failed = zmq_connect(socket, address) < 0
        if failed:
            zmq_close(socket)
            raise_zmq_error()
        return socket

    def close(self):
        """Close the router's sockets and forget what is still queued.

        To be called after `run` has returned. The ZeroMQ context goes too, if
        every worker's end is closed.
        """
        self.release()

    cdef void release(self):
        cdef int i
        if self.closed:
            return
        self.closed = True
        for i in range(self.n_workers):
            if self.workers[i].is_parked:
                drop_message(&self.workers[i].parked, &self.dropped)
            if self.workers[i].inbox is not NULL:
                zmq_close(self.workers[i].inbox)
            if self.workers[i].kept is not NULL:
                self.drop_kept(&self.workers[i])
                free(self.workers[i].kept)
                free(self.workers[i].given)
                continue
            zmq_close(self.workers[i].outbox)
            free(self.workers[i].given)
            # Threads that an abort left behind still write to them.
            if self.n_open_ends == 0:
                free(self.workers[i].counts)
        if self.steps is not NULL:
            for i in range(self.n_steps):
                clear_queue(&self.steps[i].queue, &self.dropped)
                free(self.steps[i].queue.slots)
                self.steps[i].queue.slots = NULL
                clear_heap(&self.steps[i].heap, &self.dropped)
                free(self.steps[i].heap.entries)
                self.steps[i].heap.entries = NULL
                free(self.steps[i].before.events)
                free(self.steps[i].before.counts)
                self.steps[i].before.events = NULL
                self.steps[i].before.counts = NULL
                free(self.steps[i].comes_after)
                self.steps[i].comes_after = NULL
        self.release_dropped()
        free(self.dropped.objects)
        self.dropped.objects = NULL
        free(self.workers)
        self.workers = NULL
        self.n_workers = 0
        free(self.pollfds)
        self.pollfds = NULL
        free(self.living.events)
        free(self.living.counts)
        self.living.events = NULL
        self.living.counts = NULL
        if self.wake_read >= 0:
            close_fd(self.wake_read)
            close_fd(self.wake_write)
            self.wake_read = self.wake_write = -1
        if self.notice_read >= 0:
            close_fd(self.notice_read)
            close_fd(self.notice_write)
            self.notice_read = self.notice_write = -1
        if self.context is not NULL and self.n_open_ends == 0:
            with nogil:
                zmq_ctx_term(self.context)
            self.context = NULL

    # --------------------------------------------------------- the run

    def run(self):
        """Route messages until every worker has said goodbye.

        Raises
        ------
        OSError
            If a socket fails or memory runs out.
        """
        cdef int found = 0
        cdef int spins = 0
        with nogil:
            while self.n_gone < self.n_workers:
                found = self.route()
                if found == 0:
                    spins += 1
                    if spins < SPINS:
                        sched_yield()
                        continue
                    found = self.sleep()
                spins = 0
                if found < 0:
                    break
        self.release_dropped()
        if found < 0:
            raise_zmq_error()

    def turn(self):
        """Handle all that has arrived, without waiting for more.

        Returns
        -------
        bool
            Whether every worker has said goodbye.
        """
        cdef int found = 1
        while found > 0:
            found = self.route()
        self.release_dropped()
        if found < 0:
            raise_zmq_error()
        return self.n_gone == self.n_workers

    cdef void release_dropped(self):
        while self.dropped.length:
            self.dropped.length -= 1
            Py_DECREF(<object> self.dropped.objects[self.dropped.length])

    def end_production(self):
        """Tell the producer to stop; what it has sent runs out."""
        raise_flag(&self.flags.producing_ended)

    def discard(self):
        """End the run now: drop what waits, give out nothing more."""
        raise_flag(&self.flags.producing_ended)
        raise_flag(&self.flags.discarding)
        self.wake()

    cdef void wake(self):
        if self.wake_write >= 0:
            write(self.wake_write, b"!", 1)

    def worker_died(self, int w, bint replace):
        """Tell the router that a worker process has died; may be called during a run.

        What it had acknowledged counts, and all else of it is dropped; what it was given
        goes to other workers. Notices say when that is done.

        Parameters
        ----------
        w : int
            The worker's index.
        replace : bool
            Whether another process will take its place.
        """
        set_flag(&self.workers[w].died, TO_BE_REPLACED if replace else NOT_TO_BE_REPLACED)
        self.wake()

    @property
    def notice_fd(self):
        """A file descriptor that can be read from when there are notices."""
        return self.notice_read

    def notices(self):
        """What has happened to worker processes since the last call.

        Returns
        -------
        list of tuple
            ``("buried", worker, replace)``: what it had is dealt with, and whether its
            place is to be taken; ``("given up", step, event)``: a message that has killed
            too many workers.
        """
        cdef Notice notice
        notices = []
        while read(self.notice_read, &notice, sizeof(Notice)) == sizeof(Notice):
            if notice.kind == NOTICE_BURIED:
                notices.append(("buried", notice.index, bool(notice.event)))
            else:
                notices.append(("given up", notice.index, notice.event))
        return notices

    def shut_down(self):
        """End every wait of a worker, after `run` has failed."""
        raise_flag(&self.flags.producing_ended)
        raise_flag(&self.flags.discarding)
        zmq_ctx_shutdown(self.context)

    cdef int route(self) noexcept nogil:
        """Read what the workers have sent: how many messages, or -1 with zmq_errno()."""
        cdef int w, rc
        cdef int found = 0
        cdef int n
        if flag_is_up(&self.flags.discarding) and not self.stopped:
            if self.drop_everything() < 0:
                return -1
        for w in range(self.n_workers):
            if self.workers[w].kept is not NULL and flag_is_up(&self.workers[w].died):
                if self.bury(w) < 0:
                    return -1
            n = 0
            while n < READ_AT_ONCE and self.can_read(w):
                rc = self.read_from(w)
                if rc < 0:
                    return -1
                if rc == 0:
                    # From a process a message is counted before it is there.
                    break
                n += rc
            found += n
        if self.producer_ended and self.in_flight == 0 and not self.stopped:
            if self.stop_workers() < 0:
                return -1
        return found

    cdef inline bint can_read(self, int w) noexcept nogil:
        cdef Worker *worker = &self.workers[w]
        return (
            # More, because a message can be read before it is counted.
            count_of(&worker.counts.sent) > worker.n_read
            and not worker.is_parked
            and not worker.gone
        )

    cdef inline int read_from(self, int w) noexcept nogil:
        """Read one message, if there is one: how many, or -1 with zmq_errno()."""
        cdef Worker *worker = &self.workers[w]
        cdef zmq_msg_t message
        zmq_msg_init(&message)
        while zmq_msg_recv(&message, worker.inbox, ZMQ_DONTWAIT) < 0:
            if zmq_errno() == EAGAIN:
                worker.signals = True
                return 0
            if zmq_errno() != EINTR:
                return -1
        worker.signals = False
        worker.n_read += 1
        return -1 if self.handle(w, &message) < 0 else 1

    cdef int sleep(self) noexcept nogil:
        """Wait for a message, or for another thread: 0 or more, or -1 with zmq_errno()."""
        cdef int w, rc
        cdef nfds_t n = 1
        cdef char byte
        self.pollfds[0].fd = self.wake_read
        self.pollfds[0].events = POLLIN
        for w in range(self.n_workers):
            if not self.is_polled(w):
                continue
            if not self.workers[w].signals:
                rc = self.read_from(w)
                if rc != 0:
                    return rc
            self.pollfds[n].fd = self.workers[w].fd
            self.pollfds[n].events = POLLIN
            n += 1
        if poll(self.pollfds, n, -1) < 0:
            return 0 if zmq_errno() == EINTR else -1
        if self.pollfds[0].revents:
            while read(self.wake_read, &byte, 1) > 0:
                pass
        n = 1
        for w in range(self.n_workers):
            if self.is_polled(w):
                if self.pollfds[n].revents:
                    self.workers[w].signals = False
                n += 1
        return 0

    cdef inline bint is_polled(self, int w) noexcept nogil:
        return not self.workers[w].gone and not self.workers[w].is_parked

    cdef int handle(self, int w, zmq_msg_t *message) noexcept nogil:
        cdef Worker *worker = &self.workers[w]
        cdef Step *step = &self.steps[worker.step]
        cdef wire_header *header = header_of(message)
        cdef int rc = 0
        if header.kind == WIRE_MESSAGE:
            if header.mark == WIRE_BODY:
                shared_mark_sent(self.dropped.shared, block_of(message))
            if self.stopped:
                drop_message(message, &self.dropped)
                return 0
            step.sent += 1
            if worker.step == 0:
                step.done += 1
                self.events_sent += 1
            self.in_flight += 1
            if add_descendant(&self.living, header.value) < 0:
                return -1
            if self.n_ordered and self.come_before(header.step, header.value) < 0:
                return -1
            return self.accept(w, message)
        if header.kind == WIRE_ACKNOWLEDGE:
            rc = self.acknowledge(w, header)
        elif header.kind == WIRE_READY:
            worker.starting = False
            if self.stopped:
                rc = self.stop_worker(w)
            else:
                self.append(&step.idle, w)
                rc = self.dispatch(step)
        elif header.kind == WIRE_GOODBYE:
            worker.gone = True
            self.n_gone += 1
            if worker.step == 0:
                self.producer_ended = True
                step.running = 0
            else:
                self.leave_list(w)
                if worker.n_given:
                    step.running -= 1
        drop_message(message, &self.dropped)
        return rc

    cdef int accept(self, int w, zmq_msg_t *message) noexcept nogil:
        """Give a message to a worker, queue it, or park it with its sender."""
        cdef int s = header_of(message).step
        cdef Step *step = &self.steps[s]
        cdef Step *full = NULL
        cdef int receiver
        if self.n_ordered and self.workers[w].step == 0:
            full = self.full_ordered_step()
        if step.ordered and full is NULL:
            if self.enqueue(step, message) < 0:
                return -1
            return self.dispatch(step)
        if full is NULL:
            receiver = self.take_available(step)
            if receiver != NOBODY:
                return self.give(receiver, message)
            if (
                step.queue_limit < 0
                or step.queue.length < <size_t> step.queue_limit
                or step.rank <= self.steps[self.workers[w].step].rank
            ):
                return self.enqueue(step, message)
            full = step
        self.leave_list(w)
        move_message(&self.workers[w].parked, message)
        self.workers[w].is_parked = True
        self.append(&full.waiting, w)
        return 0

    cdef Step *full_ordered_step(self) noexcept nogil:
        cdef int s
        for s in range(self.n_steps):
            if (
                self.steps[s].ordered
                and self.steps[s].queue_limit >= 0
                and self.steps[s].heap.length >= <size_t> self.steps[s].queue_limit
            ):
                return &self.steps[s]
        return NULL

    cdef inline int enqueue(self, Step *step, zmq_msg_t *message) noexcept nogil:
        if step.ordered:
            if push_in_order(&step.heap, message, False) < 0:
                return -1
        elif push_message(&step.queue, message) < 0:
            return -1
        step.queue_peak = max(step.queue_peak, n_waiting(step))
        return 0

    # Which events may have messages yet that ordered steps have to wait for.

    cdef int come_before(self, int s, uint64_t event) noexcept nogil:
        """A message has been sent to a step."""
        cdef int other
        for other in range(self.n_steps):
            if self.steps[other].ordered and self.steps[other].comes_after[s]:
                if add_descendant(&self.steps[other].before, event) < 0:
                    return -1
        return 0

    cdef int pass_by(self, int s, uint64_t event) noexcept nogil:
        """A message at a step is done with."""
        cdef Step *other
        cdef int i
        for i in range(self.n_steps):
            other = &self.steps[i]
            if other.ordered and other.comes_after[s]:
                if remove_descendant(&other.before, event) and event == other.first_event:
                    if self.dispatch(other) < 0:
                        return -1
        return 0

    cdef bint is_next(self, Step *step) noexcept nogil:
        """Whether the first message in a step's heap need not wait for one before it."""
        while step.first_event < self.events_sent and not has_descendants(
            &step.before, step.first_event
        ):
            step.first_event += 1
        return step.heap.length > 0 and step.heap.entries[0].event <= step.first_event

    cdef inline int give(self, int w, zmq_msg_t *message) noexcept nogil:
        cdef Worker *worker = &self.workers[w]
        cdef Step *step = &self.steps[worker.step]
        cdef wire_header *header = header_of(message)
        cdef uint32_t slot = (worker.given_first + worker.n_given) & worker.given_mask
        header.kind = WIRE_JOB
        worker.given[slot] = header.value
        if worker.kept is not NULL:
            zmq_msg_init(&worker.kept[slot])
            zmq_msg_copy(&worker.kept[slot], message)
        worker.n_given += 1
        if worker.n_given == 1:
            step.running += 1
        step.received += 1
        if self.send(worker, message) < 0:
            return -1
        if worker.n_given < worker.credit:
            self.append(&step.ready, w)
        return 0

    cdef int acknowledge(self, int w, wire_header *header) noexcept nogil:
        cdef Worker *worker = &self.workers[w]
        cdef Step *step = &self.steps[worker.step]
        cdef uint32_t i
        cdef uint64_t event
        cdef int ended
        cdef bint stops = header.mark == WIRE_FAILED
        cdef uint32_t n_failed = stops or header.mark == WIRE_SKIPPED
        step.busy += header.value
        for i in range(header.jobs):
            event = worker.given[worker.given_first]
            if worker.kept is not NULL:
                drop_message(&worker.kept[worker.given_first], &self.dropped)
                worker.n_acknowledged += 1
            worker.given_first = (worker.given_first + 1) & worker.given_mask
            worker.n_given -= 1
            self.in_flight -= 1
            ended = remove_descendant(&self.living, event, i + n_failed >= header.jobs)
            if ended == ENDED:
                self.events_finished += 1
            if self.n_ordered and self.pass_by(worker.step, event) < 0:
                return -1
        step.failed += n_failed
        if stops:
            raise_flag(&self.flags.producing_ended)
            raise_flag(&self.flags.discarding)
        if worker.step == 0:
            step.running = 1
            return 0
        step.done += header.jobs - n_failed
        if worker.n_given == 0:
            step.running -= 1
        if self.stopped or stops:
            return 0
        self.choose_credit(worker, step, header)
        self.leave_list(w)
        if worker.n_given == 0:
            self.append(&step.idle, w)
        elif worker.n_given < worker.credit:
            self.append(&step.ready, w)
        return self.dispatch(step)

    cdef inline void choose_credit(
        self, Worker *worker, Step *step, wire_header *header
    ) noexcept nogil:
        """As many messages ahead as make `WORK_AHEAD`; a slow job counts at once."""
        cdef uint64_t job_time = header.value // header.jobs
        cdef uint64_t most = MOST_CREDIT
        cdef uint64_t ahead = WORK_AHEAD if worker.kept is NULL else WORK_AHEAD_OF_A_PROCESS
        if step.prefetch:
            return
        if step.queue_limit >= 0:
            most = min(most, <uint64_t> step.queue_limit)
        worker.job_time = max(job_time, (worker.job_time + job_time) // 2)
        worker.credit = <uint32_t> min(most, 1 + ahead // (worker.job_time + 1))

    cdef int dispatch(self, Step *step) noexcept nogil:
        """Give queued messages to available workers; let parked ones move up."""
        cdef zmq_msg_t message
        cdef int w
        while self.is_next(step) if step.ordered else step.queue.length > 0:
            w = self.take_available(step)
            if w == NOBODY:
                return 0
            if step.ordered:
                pop_in_order(&step.heap, &message)
            else:
                move_message(&message, pop_message(&step.queue))
            if self.give(w, &message) < 0:
                return -1
            # Not before half of the queue is free, so that a sender that was stopped can
            # send for a while when it is woken.
            while (
                step.waiting.first != NOBODY
                and 2 * n_waiting(step) <= <uint64_t> step.queue_limit
            ):
                w = step.waiting.first
                self.leave_list(w)
                self.workers[w].is_parked = False
                move_message(&message, &self.workers[w].parked)
                if step.ordered:
                    if self.accept(w, &message) < 0:
                        return -1
                elif self.enqueue(step, &message) < 0:
                    return -1
        return 0

    cdef int stop_workers(self) noexcept nogil:
        cdef int w
        self.stopped = True
        for w in range(self.n_workers):
            if not self.workers[w].gone and not self.workers[w].starting:
                if self.stop_worker(w) < 0:
                    return -1
        return 0

    cdef int stop_worker(self, int w) noexcept nogil:
        cdef zmq_msg_t message
        cdef wire_header *header
        if zmq_msg_init_size(&message, sizeof(wire_header)) < 0:
            return -1
        header = header_of(&message)
        memset(header, 0, sizeof(wire_header))
        header.kind = WIRE_STOP
        return self.send(&self.workers[w], &message)

    cdef inline int send(self, Worker *worker, zmq_msg_t *message) noexcept nogil:
        if zmq_msg_send(message, worker.outbox, ZMQ_DONTWAIT) < 0:
            if worker.kept is NULL or zmq_errno() != EAGAIN:
                return -1
            # It has died, which is about to be told.
            zmq_msg_close(message)
        if worker.kept is not NULL:
            # A socket that sends may take in the signal that there is something to read.
            worker.signals = False
        set_count(&worker.counts.given, worker.counts.given + 1)
        return 0

    # ------------------------------------------------- worker processes that died

    cdef int bury(self, int w) noexcept nogil:
        """Take back what a dead worker was given, and free its place."""
        cdef Worker *worker = &self.workers[w]
        cdef Step *step = &self.steps[worker.step]
        cdef bint replace = worker.died == TO_BE_REPLACED and not self.stopped
        cdef uint64_t in_hand
        cdef uint32_t i
        cdef int rc = 1
        # All that arrived of it counts. An acknowledgement comes with all that it is about,
        # and what has not arrived when the socket is closed never will.
        while rc > 0 and not worker.is_parked and not worker.gone:
            rc = self.read_from(w)
            if rc < 0:
                return -1
        if worker.is_parked:
            return 0
        worker.died = 0
        zmq_close(worker.inbox)
        worker.inbox = worker.outbox = NULL
        if worker.gone:
            return self.notify(NOTICE_BURIED, w, False)
        self.leave_list(w)
        if worker.n_given:
            step.running -= 1
        # A job begins when those before it have ended, acknowledged or not.
        in_hand = count_of(&worker.counts.begun) - worker.n_acknowledged
        shared_reclaim_arena(self.dropped.shared, w)
        shared_reclaim_holder(self.dropped.shared, w)
        for i in range(worker.n_given, 0, -1):
            if self.take_back(worker, i - 1, i == in_hand) < 0:
                return -1
        worker.n_given = worker.given_first = 0
        worker.n_acknowledged = worker.n_read = 0
        worker.signals = False
        memset(worker.counts, 0, sizeof(wire_counts))
        worker.n_died += 1
        worker.credit = step.prefetch or 1
        worker.job_time = 0
        worker.starting = True
        if replace:
            if self.open_process(w) < 0:
                return -1
        else:
            worker.gone = True
            self.n_gone += 1
        if self.notify(NOTICE_BURIED, w, replace) < 0:
            return -1
        return 0 if self.stopped else self.dispatch(step)

    cdef int take_back(self, Worker *worker, uint32_t i, bint in_hand) noexcept nogil:
        """Queue a message again that a dead worker was given, or give it up."""
        cdef Step *step = &self.steps[worker.step]
        cdef zmq_msg_t *message = &worker.kept[(worker.given_first + i) & worker.given_mask]
        cdef wire_header *header = header_of(message)
        cdef uint64_t event = header.value
        header.kind = WIRE_MESSAGE
        step.received -= 1
        header.jobs += in_hand
        if not self.stopped and header.jobs <= self.retries:
            if step.ordered:
                return push_in_order(&step.heap, message, True)
            return push_front(&step.queue, message)
        if not self.stopped:
            step.received += 1
            step.failed += 1
            if self.notify(NOTICE_GIVEN_UP, worker.step, event) < 0:
                return -1
        drop_message(message, &self.dropped)
        self.in_flight -= 1
        remove_descendant(&self.living, event)
        return self.pass_by(worker.step, event) if self.n_ordered else 0

    cdef void drop_kept(self, Worker *worker) noexcept nogil:
        cdef uint32_t i
        for i in range(worker.n_given):
            drop_message(
                &worker.kept[(worker.given_first + i) & worker.given_mask], &self.dropped
            )

    cdef int notify(self, int kind, int index, uint64_t event) noexcept nogil:
        cdef Notice notice
        memset(&notice, 0, sizeof(Notice))
        notice.kind, notice.index, notice.event = kind, index, event
        while write(self.notice_write, &notice, sizeof(Notice)) < 0:
            if zmq_errno() == EAGAIN:
                sched_yield()
            elif zmq_errno() != EINTR:
                return -1
        return 0

    cdef int drop_everything(self) noexcept nogil:
        cdef int i, w
        for i in range(self.n_steps):
            clear_queue(&self.steps[i].queue, &self.dropped)
            clear_heap(&self.steps[i].heap, &self.dropped)
        for w in range(self.n_workers):
            if self.workers[w].is_parked:
                self.leave_list(w)
                drop_message(&self.workers[w].parked, &self.dropped)
                self.workers[w].is_parked = False
        return self.stop_workers()

    # ----------------------------------------------------- lists of workers

    cdef inline void append(self, WorkerList *workers, int w) noexcept nogil:
        cdef Worker *worker = &self.workers[w]
        worker.list = workers
        worker.next = NOBODY
        worker.previous = workers.last
        if workers.last == NOBODY:
            workers.first = w
        else:
            self.workers[workers.last].next = w
        workers.last = w

    cdef inline void leave_list(self, int w) noexcept nogil:
        cdef Worker *worker = &self.workers[w]
        if worker.list is NULL:
            return
        if worker.previous == NOBODY:
            worker.list.first = worker.next
        else:
            self.workers[worker.previous].next = worker.next
        if worker.next == NOBODY:
            worker.list.last = worker.previous
        else:
            self.workers[worker.next].previous = worker.previous
        worker.list = NULL

    cdef inline int take_available(self, Step *step) noexcept nogil:
        """The least recently used worker that would take a message, or NOBODY.

        An idle one, but where to wake it would take longer than the job.
        """
        cdef int w = step.ready.first
        if w == NOBODY or not 0 < self.workers[w].job_time < WAKING_UP:
            if step.idle.first != NOBODY:
                w = step.idle.first
        if w != NOBODY:
            self.leave_list(w)
        return w

    # ------------------------------------------------------------ counters

    def counters(self):
        """How much each step has done so far; may be called during a run.

        Returns
        -------
        list of dict
            Per step: ``received``, ``done``, ``failed``, ``sent`` (messages),
            ``running`` (workers with a job), ``queue``, ``queue_peak``
            (messages), ``busy_s`` (time in jobs, seconds, all workers).
        """
        cdef int i
        return [
            {
                "received": self.steps[i].received,
                "done": self.steps[i].done,
                "failed": self.steps[i].failed,
                "sent": self.steps[i].sent,
                "running": self.steps[i].running,
                "queue": n_waiting(&self.steps[i]),
                "queue_peak": self.steps[i].queue_peak,
                "busy_s": self.steps[i].busy * 1e-9,
            }
            for i in range(self.n_steps)
        ]

    def worker_states(self):
        """What each worker is at; may be called during a run.

        Returns
        -------
        list of list of str
            Per step, of its workers in the order in which they were connected: ``idle``;
            ``busy``, with a job; ``blocked``, because a message that it sends waits for
            room in a queue.
        """
        cdef int w
        cdef Worker *worker
        states = [[] for _ in range(self.n_steps)]
        for w in range(self.n_workers):
            worker = &self.workers[w]
            if worker.is_parked:
                state = "blocked"
            elif worker.n_given > 0 or (worker.step == 0 and self.steps[0].running > 0):
                state = "busy"
            else:
                state = "idle"
            states[worker.step].append(state)
        return states

    def events(self):
        """How many messages the producer has sent, and how many of them are done with.

        Returns
        -------
        dict
            ``sent`` and ``finished``: the latter counts those of which nothing is
            queued or being worked on any more.
        """
        return {"sent": self.events_sent, "finished": self.events_finished}


cdef int raise_zmq_error() except -1:
    cdef int number = zmq_errno()
    raise OSError(number, zmq_strerror(number).decode())
