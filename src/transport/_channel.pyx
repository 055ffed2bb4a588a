# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""A worker's end of the wire: pickling, framing, and waiting without the GIL."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

import pickle
import threading
from pickle import PickleBuffer

from numpy import ndarray

from ._buffers import BufferPool
from ..errors import RunEnded

from _clock cimport now
from _libzmq cimport (
    ETERM,
    ZMQ_DONTWAIT,
    ZMQ_SNDMORE,
    zmq_errno,
    zmq_msg_close,
    zmq_msg_data,
    zmq_msg_init,
    zmq_msg_init_size,
    zmq_msg_recv,
    zmq_msg_send,
    zmq_msg_size,
    zmq_msg_t,
    zmq_strerror,
)
from _wire cimport (
    WIRE_ACKNOWLEDGE,
    WIRE_BODY,
    WIRE_FAILED,
    WIRE_GOODBYE,
    WIRE_JOB,
    WIRE_MESSAGE,
    WIRE_OBJECT,
    WIRE_PICKLE,
    WIRE_PICKLE_AND_BUFFERS,
    WIRE_READY,
    WIRE_SKIPPED,
    WIRE_STOP,
    WIRE_YIELDS,
    count_of,
    flag_is_up,
    send_soon,
    set_count,
    set_flag,
    soon_greater,
    wire_counts,
    wire_flags,
    wire_header,
)

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int)

cdef extern from "Python.h":
    object PyObject_Vectorcall(object, PyObject **, size_t, object)

cdef object dumps = pickle.dumps
cdef object loads = pickle.loads
cdef object PROTOCOL = 5
cdef tuple KEYWORDS = ("buffer_callback",)

# Below this a buffer of its own costs more than a copy within the pickle, bytes.
cdef Py_ssize_t SMALLEST_BUFFER = 4096

cdef enum:
    # How many jobs are acknowledged together, in a thread and in a process.
    MOST_AT_ONCE = 16
    MOST_AT_ONCE_IN_A_PROCESS = 64

    # How long what ended jobs have sent is held back behind another, in a process, µs.
    LATEST_US = 1000

# For how many ns of work an acknowledgement may be held back, in a thread and in a process,
# and a producer's busy time.
cdef uint64_t LONGEST_WAIT = 20_000
cdef uint64_t LONGEST_WAIT_IN_A_PROCESS = 100_000
cdef uint64_t LONGEST_SILENCE = 10_000_000


class _Stop:
    """What `Channel.receive` returns when no job will follow."""

    def __repr__(self):
        return "STOP"


STOP = _Stop()


cdef object NOT_PLAIN = object()


@cython.final
cdef class LargeBuffers:
    """Collects what a pickle keeps out of band; small buffers stay in it."""

    cdef list collected

    def __call__(self, buffer):
        raw = buffer.raw()
        if raw.nbytes < SMALLEST_BUFFER:
            return True
        if self.collected is None:
            self.collected = []
        self.collected.append(raw)
        return False

    cdef list take(self):
        collected = self.collected
        self.collected = None
        return collected


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
    bodies : Bodies, optional
        Packs messages for other processes.
    leave : bytes, optional
        Per step, 1 if what is sent to it leaves the process.
    is_process : bool
        Whether what a job sends is to arrive together with its acknowledgement, or not at
        all, and whether the router is in another process.
    in_batches : bool
        Whether the acknowledgement of quick jobs may wait for that of the next one, in a
        thread: if no step waits for it.
    """

    cdef object router
    cdef void *jobs
    cdef void *outgoing
    cdef wire_counts *counts
    cdef wire_flags *flags
    cdef bint is_producer
    cdef bint by_reference
    cdef unsigned long owner
    cdef uint64_t n_received
    cdef uint64_t current_event
    # Of the jobs that are not acknowledged yet, ns.
    cdef uint64_t began
    cdef uint64_t ended
    cdef uint64_t blocked
    cdef uint32_t n_ended
    cdef LargeBuffers large_buffers
    cdef object pool
    cdef object bodies
    cdef bytes leave
    cdef readonly bint is_process
    cdef bint in_batches
    cdef uint32_t most_at_once
    cdef uint64_t longest_wait
    # What the jobs have sent that are not acknowledged yet, and how much of it is of those
    # that have ended.
    cdef list held_back
    cdef Py_ssize_t n_complete
    # Guards the socket and what is held back, in a process, between the worker's thread and
    # the one that flushes what is held back for too long.
    cdef cython.pymutex lock
    cdef object flusher
    cdef object something_held
    cdef bint is_watched
    cdef uint64_t n_flushed
    cdef int closing

    def __cinit__(
        self,
        router,
        int step,
        int send_ahead=16,
        bint by_reference=False,
        pool=None,
        bodies=None,
        bytes leave=None,
        bint is_process=False,
        bint in_batches=True,
    ):
        cdef size_t jobs, outgoing, counts, flags
        jobs, outgoing, counts, flags = router.connect(step, send_ahead)
        self.router = router
        self.jobs = <void *> jobs
        self.outgoing = <void *> outgoing
        self.counts = <wire_counts *> counts
        self.flags = <wire_flags *> flags
        self.is_producer = step == 0
        self.by_reference = by_reference
        self.large_buffers = LargeBuffers()
        self.pool = BufferPool() if pool is None else pool
        self.bodies = bodies
        self.leave = leave
        self.is_process = is_process
        self.in_batches = in_batches
        self.most_at_once = MOST_AT_ONCE_IN_A_PROCESS if is_process else MOST_AT_ONCE
        self.longest_wait = LONGEST_WAIT_IN_A_PROCESS if is_process else LONGEST_WAIT
        self.held_back = []

    def __dealloc__(self):
        self.close()

    def open(self):
        """Make the calling thread the one that may send."""
        self.owner = PyThread_get_thread_ident()
        if self.is_process:
            self.something_held = threading.Semaphore(0)
            self.flusher = threading.Thread(target=self.flush_late, name="flusher", daemon=True)
            self.flusher.start()

    def close(self):
        """Close the sockets; to be called once no thread uses the channel any more."""
        cdef zmq_msg_t left
        if self.jobs is NULL:
            return
        if self.flusher is not None:
            set_flag(&self.closing, 1)
            self.something_held.release()
            self.flusher.join()
            self.flusher = None
        zmq_msg_init(&left)
        while zmq_msg_recv(&left, self.jobs, ZMQ_DONTWAIT) >= 0:
            self.drop_payload(&left)
        zmq_msg_close(&left)
        self.router.disconnect(<size_t> self.jobs, <size_t> self.outgoing)
        self.jobs = self.outgoing = NULL

    @property
    def event(self):
        """The number of the event that the current job, or the last message, is of."""
        return self.current_event

    @property
    def blocked_ns(self):
        """How long the current job, and those not acknowledged yet, have waited to send, ns."""
        return self.blocked

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
                self.begin_job()
        else:
            rc = self.receive_frame(&message)
            self.begin_job()
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
        payload = take_payload(&message)
        zmq_msg_close(&message)
        if mark == WIRE_OBJECT:
            return payload
        if mark == WIRE_PICKLE:
            return loads(payload)
        if mark == WIRE_BODY:
            if self.is_process:
                set_count(&self.counts.begun, self.counts.begun + 1)
            return self.bodies.unpack(payload)
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
        return rc

    cdef int begin_job(self) except -1:
        if self.n_ended == 0:
            self.blocked = 0
            self.began = now()
        return 0

    cdef int drop_payload(self, zmq_msg_t *message) except -1:
        cdef wire_header *header = <wire_header *> zmq_msg_data(message)
        payload = take_payload(message)
        # Of a process's jobs the router keeps copies.
        if header.mark == WIRE_BODY and not self.is_process:
            self.bodies.drop(payload)
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
            return self.n_ended
        with self.lock:
            self.end_job(mark)
            if self.n_ended and not self.is_watched:
                self.is_watched = True
                self.something_held.release()
            return self.n_ended

    cdef int end_job(self, int mark) except -1:
        cdef uint64_t time = now()
        self.n_ended += not self.is_producer
        self.n_complete = len(self.held_back)
        self.ended = time
        if (
            mark
            or not self.in_batches
            or self.n_ended == self.most_at_once
            or count_of(&self.counts.given) <= self.n_received
            or time - self.began - self.blocked > self.longest_wait
        ):
            self.flush_acknowledgement(time, mark)
        return 0

    cdef int flush_acknowledgement(self, uint64_t time, int mark=0) except -1:
        cdef wire_header header
        if self.n_ended == 0 and not mark:
            return 0
        memset(&header, 0, sizeof(header))
        header.kind = WIRE_ACKNOWLEDGE
        header.mark = mark
        header.jobs = self.n_ended
        header.value = time - self.began - self.blocked
        self.n_ended = 0
        # What comes after it is not counted again.
        self.began = time
        self.blocked = 0
        set_count(&self.n_flushed, self.n_flushed + 1)
        self.send_complete()
        return self.send_header(&header)

    def flush_late(self):
        """Flush what is held back behind a slow job; until `close`, in a thread of its own."""
        cdef uint64_t n_flushed
        while True:
            self.something_held.acquire()
            with nogil:
                n_flushed = count_of(&self.n_flushed)
                usleep(LATEST_US)
                while count_of(&self.n_flushed) != n_flushed and not flag_is_up(&self.closing):
                    n_flushed = count_of(&self.n_flushed)
                    usleep(LATEST_US)
            if flag_is_up(&self.closing):
                return
            with self.lock:
                self.is_watched = False
                # The job that runs has begun when the one before it ended.
                self.flush_acknowledgement(self.ended)
                self.blocked = 0

    cdef int send_complete(self) except -1:
        """Send what ended jobs have sent, as the first parts of what ends it."""
        cdef zmq_msg_t frame
        cdef Py_ssize_t i
        for i in range(self.n_complete):
            step, event, body = self.held_back[i]
            self.fill_with_body(&frame, step, event, body)
            self.send_frame(&frame, ZMQ_SNDMORE)
        del self.held_back[:self.n_complete]
        self.n_complete = 0
        return 0

    def forget_job(self):
        """Take back what a job has sent that failed, in a process; from a thread it has gone."""
        if not self.is_process:
            return
        with self.lock:
            for _, _, body in self.held_back[self.n_complete:]:
                self.bodies.drop(body)
            del self.held_back[self.n_complete:]

    def ready(self):
        """Tell the router that jobs can come, from a process."""
        cdef wire_header header
        memset(&header, 0, sizeof(header))
        header.kind = WIRE_READY
        with self.lock:
            self.send_header(&header)

    def goodbye(self):
        """Tell the router that nothing will follow."""
        cdef wire_header header
        memset(&header, 0, sizeof(header))
        header.kind = WIRE_GOODBYE
        with self.lock:
            if self.is_producer:
                self.report_busy_time()
            else:
                self.flush_acknowledgement(now())
            self.send_header(&header)

    # ------------------------------------------------------------ sending

    def start_producing(self):
        """Start the clock of the producer's busy time, and its event numbers."""
        self.current_event = <uint64_t> -1
        self.began = now()
        # The first sign of life, for the counters.
        self.report_busy_time()

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
        if self.leave is not None and self.leave[step]:
            self.send_body(step, message)
        else:
            payload = message if by_reference else plain_copy(message, self.pool)
            if payload is NOT_PLAIN:
                self.send_pickle(step, message)
            else:
                self.send_payload(step, WIRE_OBJECT, payload)
        if self.is_producer and now() - self.began > LONGEST_SILENCE:
            self.report_busy_time()

    cdef bytes pickled(self, message):
        """The message's pickle, without its large buffers, which are to be taken."""
        # Without the dict that a call with a keyword would make.
        cdef PyObject *arguments[3]
        arguments[0] = <PyObject *> message
        arguments[1] = <PyObject *> PROTOCOL
        arguments[2] = <PyObject *> self.large_buffers
        try:
            return PyObject_Vectorcall(dumps, arguments, 2, KEYWORDS)
        except Exception as error:
            self.large_buffers.collected = None
            error.add_note(f"while pickling a {type(message).__name__} to send it")
            raise

    cdef int send_pickle(self, int step, message) except -1:
        pickled = self.pickled(message)
        if self.large_buffers.collected is None:
            return self.send_payload(step, WIRE_PICKLE, pickled)
        # What arrives must not change when the sender's does.
        buffers = [self.pool.copy(raw) for raw in self.large_buffers.take()]
        return self.send_payload(step, WIRE_PICKLE_AND_BUFFERS, (pickled, buffers))

    cdef int send_payload(self, int step, int mark, payload) except -1:
        cdef PyObject *reference = <PyObject *> payload
        cdef zmq_msg_t frame
        cdef wire_header *header
        if zmq_msg_init_size(&frame, sizeof(wire_header) + sizeof(PyObject *)) < 0:
            raise_zmq_error()
        self.current_event += self.is_producer
        header = <wire_header *> zmq_msg_data(&frame)
        memset(header, 0, sizeof(wire_header))
        header.kind = WIRE_MESSAGE
        header.mark = mark
        header.step = step
        header.value = self.current_event
        memcpy(header + 1, &reference, sizeof(PyObject *))
        Py_INCREF(payload)
        try:
            self.send_frame(&frame)
        except BaseException:
            Py_DECREF(payload)
            raise
        return 0

    cdef int send_body(self, int step, message) except -1:
        cdef zmq_msg_t frame
        pickled = self.pickled(message)
        body = self.bodies.pack(pickled, self.large_buffers.take() or [])
        if self.is_process:
            with self.lock:
                self.held_back.append((step, self.current_event, body))
            return 0
        self.current_event += self.is_producer
        self.fill_with_body(&frame, step, self.current_event, body)
        try:
            return self.send_frame(&frame)
        except BaseException:
            self.bodies.drop(body)
            raise

    cdef int fill_with_body(
        self, zmq_msg_t *frame, int step, uint64_t event, bytes body
    ) except -1:
        cdef wire_header *header
        cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
        if zmq_msg_init_size(frame, sizeof(wire_header) + size) < 0:
            raise_zmq_error()
        header = <wire_header *> zmq_msg_data(frame)
        memset(header, 0, sizeof(wire_header))
        header.kind = WIRE_MESSAGE
        header.mark = WIRE_BODY
        header.step = step
        header.value = event
        memcpy(header + 1, PyBytes_AS_STRING(body), size)
        return 0

    cdef int report_busy_time(self) except -1:
        cdef wire_header header
        cdef uint64_t time = now()
        memset(&header, 0, sizeof(header))
        header.kind = WIRE_ACKNOWLEDGE
        header.value = time - self.began - self.blocked
        self.began = time
        self.blocked = 0
        return self.send_header(&header)

    cdef int send_header(self, wire_header *header) except -1:
        cdef zmq_msg_t frame
        if zmq_msg_init_size(&frame, sizeof(wire_header)) < 0:
            raise_zmq_error()
        memcpy(zmq_msg_data(&frame), header, sizeof(wire_header))
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
            self.blocked += now() - waiting_since
        if rc < 0:
            zmq_msg_close(frame)
            if zmq_errno() == ETERM:
                raise RunEnded
            raise_zmq_error()
        set_count(&self.counts.sent, self.counts.sent + 1)
        return 0


cdef inline bint is_plain(value) noexcept:
    """Whether nobody can tell if a value is shared, because it cannot change."""
    kind = type(value)
    return (
        kind is int
        or kind is float
        or kind is str
        or kind is bytes
        or kind is bool
        or value is None
    )


cdef object plain_copy(message, pool):
    """What arrives of a message that is simple enough to do without a pickle, else `NOT_PLAIN`.

    Plain values, arrays of numbers, and a tuple, list or dict of nothing but such.
    """
    kind = type(message)
    if is_plain(message):
        return message
    if kind is tuple:
        for value in <tuple> message:
            if not is_plain(value):
                copied = plain_list(list(<tuple> message), pool)
                return copied if copied is NOT_PLAIN else tuple(<list> copied)
        return message
    if kind is list:
        return plain_list((<list> message)[:], pool)
    if kind is dict:
        return plain_dict((<dict> message).copy(), pool)
    return plain_array(message, pool)


cdef object plain_list(list values, pool):
    cdef Py_ssize_t i
    cdef dict copies = None
    for i in range(len(values)):
        value = values[i]
        if not is_plain(value):
            if copies is None:
                copies = {}
            values[i] = plain_element(value, copies, pool)
            if values[i] is NOT_PLAIN:
                return NOT_PLAIN
    return values


cdef object plain_dict(dict values, pool):
    cdef dict copies = None
    for key, value in values.items():
        if not is_plain(key):
            return NOT_PLAIN
        if not is_plain(value):
            if copies is None:
                copies = {}
            copied = values[key] = plain_element(value, copies, pool)
            if copied is NOT_PLAIN:
                return NOT_PLAIN
    return values


cdef object plain_element(value, dict copies, pool):
    # As in a pickle, what is one array in the message stays one; the original lives on in
    # the message, so its id is its own.
    copied = copies.get(id(value))
    if copied is None:
        copied = copies[id(value)] = plain_array(value, pool)
    return copied


cdef object plain_array(array, pool):
    if type(array) is not ndarray:
        return NOT_PLAIN
    dtype = array.dtype
    if dtype.isbuiltin != 1 or dtype.kind not in "biufc" or not array.flags.c_contiguous:
        return NOT_PLAIN
    if array.nbytes < SMALLEST_BUFFER:
        return array.copy()
    return ndarray(array.shape, dtype, pool.copy(PickleBuffer(array).raw()))


cdef inline object take_payload(zmq_msg_t *message):
    """What a message brings; the reference to an object becomes the caller's."""
    cdef wire_header *header = <wire_header *> zmq_msg_data(message)
    cdef PyObject *reference
    if header.kind != WIRE_JOB:
        return None
    if header.mark == WIRE_BODY:
        return PyBytes_FromStringAndSize(
            <char *> (header + 1), zmq_msg_size(message) - sizeof(wire_header)
        )
    reference = (<PyObject **> (header + 1))[0]
    payload = <object> reference
    Py_DECREF(payload)
    return payload


cdef int raise_zmq_error() except -1:
    cdef int number = zmq_errno()
    raise OSError(number, zmq_strerror(number).decode())
