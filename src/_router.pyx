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

What it keeps its messages and workers in stands in the ``.pxd`` files beside it.
"""

cimport cython
from cpython.ref cimport Py_DECREF
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport UINT16_MAX, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport read, write

from .transport.worker_end import WorkerEnd

from _router_credit cimport MOST_CREDIT, choose_credit, takes_more
from _router_event_counts cimport (
    EVENT_ENDED, EventCounts, count_message, discount_message, free_counts, grow_counts,
    has_messages,
)
from _router_event_heap cimport pop_first_event, push_by_event
from _clock cimport now
from _frames cimport block_of
from _libzmq cimport (
    ZMQ_DONTWAIT, ZMQ_IO_THREADS, ZMQ_MAX_SOCKETS, raise_zmq_error, zmq_close, zmq_ctx_new,
    zmq_ctx_set, zmq_ctx_shutdown, zmq_ctx_term, zmq_errno, zmq_msg_close, zmq_msg_copy,
    zmq_msg_init, zmq_msg_init_size, zmq_msg_recv, zmq_msg_send, zmq_msg_t,
)
from _router_message_queue cimport pop_front, push_back, push_front, waits_since
from _router_messages cimport DroppedMessages, drop_message, header_of, move_message
from _router_notices cimport (
    MESSAGE_GIVEN_UP, WORKER_CLEARED, WORKER_RETIRED, Notice, sched_yield, write_notice,
)
from _router_pipes cimport POLLIN, Pipe, close_pipe, nfds_t, open_pipe, poll, pollfd
from _shared cimport shared_mark_sent, shared_memory, shared_reclaim_arena, shared_reclaim_holder
from _router_sockets cimport close_pair, descriptor_of, open_pair
from _router_step_state cimport StepState, counters_of, drop_waiting, free_step, n_waiting
from _router_time_counts cimport count_time, new_counts, percentiles_of
from _router_trace cimport (
    TRACED_BLOCKED, TRACED_JOBS, Trace, TraceRecord, begin_trace, record,
)
from _wire cimport (
    WIRE_ACKNOWLEDGE, WIRE_FAILED, WIRE_GOODBYE, WIRE_JOB, WIRE_MESSAGE, WIRE_PACKED, WIRE_READY,
    WIRE_SKIPPED, WIRE_STOP, count_of, flag_is_up, raise_flag, set_count, set_flag, start_of,
    wire_counts, wire_flags, wire_header,
)
from _router_worker_state cimport (
    ALIVE, GIVES_UP, NOBODY, NOT_TO_BE_REPLACED, TO_BE_REPLACED, WorkerState, empty_list,
    join_list, leave_list,
)

cdef enum:
    # More than sockaddr_un takes.
    ADDRESS_SIZE = 128
    # So that one busy worker cannot keep the router from the others.
    READ_AT_ONCE = 64
    # How often to look for a message before going to sleep: some tens of µs.
    SPINS = 50

# About what it takes to wake a sleeping thread, in ns.
cdef uint64_t WAKING_UP = 5_000


@cython.no_gc  # nothing that it refers to refers to it
cdef class Router:
    """Moves messages between the workers of a pipeline's steps.

    Connect the workers, then let one thread call `run`. It returns when every
    worker has said goodbye: after the producer has ended and no message is
    queued or being worked on, or after `discard`.

    Parameters
    ----------
    steps : sequence of tuple (queue_limit, rank, prefetch, before, most_jobs)
        One per step, the producer first. `queue_limit`: how many messages may
        wait for the step, -1 for no limit. `rank`: its place in the order of the
        graph; a message to a step of the same or a lower rank goes against that
        order and is exempt from the limit, so that a cycle cannot block itself.
        `prefetch`: how many messages a worker may hold, the one it works on
        included; 0 lets the router choose from the time its jobs take. `before`: None, or,
        for a step that receives messages in the order of their events, the indices of the
        steps at which there may be messages of earlier events. Then it is the producer that
        waits while `queue_limit` messages wait for the step: to stop another worker could
        stop the message that all wait for. `most_jobs`: after how many a worker process is
        stopped, for another to take its place; 0 for never.
    segment : memoryview, optional
        The memory that is shared with worker processes, all of it.
    flags : memoryview, optional
        The run's flags in it.
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
    cdef StepState *steps
    cdef int n_steps
    cdef int n_ordered
    cdef WorkerState *workers
    cdef int n_workers
    cdef int most_workers
    cdef int n_gone
    cdef int n_open_ends
    cdef EventCounts living
    cdef DroppedMessages dropped
    cdef uint64_t in_flight
    cdef uint64_t events_sent
    # One more than the number of the last event: some are left out.
    cdef uint64_t next_event
    cdef uint64_t events_finished
    # How long events took, from their first message to their end.
    cdef uint64_t *ages
    cdef Trace trace
    # When what is being read was found: to read the clock for each message takes too long.
    cdef uint64_t time
    cdef bint producer_ended
    cdef bint stopped
    cdef unsigned char[::1] segment
    cdef object flags_memory
    cdef wire_flags *flags
    # By worker, what its `counts` are in.
    cdef list counts_memory
    cdef Pipe wake_pipe
    cdef Pipe notice_pipe
    cdef uint32_t retries
    cdef bytes directory
    cdef const char *directory_name
    cdef pollfd *pollfds
    cdef bint closed

    def __cinit__(self, steps, segment=None, flags=None, str directory=None, uint32_t retries=0):
        cdef int i
        self.wake_pipe.read_end = self.notice_pipe.read_end = -1
        self.counts_memory = []
        self.use_flags(bytearray(sizeof(wire_flags)) if flags is None else flags)
        if segment is not None:
            self.segment = segment
            self.dropped.shared = <shared_memory *> &self.segment[0]
        self.directory = b"" if directory is None else directory.encode()
        self.directory_name = self.directory
        self.retries = retries
        self.n_steps = len(steps)
        if self.n_steps > UINT16_MAX + 1:
            raise ValueError(f"{self.n_steps} steps are too many: a header can name 65536")
        self.steps = <StepState *> calloc(self.n_steps, sizeof(StepState))
        if self.steps is NULL:
            raise MemoryError
        for i, (queue_limit, rank, prefetch, before, most_jobs) in enumerate(steps):
            self.steps[i].queue_limit = queue_limit
            self.steps[i].rank = rank
            self.steps[i].prefetch = prefetch
            self.steps[i].most_jobs = most_jobs
            self.steps[i].waits = new_counts()
            if self.steps[i].waits is NULL:
                raise MemoryError
            if before is not None:
                self.order(i, before)
            empty_list(&self.steps[i].idle)
            empty_list(&self.steps[i].ready)
            empty_list(&self.steps[i].senders)
        self.ages = new_counts()
        if self.ages is NULL or grow_counts(&self.living) < 0:
            raise MemoryError
        if open_pipe(&self.wake_pipe) < 0 or open_pipe(&self.notice_pipe) < 0:
            raise_zmq_error()
        self.context = zmq_ctx_new()
        if self.context is NULL:
            raise_zmq_error()
        zmq_ctx_set(self.context, ZMQ_IO_THREADS, 0 if directory is None else 1)
        zmq_ctx_set(self.context, ZMQ_MAX_SOCKETS, 65535)

    cdef int use_flags(self, memory) except -1:
        self.flags = <wire_flags *> start_of(memory, sizeof(wire_flags))
        self.flags_memory = memoryview(memory)
        return 0

    cdef int order(self, int s, before) except -1:
        cdef StepState *step = &self.steps[s]
        step.ordered = True
        self.n_ordered += 1
        step.comes_after = <bint *> calloc(self.n_steps, sizeof(bint))
        if step.comes_after is NULL or grow_counts(&step.before) < 0:
            raise MemoryError
        for other in before:
            step.comes_after[<int> other] = True
        return 0

    def __dealloc__(self):
        cdef int i
        self.release()
        # What has been counted can be read to the end.
        if self.steps is not NULL:
            for i in range(self.n_steps):
                free(self.steps[i].waits)
        free(self.steps)
        free(self.ages)
        free(self.trace.records)

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
        WorkerEnd
            For a `Channel` to use and to give back.
        """
        cdef WorkerState *worker = self.new_worker(
            step, memoryview(bytearray(sizeof(wire_counts)))
        )
        cdef void *jobs = NULL
        cdef void *sent = NULL
        name = f"inproc://{step}-{self.n_workers}-".encode()
        try:
            # What a worker has been given is bounded by its credit.
            worker.outbox = self.open_socket(name + b"jobs", 0, 0, True)
            worker.inbox = self.open_socket(name + b"sent", 1, 1, True)
            jobs = self.open_socket(name + b"jobs", 0, 0, False)
            sent = self.open_socket(name + b"sent", max(1, send_ahead - 1), 1, False)
            worker.fd = descriptor_of(worker.inbox)
            if worker.fd < 0:
                raise_zmq_error()
        except BaseException:
            close_pair(worker.outbox)
            close_pair(worker.inbox)
            close_pair(jobs)
            close_pair(sent)
            free(worker.given)
            raise
        self.n_open_ends += 1
        self.n_workers += 1
        if step > 0:
            join_list(self.workers, &self.steps[step].idle, self.n_workers - 1)
        counts = self.counts_memory[self.n_workers - 1]
        return WorkerEnd(<size_t> jobs, <size_t> sent, counts, self.flags_memory)

    def connect_process(self, int step, counts, uint32_t arena, uint32_t holder):
        """Add a worker of a step that is a process.

        Parameters
        ----------
        step : int
            The index of its step.
        counts : memoryview
            Its counts, in the shared memory.
        arena, holder : int
            What it sends from, and receives for, in the shared memory.

        Returns
        -------
        int
            The worker's index, for `endpoint` and `worker_died`.
        """
        cdef WorkerState *worker = self.new_worker(step, counts)
        worker.starting = True
        worker.arena, worker.holder = arena, holder
        worker.kept = <zmq_msg_t *> calloc(worker.given_mask + 1, sizeof(zmq_msg_t))
        if worker.kept is NULL:
            free(worker.given)
            raise MemoryError
        if self.open_process(self.n_workers) < 0:
            free(worker.given)
            free(worker.kept)
            raise_zmq_error()
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
        cdef WorkerState *worker = &self.workers[w]
        cdef char address[ADDRESS_SIZE]
        self.write_address(w, address)
        worker.inbox = worker.outbox = open_pair(self.context, address, 0, 1, True)
        if worker.inbox is NULL:
            return -1
        worker.fd = descriptor_of(worker.inbox)
        if worker.fd < 0:
            zmq_close(worker.inbox)
            worker.inbox = worker.outbox = NULL
            return -1
        return 0

    cdef WorkerState *new_worker(self, int step, counts) except NULL:
        cdef WorkerState *worker
        cdef wire_counts *its_counts = <wire_counts *> start_of(counts, sizeof(wire_counts))
        if self.n_workers == self.most_workers:
            self.grow_workers()
        worker = &self.workers[self.n_workers]
        memset(worker, 0, sizeof(WorkerState))
        worker.step = step
        worker.counts = its_counts
        worker.credit = self.steps[step].prefetch or 1
        worker.next = worker.previous = NOBODY
        worker.given_mask = MOST_CREDIT - 1
        while worker.given_mask < self.steps[step].prefetch:
            worker.given_mask = 2 * worker.given_mask + 1
        worker.given = <uint64_t *> calloc(worker.given_mask + 1, sizeof(uint64_t))
        if worker.given is NULL:
            raise MemoryError
        # In the place of what one had that could not be connected.
        self.counts_memory[self.n_workers:] = [counts]
        return worker

    def disconnect(self, end):
        """Close a worker's end, that `connect` returned."""
        zmq_close(<void *> <size_t> end.jobs)
        zmq_close(<void *> <size_t> end.sent)
        self.n_open_ends -= 1

    cdef int grow_workers(self) except -1:
        cdef int most = 2 * self.most_workers if self.most_workers else 16
        cdef WorkerState *workers = <WorkerState *> malloc(most * sizeof(WorkerState))
        cdef pollfd *pollfds = <pollfd *> malloc((most + 1) * sizeof(pollfd))
        if workers is NULL or pollfds is NULL:
            free(workers)
            free(pollfds)
            raise MemoryError
        # Nothing is parked before the loop runs: no message has to be moved.
        if self.n_workers:
            memcpy(workers, self.workers, self.n_workers * sizeof(WorkerState))
        free(self.workers)
        free(self.pollfds)
        self.workers = workers
        self.pollfds = pollfds
        self.most_workers = most
        return 0

    cdef void *open_socket(self, bytes address, int sndhwm, int rcvhwm, bint binds) except NULL:
        cdef void *socket = open_pair(self.context, address, sndhwm, rcvhwm, binds)
        if socket is NULL:
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
            if self.workers[i].kept is NULL:
                self.drop_unread(&self.workers[i])
                close_pair(self.workers[i].outbox)
            else:
                self.drop_kept(&self.workers[i])
                free(self.workers[i].kept)
            close_pair(self.workers[i].inbox)
            free(self.workers[i].given)
        if self.steps is not NULL:
            for i in range(self.n_steps):
                drop_waiting(&self.steps[i], &self.dropped)
                free_step(&self.steps[i])
        self.release_dropped()
        free(self.dropped.objects)
        self.dropped.objects = NULL
        self.dropped.shared = NULL
        self.segment = None
        free(self.workers)
        self.workers = NULL
        self.n_workers = 0
        # Channels that are open still, of threads that an abort left behind, have them, too.
        self.counts_memory.clear()
        free(self.pollfds)
        self.pollfds = NULL
        free_counts(&self.living)
        close_pipe(&self.wake_pipe)
        close_pipe(&self.notice_pipe)
        # A copy, so that the shared memory goes with those that work in it.
        if self.flags is not NULL:
            self.use_flags(bytearray(self.flags_memory[:sizeof(wire_flags)]))
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
        if found < 0:
            self.fail()
        self.release_dropped()

    def route_arrived(self):
        """Handle all that has arrived, without waiting for more.

        Returns
        -------
        bool
            Whether every worker has said goodbye.
        """
        cdef int found = 1
        while found > 0:
            found = self.route()
        if found < 0:
            self.fail()
        self.release_dropped()
        return self.n_gone == self.n_workers

    cdef int fail(self) except -1:
        """Raise the error of libzmq; what nobody will read is dropped."""
        cdef int w
        try:
            raise_zmq_error()
        finally:
            for w in range(self.n_workers):
                self.drop_unread(&self.workers[w])
            self.release_dropped()

    cdef void drop_unread(self, WorkerState *worker) noexcept nogil:
        """Drop what a worker has sent, and nobody will read: libzmq knows of no objects."""
        cdef zmq_msg_t message
        if worker.inbox is NULL:
            return
        zmq_msg_init(&message)
        while zmq_msg_recv(&message, worker.inbox, ZMQ_DONTWAIT) >= 0:
            drop_message(&message, &self.dropped)
            zmq_msg_init(&message)

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
        if self.wake_pipe.read_end >= 0:
            write(self.wake_pipe.write_end, b"!", 1)

    def worker_died(self, int w, bint replace, bint gives_up=False):
        """Tell the router that a worker process has ended; may be called during a run.

        What it had acknowledged counts, and all else of it is dropped; what it was given
        goes to other workers. Notices say when that is done.

        Parameters
        ----------
        w : int
            The worker's index.
        replace : bool
            Whether another process will take its place.
        gives_up : bool
            Whether the message that it was working on is given up.
        """
        cdef int death = TO_BE_REPLACED if replace else NOT_TO_BE_REPLACED
        set_flag(&self.workers[w].death, death | (GIVES_UP if gives_up else 0))
        self.wake()

    @property
    def notice_fd(self):
        """A file descriptor that can be read from when there are notices."""
        return self.notice_pipe.read_end

    def notices(self):
        """What has happened to worker processes since the last call.

        Returns
        -------
        list of tuple
            ``("cleared", worker, replace)``: what it had is dealt with, and whether its
            place is to be taken; ``("given up", worker, event)``: a message that has killed
            too many workers, this one at last; ``("retired", worker)``: it has done as many
            jobs as it is to do, and is to end.
        """
        cdef Notice notice
        notices = []
        while read(self.notice_pipe.read_end, &notice, sizeof(Notice)) == sizeof(Notice):
            if notice.kind == WORKER_CLEARED:
                notices.append(("cleared", notice.index, bool(notice.value)))
            elif notice.kind == WORKER_RETIRED:
                notices.append(("retired", notice.index))
            else:
                notices.append(("given up", notice.index, notice.value))
        return notices

    def shut_down(self):
        """End every wait of `run` and of workers in threads, which do nothing more."""
        raise_flag(&self.flags.producing_ended)
        raise_flag(&self.flags.discarding)
        if self.context is not NULL:
            zmq_ctx_shutdown(self.context)
        self.wake()

    cdef int route(self) noexcept nogil:
        """Read what the workers have sent: how many messages, or -1 with zmq_errno()."""
        cdef int w, rc
        cdef int found = 0
        cdef int n
        if flag_is_up(&self.flags.discarding) and not self.stopped:
            if self.drop_everything() < 0:
                return -1
        for w in range(self.n_workers):
            if self.workers[w].kept is not NULL and flag_is_up(&self.workers[w].death):
                if self.clear_dead(w) < 0:
                    return -1
            n = 0
            if self.can_read(w):
                self.time = now()
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
        cdef WorkerState *worker = &self.workers[w]
        return (
            # More, because a message can be read before it is counted.
            count_of(&worker.counts.sent) > worker.n_read
            and not worker.is_parked
            and not worker.gone
        )

    cdef inline int read_from(self, int w) noexcept nogil:
        """Read one message, if there is one: how many, or -1 with zmq_errno()."""
        cdef WorkerState *worker = &self.workers[w]
        cdef zmq_msg_t message
        zmq_msg_init(&message)
        while zmq_msg_recv(&message, worker.inbox, ZMQ_DONTWAIT) < 0:
            if zmq_errno() == EAGAIN:
                worker.is_signalled = True
                return 0
            if zmq_errno() != EINTR:
                return -1
        worker.is_signalled = False
        worker.n_read += 1
        return -1 if self.handle(w, &message) < 0 else 1

    cdef int sleep(self) noexcept nogil:
        """Wait for a message, or for another thread: 0 or more, or -1 with zmq_errno()."""
        cdef int w, rc
        cdef nfds_t n = 1
        cdef char byte
        self.pollfds[0].fd = self.wake_pipe.read_end
        self.pollfds[0].events = POLLIN
        for w in range(self.n_workers):
            if not self.is_polled(w):
                continue
            if not self.workers[w].is_signalled:
                self.time = now()
                rc = self.read_from(w)
                if rc != 0:
                    return rc
            self.pollfds[n].fd = self.workers[w].fd
            self.pollfds[n].events = POLLIN
            n += 1
        if poll(self.pollfds, n, -1) < 0:
            return 0 if zmq_errno() == EINTR else -1
        if self.pollfds[0].revents:
            while read(self.wake_pipe.read_end, &byte, 1) > 0:
                pass
        n = 1
        for w in range(self.n_workers):
            if self.is_polled(w):
                if self.pollfds[n].revents:
                    self.workers[w].is_signalled = False
                n += 1
        return 0

    cdef inline bint is_polled(self, int w) noexcept nogil:
        return not self.workers[w].gone and not self.workers[w].is_parked

    cdef int handle(self, int w, zmq_msg_t *message) noexcept nogil:
        cdef WorkerState *worker = &self.workers[w]
        cdef StepState *step = &self.steps[worker.step]
        cdef wire_header *header = header_of(message)
        cdef int rc = 0
        if header.kind == WIRE_MESSAGE:
            if header.mark == WIRE_PACKED:
                shared_mark_sent(self.dropped.shared, block_of(message))
            if self.stopped:
                # Its event is not finished, although the job that has sent it may be.
                if worker.step > 0:
                    rc = count_message(&self.living, header.value, self.time)
                drop_message(message, &self.dropped)
                return rc
            step.sent += 1
            if worker.step == 0:
                step.done += 1
                self.events_sent += 1
                self.next_event = header.value + 1
            self.in_flight += 1
            if count_message(&self.living, header.value, self.time) < 0 or (
                self.n_ordered and self.come_before(header.step, header.value) < 0
            ):
                drop_message(message, &self.dropped)
                return -1
            return self.accept(w, message)
        if header.kind == WIRE_ACKNOWLEDGE:
            rc = self.acknowledge(w, header)
        elif header.kind == WIRE_READY:
            worker.starting = False
            if self.stopped:
                rc = self.stop_worker(w)
            else:
                join_list(self.workers, &step.idle, w)
                rc = self.dispatch(step)
        elif header.kind == WIRE_GOODBYE and worker.retiring and not self.stopped:
            rc = write_notice(self.notice_pipe.write_end, WORKER_RETIRED, w, 0)
        elif header.kind == WIRE_GOODBYE:
            worker.gone = True
            self.n_gone += 1
            if worker.step == 0:
                self.producer_ended = True
                step.running = 0
            else:
                leave_list(self.workers, w)
                if worker.n_given:
                    step.running -= 1
        drop_message(message, &self.dropped)
        return rc

    cdef int accept(self, int w, zmq_msg_t *message) noexcept nogil:
        """Give a message to a worker, queue it, or park it with its sender."""
        cdef int s = header_of(message).step
        cdef StepState *step = &self.steps[s]
        cdef StepState *full = NULL
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
                count_time(step.waits, 0)
                return self.give(receiver, message)
            if (
                step.queue_limit < 0
                or step.queue.length < <size_t> step.queue_limit
                or step.rank <= self.steps[self.workers[w].step].rank
            ):
                return self.enqueue(step, message)
            full = step
        leave_list(self.workers, w)
        move_message(&self.workers[w].parked, message)
        self.workers[w].is_parked = True
        self.workers[w].parked_since = self.time
        join_list(self.workers, &full.senders, w)
        return 0

    cdef StepState *full_ordered_step(self) noexcept nogil:
        cdef int s
        for s in range(self.n_steps):
            if (
                self.steps[s].ordered
                and self.steps[s].queue_limit >= 0
                and self.steps[s].heap.length >= <size_t> self.steps[s].queue_limit
            ):
                return &self.steps[s]
        return NULL

    cdef inline int enqueue(self, StepState *step, zmq_msg_t *message) noexcept nogil:
        if (
            push_by_event(&step.heap, message, self.time, False) if step.ordered
            else push_back(&step.queue, message, self.time)
        ) < 0:
            drop_message(message, &self.dropped)
            return -1
        step.queue_peak = max(step.queue_peak, n_waiting(step))
        return 0

    # Which events may have messages yet that ordered steps have to wait for.

    cdef int come_before(self, int s, uint64_t event) noexcept nogil:
        """A message has been sent to a step."""
        cdef int other
        for other in range(self.n_steps):
            if self.steps[other].ordered and self.steps[other].comes_after[s]:
                if count_message(&self.steps[other].before, event, self.time) < 0:
                    return -1
        return 0

    cdef int pass_by(self, int s, uint64_t event) noexcept nogil:
        """A message at a step is done with."""
        cdef StepState *other
        cdef uint64_t begun
        cdef int i
        for i in range(self.n_steps):
            other = &self.steps[i]
            if other.ordered and other.comes_after[s]:
                if (
                    discount_message(&other.before, event, False, &begun)
                    and event == other.first_event
                ):
                    if self.dispatch(other) < 0:
                        return -1
        return 0

    cdef bint is_next(self, StepState *step) noexcept nogil:
        """Whether the first message in a step's heap need not wait for one before it."""
        while step.first_event < self.next_event and not has_messages(
            &step.before, step.first_event
        ):
            step.first_event += 1
        return step.heap.length > 0 and step.heap.entries[0].event <= step.first_event

    cdef inline int give(self, int w, zmq_msg_t *message) noexcept nogil:
        cdef WorkerState *worker = &self.workers[w]
        cdef StepState *step = &self.steps[worker.step]
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
        if takes_more(worker, step):
            join_list(self.workers, &step.ready, w)
        return 0

    cdef int acknowledge(self, int w, wire_header *header) noexcept nogil:
        cdef WorkerState *worker = &self.workers[w]
        cdef StepState *step = &self.steps[worker.step]
        cdef uint32_t i
        cdef uint64_t event, begun
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
            ended = discount_message(&self.living, event, i + n_failed >= header.jobs, &begun)
            if ended == EVENT_ENDED:
                self.events_finished += 1
                count_time(self.ages, self.time - begun)
            if self.n_ordered and self.pass_by(worker.step, event) < 0:
                return -1
        self.record_jobs(w, header)
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
        if step.prefetch == 0:
            choose_credit(worker, step.queue_limit, header.value // header.jobs)
        leave_list(self.workers, w)
        if takes_more(worker, step):
            join_list(self.workers, &step.ready if worker.n_given else &step.idle, w)
        elif worker.n_given == 0:
            worker.retiring = True
            return self.stop_worker(w)
        return self.dispatch(step)

    cdef inline void record_jobs(self, int w, wire_header *header) noexcept nogil:
        cdef WorkerState *worker = &self.workers[w]
        cdef TraceRecord what
        if self.trace.records is NULL:
            return
        what.kind, what.worker = TRACED_JOBS, w
        what.jobs = <uint16_t> min(header.jobs, UINT16_MAX)
        if worker.step == 0:
            what.event = self.next_event - 1
        else:
            what.event = worker.given[(worker.given_first - 1) & worker.given_mask]
        what.end = self.time
        # When they ended is not known, only when this was read.
        what.begin = self.time - header.value - worker.parked_for
        if worker.parked_for:
            what.begin = min(what.begin, worker.first_parked)
        what.begin = max(what.begin, worker.traced_until)
        worker.traced_until = self.time
        worker.parked_for = 0
        record(&self.trace, &what)

    cdef inline void record_blocked(self, int w) noexcept nogil:
        cdef WorkerState *worker = &self.workers[w]
        cdef TraceRecord what
        what.kind, what.worker, what.jobs = TRACED_BLOCKED, w, 0
        what.event = header_of(&worker.parked).value
        what.begin, what.end = worker.parked_since, self.time
        if worker.parked_for == 0:
            worker.first_parked = what.begin
        worker.parked_for += what.end - what.begin
        record(&self.trace, &what)

    cdef int dispatch(self, StepState *step) noexcept nogil:
        """Give queued messages to available workers; let parked ones move up."""
        cdef zmq_msg_t message
        cdef int w
        while self.is_next(step) if step.ordered else step.queue.length > 0:
            w = self.take_available(step)
            if w == NOBODY:
                return 0
            if step.ordered:
                count_time(step.waits, self.time - step.heap.entries[0].since)
                pop_first_event(&step.heap, &message)
            else:
                count_time(step.waits, self.time - waits_since(&step.queue))
                move_message(&message, pop_front(&step.queue))
            if self.give(w, &message) < 0:
                return -1
            # Not before half of the queue is free, so that a sender that was stopped can
            # send for a while when it is woken.
            while (
                step.senders.first != NOBODY
                and 2 * n_waiting(step) <= <uint64_t> step.queue_limit
            ):
                w = step.senders.first
                leave_list(self.workers, w)
                self.workers[w].is_parked = False
                self.record_blocked(w)
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

    cdef inline int send(self, WorkerState *worker, zmq_msg_t *message) noexcept nogil:
        if zmq_msg_send(message, worker.outbox, ZMQ_DONTWAIT) < 0:
            if worker.kept is NULL:
                drop_message(message, &self.dropped)
                return -1
            # Of a job there is a copy.
            zmq_msg_close(message)
            if zmq_errno() != EAGAIN:
                return -1
            # It has died, which is about to be told.
        if worker.kept is not NULL:
            # A socket that sends may take in the signal that there is something to read.
            worker.is_signalled = False
        set_count(&worker.counts.given, worker.counts.given + 1)
        return 0

    # ------------------------------------------------- worker processes that died

    cdef int clear_dead(self, int w) noexcept nogil:
        """Take back what a dead worker was given, and free its place."""
        cdef WorkerState *worker = &self.workers[w]
        cdef StepState *step = &self.steps[worker.step]
        cdef bint gives_up = worker.death & GIVES_UP
        cdef bint replace = worker.death & TO_BE_REPLACED and not self.stopped
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
        worker.death = ALIVE
        zmq_close(worker.inbox)
        worker.inbox = worker.outbox = NULL
        if worker.gone:
            return write_notice(self.notice_pipe.write_end, WORKER_CLEARED, w, False)
        leave_list(self.workers, w)
        if worker.n_given:
            step.running -= 1
        # A job begins when those before it have ended, acknowledged or not.
        in_hand = count_of(&worker.counts.begun) - worker.n_acknowledged
        shared_reclaim_arena(self.dropped.shared, worker.arena)
        shared_reclaim_holder(self.dropped.shared, worker.holder)
        for i in range(worker.n_given, 0, -1):
            if self.take_back(worker, i - 1, i == in_hand, gives_up) < 0:
                return -1
        worker.given_first = 0
        worker.n_acknowledged = worker.n_read = 0
        worker.is_signalled = False
        memset(worker.counts, 0, sizeof(wire_counts))
        worker.n_died += 1
        worker.credit = step.prefetch or 1
        worker.job_time = 0
        worker.starting = True
        worker.retiring = False
        if replace:
            if self.open_process(w) < 0:
                return -1
        else:
            worker.gone = True
            self.n_gone += 1
        if write_notice(self.notice_pipe.write_end, WORKER_CLEARED, w, replace) < 0:
            return -1
        return 0 if self.stopped else self.dispatch(step)

    cdef int take_back(
        self, WorkerState *worker, uint32_t i, bint in_hand, bint gives_up
    ) noexcept nogil:
        """Queue a message again that a dead worker was given, or give it up."""
        cdef StepState *step = &self.steps[worker.step]
        cdef zmq_msg_t *message = &worker.kept[(worker.given_first + i) & worker.given_mask]
        cdef wire_header *header = header_of(message)
        cdef uint64_t event = header.value
        cdef uint64_t begun
        header.kind = WIRE_MESSAGE
        worker.n_given -= 1
        step.received -= 1
        header.jobs += in_hand
        if not self.stopped and header.jobs <= self.retries and not (in_hand and gives_up):
            if (
                push_by_event(&step.heap, message, self.time, True) if step.ordered
                else push_front(&step.queue, message, self.time)
            ) < 0:
                drop_message(message, &self.dropped)
                return -1
            return 0
        if not self.stopped:
            step.received += 1
            step.failed += 1
            if write_notice(
                self.notice_pipe.write_end, MESSAGE_GIVEN_UP, <int> (worker - self.workers), event
            ) < 0:
                drop_message(message, &self.dropped)
                return -1
        drop_message(message, &self.dropped)
        if self.stopped:
            # Its event is not finished.
            return 0
        self.in_flight -= 1
        discount_message(&self.living, event, True, &begun)
        return self.pass_by(worker.step, event) if self.n_ordered else 0

    cdef void drop_kept(self, WorkerState *worker) noexcept nogil:
        cdef uint32_t i
        for i in range(worker.n_given):
            drop_message(
                &worker.kept[(worker.given_first + i) & worker.given_mask], &self.dropped
            )

    cdef int drop_everything(self) noexcept nogil:
        cdef int i, w
        for i in range(self.n_steps):
            drop_waiting(&self.steps[i], &self.dropped)
        for w in range(self.n_workers):
            if self.workers[w].is_parked:
                leave_list(self.workers, w)
                drop_message(&self.workers[w].parked, &self.dropped)
                self.workers[w].is_parked = False
        return self.stop_workers()

    cdef inline int take_available(self, StepState *step) noexcept nogil:
        """The least recently used worker that would take a message, or NOBODY.

        An idle one, but where to wake it would take longer than the job.
        """
        cdef int w = step.ready.first
        if w == NOBODY or not 0 < self.workers[w].job_time < WAKING_UP:
            if step.idle.first != NOBODY:
                w = step.idle.first
        if w != NOBODY:
            leave_list(self.workers, w)
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
        return [counters_of(&self.steps[i]) for i in range(self.n_steps)]

    def percentiles(self):
        """How long events and messages took; may be called during a run.

        Returns
        -------
        tuple (events, queues)
            The median and the 99th percentile, in seconds, to 1/8: of the time from an event's
            first message to the end of its last one; and per step of the time that messages
            waited in its queue. None where there was none.
        """
        cdef int i
        return percentiles_of(self.ages), [
            percentiles_of(self.steps[i].waits) for i in range(self.n_steps)
        ]

    def record_trace(self, uint64_t capacity):
        """From now on, record what the workers are at; to be called before `run`.

        Parameters
        ----------
        capacity : int
            How many records are kept, the last ones.
        """
        if begin_trace(&self.trace, capacity) < 0:
            raise MemoryError

    def recorded_trace(self):
        """What has been recorded, to be called after `run`.

        Returns
        -------
        bytes
            Records of ``begin``, ``end`` (monotonic time, ns), ``event`` (8 bytes each), ``worker``
            (4: in the order in which they were connected), ``kind`` (2: 0 for jobs, 1 for blocked)
            and ``jobs`` (2: how many were acknowledged together, the last one of this event).
        """
        cdef uint64_t first = self.trace.n_recorded % self.trace.capacity
        records = <char *> self.trace.records
        size = sizeof(TraceRecord)
        if self.trace.n_recorded <= self.trace.capacity:
            return records[:self.trace.n_recorded * size]
        return (
            records[first * size:self.trace.capacity * size] + records[:first * size]
        )

    def jobs_in_hand(self):
        """What each worker works on; may be called during a run.

        Returns
        -------
        list of tuple (begun, event) or None
            Of the workers in the order in which they were connected: how many jobs it has
            begun, and the event of the last one; None if it is idle, or waits for room in a
            queue.
        """
        cdef int w
        cdef WorkerState *worker
        cdef uint64_t begun
        cdef uint32_t at
        jobs = []
        for w in range(self.n_workers):
            worker = &self.workers[w]
            begun = count_of(&worker.counts.begun)
            if worker.is_parked or not 0 < begun - worker.n_acknowledged <= worker.n_given:
                jobs.append(None)
                continue
            at = <uint32_t> (worker.given_first + begun - worker.n_acknowledged - 1)
            jobs.append((begun, worker.given[at & worker.given_mask]))
        return jobs

    def unfinished(self):
        """What is left when `run` has ended before the end.

        Returns
        -------
        tuple (events, onwards)
            The numbers of the events of which something was left, and that of the first one
            that has not arrived.
        """
        cdef size_t i
        events = [
            self.living.events[i] - 1 for i in range(self.living.capacity) if self.living.events[i]
        ]
        return events, self.next_event

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
        cdef WorkerState *worker
        states = [[] for _ in range(self.n_steps)]
        for w in range(self.n_workers):
            worker = &self.workers[w]
            produces = worker.step == 0 and self.steps[0].running > 0
            if worker.is_parked:
                states[worker.step].append("blocked")
            else:
                states[worker.step].append("busy" if worker.n_given or produces else "idle")
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
