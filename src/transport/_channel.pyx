# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""A worker's end of the wire: framing, acknowledging, and waiting without the GIL."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport uint64_t

from ..errors import RunEnded
from ._buffers import BufferPool

from _batch cimport Batch, begin_batch, busy_time, is_due, limit_batch
from _clock cimport now
from _frames cimport block_of, init_acknowledgement, init_frame, init_message
from _libzmq cimport (
    ETERM, ZMQ_DONTWAIT, ZMQ_SNDMORE, raise_zmq_error, zmq_errno, zmq_msg_close, zmq_msg_data,
    zmq_msg_init, zmq_msg_move, zmq_msg_recv, zmq_msg_send, zmq_msg_size, zmq_msg_t,
)
from _wire cimport (
    WIRE_COUNTS_SIZE, WIRE_FAILED, WIRE_FLAGS_SIZE, WIRE_GOODBYE, WIRE_JOB, WIRE_OBJECT,
    WIRE_PACKED, WIRE_PICKLE, WIRE_PICKLE_AND_BUFFERS, WIRE_READY, WIRE_SKIPPED, WIRE_STOP,
    WIRE_YIELDS, count_of, flag_is_up, send_soon, set_count, set_flag, soon_greater, start_of,
    wire_counts, wire_flags, wire_header, wire_packed,
)

# What it does with a message, each in a file of its own, compiled into this module so that
# a call costs nothing.
include "_plain_copies.pxi"
include "_pickling.pxi"
include "_held_back.pxi"
include "_payloads.pxi"

# What the flags of a run, and the counts of a worker, take of shared memory, bytes.
FLAGS_SIZE = WIRE_FLAGS_SIZE
COUNTS_SIZE = WIRE_COUNTS_SIZE

# After how long a producer reports what it has worked, ns.
cdef uint64_t LONGEST_SILENCE = 10_000_000


class _Stop:
    """What `Channel.receive` returns when no job will follow."""

    def __repr__(self):
        return "STOP"


STOP = _Stop()


@cython.final
@cython.no_gc_clear  # closing it needs the router
cdef class Channel:
    """A worker's end of the wire to the router.

    To be used by one thread: the one that calls `open`.

    Parameters
    ----------
    router : Router
        The router to connect to.
    step : int
        The index of the worker's step.
    send_ahead : int
        How many messages may be sent before the router reads them.
    by_reference : bool
        Whether to send the objects themselves instead of pickles.
    pool : BufferPool, optional
        Memory for the large buffers of what is sent; the channel's own, if not given.
    packer : Packer, optional
        Packs messages for other processes.
    leaves_process : bytes, optional
        Per step, 1 if what is sent to it leaves the process.
    is_process : bool
        Whether what a job sends is to arrive together with its acknowledgement, or not at
        all, and whether the router is in another process.
    in_batches : bool
        Whether the acknowledgement of quick jobs may wait for that of the next one, in a
        thread: if no step waits for it.
    """

    cdef object router
    cdef object end
    cdef void *jobs
    cdef void *outgoing
    cdef wire_counts *counts
    cdef wire_flags *flags
    cdef bint is_producer
    cdef bint by_reference
    cdef unsigned long owner
    cdef uint64_t n_received
    cdef uint64_t current_event
    cdef LargeBuffers large_buffers
    cdef object pool
    cdef object packer
    cdef bytes leaves_process
    cdef readonly bint is_process
    cdef bint in_batches
    cdef Batch batch
    cdef HeldBack held_back
    # Guards the socket and what is held back, in a process, between the worker's thread and
    # the one that flushes what is held back for too long.
    cdef cython.pymutex lock

    def __cinit__(
        self,
        router,
        int step,
        int send_ahead=16,
        bint by_reference=False,
        pool=None,
        packer=None,
        bytes leaves_process=None,
        bint is_process=False,
        bint in_batches=True,
    ):
        self.held_back = HeldBack()
        self.end = end = router.connect(step, send_ahead)
        self.router = router
        self.jobs = <void *> <size_t> end.jobs
        self.outgoing = <void *> <size_t> end.sent
        self.counts = <wire_counts *> start_of(end.counts, sizeof(wire_counts))
        self.flags = <wire_flags *> start_of(end.flags, sizeof(wire_flags))
        self.is_producer = step == 0
        self.by_reference = by_reference
        self.large_buffers = LargeBuffers()
        self.pool = BufferPool() if pool is None else pool
        self.packer = packer
        self.leaves_process = leaves_process
        self.is_process = is_process
        self.in_batches = in_batches
        limit_batch(&self.batch, is_process)

    def __dealloc__(self):
        self.close()

    def open(self):
        """Make the calling thread the one that may send."""
        self.owner = PyThread_get_thread_ident()
        if self.is_process:
            self.held_back.start(self.flush_late)

    def close(self):
        """Close the sockets; to be called once no thread uses the channel any more."""
        cdef zmq_msg_t left
        if self.jobs is NULL:
            return
        self.held_back.close()
        zmq_msg_init(&left)
        while zmq_msg_recv(&left, self.jobs, ZMQ_DONTWAIT) >= 0:
            self.drop_payload(&left)
        zmq_msg_close(&left)
        self.router.disconnect(self.end)
        self.jobs = self.outgoing = NULL

    @property
    def event(self):
        """The number of the event that the current job, or the last message, is of."""
        return self.current_event

    @property
    def blocked_ns(self):
        """How long the current job, and those not acknowledged yet, have waited to send, ns."""
        return self.batch.blocked

    @property
    def production_ended(self):
        """Whether the producer is to stop."""
        return flag_is_up(&self.flags.producing_ended)

    # --------------------------------------------------------------- jobs

    def receive(self, bint block=True):
        """The next message to work on.

        Parameters
        ----------
        block : bool
            Whether to wait for one.

        Returns
        -------
        object
            The message, or `STOP` when no job will follow.

        Raises
        ------
        BlockingIOError
            If there is none yet and `block` is false.
        Exception
            Whatever unpickling the message raises.
        """
        cdef zmq_msg_t message
        cdef wire_header *header
        cdef int kind, mark
        cdef int rc
        zmq_msg_init(&message)
        # Not more than it: a message can be there before it is counted.
        if count_of(&self.counts.given) <= self.n_received:
            if self.is_process:
                with self.lock:
                    self.flush_acknowledgement(now())
            else:
                self.flush_acknowledgement(now())
            if flag_is_up(&self.flags.discarding):
                return STOP
            if not block:
                raise BlockingIOError("no job yet")
            with nogil:
                soon_greater(&self.counts.given, self.n_received)
        if self.is_process:
            with self.lock:
                rc = self.receive_frame(&message)
        else:
            rc = self.receive_frame(&message)
        if rc < 0:
            if zmq_errno() == ETERM:
                return STOP
            raise_zmq_error()
        self.n_received += 1
        header = <wire_header *> zmq_msg_data(&message)
        kind, mark = header.kind, header.mark
        self.current_event = header.value
        if kind == WIRE_STOP or flag_is_up(&self.flags.discarding):
            self.drop_payload(&message)
            zmq_msg_close(&message)
            return STOP
        set_count(&self.counts.begun, self.counts.begun + 1)
        try:
            payload = take_payload(&message)
        finally:
            zmq_msg_close(&message)
        if mark == WIRE_OBJECT:
            return payload
        if mark == WIRE_PICKLE:
            return loads(payload)
        if mark == WIRE_PACKED:
            return self.packer.unpack(payload)
        pickled, buffers = payload
        return loads(pickled, buffers=buffers)

    cdef int receive_frame(self, zmq_msg_t *message) except? -1:
        # From another process it can be counted before it is there.
        cdef int rc = zmq_msg_recv(message, self.jobs, ZMQ_DONTWAIT)
        if rc < 0 and zmq_errno() in (EAGAIN, EINTR):
            with nogil:
                rc = zmq_msg_recv(message, self.jobs, 0)
                while rc < 0 and zmq_errno() == EINTR:
                    rc = zmq_msg_recv(message, self.jobs, 0)
        if self.batch.n_ended == 0:
            begin_batch(&self.batch, now())
        return rc

    cdef int drop_payload(self, zmq_msg_t *message) except -1:
        cdef wire_header *header = <wire_header *> zmq_msg_data(message)
        if header.mark != WIRE_PACKED:
            take_payload(message)
        elif not self.is_process:
            self.packer.drop(block_of(message))
        # Of a process's jobs the router keeps copies.
        return 0

    def acknowledge(self, bint failed=False, bint skipped=False):
        """Tell the router that the job in hand has ended.

        Those of quick jobs go together, as long as there is a next one. What such a job has
        sent in a process arrives a millisecond later at most, however slow the next one is.

        Parameters
        ----------
        failed : bool
            Whether it raised an exception that ends the run.
        skipped : bool
            Whether it raised one with which only its message is lost.

        Returns
        -------
        int
            How many jobs have ended that the router has not been told of yet.
        """
        cdef int mark = WIRE_FAILED if failed else WIRE_SKIPPED if skipped else 0
        if not self.is_process:
            self.end_job(mark)
            return self.batch.n_ended
        with self.lock:
            self.held_back.complete()
            self.end_job(mark)
            if self.batch.n_ended:
                self.held_back.watch()
            return self.batch.n_ended

    cdef int end_job(self, int mark) except -1:
        cdef uint64_t time = now()
        self.batch.n_ended += not self.is_producer
        self.batch.ended = time
        if (
            mark
            or not self.in_batches
            or count_of(&self.counts.given) <= self.n_received
            or is_due(&self.batch, time)
        ):
            self.flush_acknowledgement(time, mark)
        return 0

    cdef int flush_acknowledgement(self, uint64_t time, int mark=0) except -1:
        cdef zmq_msg_t last
        if self.batch.n_ended == 0 and not mark:
            return 0
        self.close_batch(&last, time, mark)
        if self.is_process:
            self.held_back.note_flush()
            for held in self.held_back.take_complete():
                self.send_frame(&(<HeldMessage> held).frame, ZMQ_SNDMORE)
        return self.send_frame(&last)

    cdef int close_batch(self, zmq_msg_t *frame, uint64_t time, int mark) except -1:
        """Make a frame of what has been done, and begin to count anew."""
        if init_acknowledgement(
            frame, mark, self.batch.n_ended, busy_time(&self.batch, time)
        ) < 0:
            raise_zmq_error()
        begin_batch(&self.batch, time)
        return 0

    def flush_late(self):
        """Flush what is held back behind a slow job."""
        with self.lock:
            self.held_back.is_watched = False
            # The job that runs has begun when the one before it ended.
            self.flush_acknowledgement(self.batch.ended)
            self.batch.blocked = 0

    def forget_job(self):
        """Take back what a job has sent that failed, in a process; from a thread it has gone."""
        if not self.is_process:
            return
        with self.lock:
            for held in self.held_back.take_incomplete():
                self.packer.drop(block_of(&(<HeldMessage> held).frame))

    def ready(self):
        """Tell the router that jobs can come, from a process."""
        with self.lock:
            self.send_sign(WIRE_READY)

    def goodbye(self):
        """Tell the router that nothing will follow."""
        with self.lock:
            if self.is_producer:
                self.report_busy_time()
            else:
                self.flush_acknowledgement(now())
            self.send_sign(WIRE_GOODBYE)

    # ------------------------------------------------------------ sending

    def start_producing(self):
        """Start the clock of the producer's busy time, and its event numbers."""
        self.current_event = <uint64_t> -1
        begin_batch(&self.batch, now())
        # The first sign of life, for the counters.
        self.report_busy_time()

    def leave_out(self):
        """Send nothing of an event."""
        if flag_is_up(&self.flags.producing_ended):
            raise RunEnded
        self.current_event += 1

    def send(self, int step, message):
        """Send a message to a step; waits, without the GIL, where there is no room.

        Parameters
        ----------
        step : int
            The index of the step that it is for.
        message : object
            Anything that can be pickled; anything at all, by reference.

        Raises
        ------
        RunEnded
            In a producer that is to stop.
        RuntimeError
            In any other thread than the worker's own.
        Exception
            Whatever pickling the message raises.
        """
        self.send_as(self.by_reference, step, message)

    cpdef send_as(self, bint by_reference, int step, message):
        """`send` for a step whose messages are handed over in another way.

        Parameters
        ----------
        by_reference : bool
            Whether to send the object itself instead of its pickle.
        step, message
            As in `send`.
        """
        if PyThread_get_thread_ident() != self.owner:
            raise RuntimeError(
                "send_msg was called in another thread than the one that called run()"
            )
        if self.is_producer and flag_is_up(&self.flags.producing_ended):
            raise RunEnded
        if self.leaves_process is not None and self.leaves_process[step]:
            self.send_packed(step, message)
        else:
            payload = message if by_reference else plain_copy(message, self.pool)
            if payload is NOT_PLAIN:
                self.send_pickle(step, message)
            else:
                self.send_payload(step, WIRE_OBJECT, payload)
        if self.is_producer and now() - self.batch.began > LONGEST_SILENCE:
            self.report_busy_time()

    cdef int send_pickle(self, int step, message) except -1:
        pickled = self.large_buffers.pickled(message)
        if self.large_buffers.collected is None:
            return self.send_payload(step, WIRE_PICKLE, pickled)
        # What arrives must not change when the sender's does.
        buffers = [self.pool.copy(raw) for raw in self.large_buffers.take()]
        return self.send_payload(step, WIRE_PICKLE_AND_BUFFERS, (pickled, buffers))

    cdef int send_payload(self, int step, int mark, payload) except -1:
        cdef PyObject *reference = <PyObject *> payload
        cdef zmq_msg_t frame
        cdef uint64_t event = self.current_event + self.is_producer
        if init_message(&frame, step, mark, event, &reference, sizeof(reference)) < 0:
            raise_zmq_error()
        self.current_event = event
        Py_INCREF(payload)
        try:
            self.send_frame(&frame)
        except BaseException:
            Py_DECREF(payload)
            raise
        return 0

    cdef int send_packed(self, int step, message) except -1:
        cdef zmq_msg_t frame
        cdef uint64_t event = self.current_event + self.is_producer
        cdef HeldMessage held = HeldMessage() if self.is_process else None
        pickled = self.large_buffers.pickled(message)
        cdef bytes packed = self.packer.pack(pickled, self.large_buffers.take() or [])
        cdef wire_packed *head = <wire_packed *> PyBytes_AS_STRING(packed)
        try:
            if init_message(
                &frame, step, WIRE_PACKED, event, head, PyBytes_GET_SIZE(packed)
            ) < 0:
                raise_zmq_error()
            self.current_event = event
            if not self.is_process:
                return self.send_frame(&frame)
            zmq_msg_move(&held.frame, &frame)
            with self.lock:
                self.held_back.messages.append(held)
        except BaseException:
            self.packer.drop(head.block)
            raise
        return 0

    cdef int report_busy_time(self) except -1:
        """Tell how long a producer has worked."""
        cdef zmq_msg_t frame
        self.close_batch(&frame, now(), 0)
        return self.send_frame(&frame)

    cdef int send_sign(self, int kind) except -1:
        """Send what is nothing but a header."""
        cdef zmq_msg_t frame
        if init_frame(&frame, kind, 0) is NULL:
            raise_zmq_error()
        return self.send_frame(&frame)

    cdef int send_frame(self, zmq_msg_t *frame, int more=0) except -1:
        cdef uint64_t waiting_since
        cdef int rc = send_soon(self.outgoing, frame, more, 1)
        if rc < 0 and zmq_errno() == EAGAIN:
            waiting_since = now()
            with nogil:
                rc = send_soon(self.outgoing, frame, more, WIRE_YIELDS)
                if rc < 0 and zmq_errno() == EAGAIN:
                    rc = zmq_msg_send(frame, self.outgoing, more)
                while rc < 0 and zmq_errno() == EINTR:
                    rc = zmq_msg_send(frame, self.outgoing, more)
            self.batch.blocked += now() - waiting_since
        if rc < 0:
            zmq_msg_close(frame)
            if zmq_errno() == ETERM:
                raise RunEnded
            raise_zmq_error()
        set_count(&self.counts.sent, self.counts.sent + 1)
        return 0
