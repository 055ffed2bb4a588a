# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""Both ends of the wire without Python, to measure the router and libzmq alone.

They do what `ctapipe.pipeline.transport._channel` does, but for pickling: every function runs to
its end without the GIL and is to be called in a thread of its own.
"""

from libc.errno cimport EAGAIN, EINTR
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from _libzmq cimport (
    ZMQ_DONTWAIT,
    ZMQ_LINGER,
    ZMQ_PAIR,
    raise_zmq_error,
    zmq_bind,
    zmq_close,
    zmq_connect,
    zmq_ctx_new,
    zmq_ctx_term,
    zmq_errno,
    zmq_msg_close,
    zmq_msg_data,
    zmq_msg_init,
    zmq_msg_init_size,
    zmq_msg_recv,
    zmq_msg_send,
    zmq_msg_t,
    zmq_setsockopt,
    zmq_socket,
)
from _wire cimport (
    WIRE_ACKNOWLEDGE,
    WIRE_GOODBYE,
    WIRE_MESSAGE,
    WIRE_STOP,
    WIRE_YIELDS,
    count_of,
    send_soon,
    set_count,
    soon_greater,
    wire_counts,
    wire_header,
)

# As in _channel.pyx.
cdef enum:
    MOST_AT_ONCE = 16

cdef uint64_t LONGEST_WAIT = 20_000


cdef inline uint64_t now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <uint64_t> time.tv_sec * 1_000_000_000 + time.tv_nsec


cdef int send_frame(void *socket, zmq_msg_t *frame) noexcept nogil:
    cdef int rc = send_soon(socket, frame, 0, WIRE_YIELDS)
    if rc < 0 and zmq_errno() == EAGAIN:
        rc = zmq_msg_send(frame, socket, 0)
    while rc < 0 and zmq_errno() == EINTR:
        rc = zmq_msg_send(frame, socket, 0)
    return -1 if rc < 0 else 0


cdef int receive_frame(void *socket, zmq_msg_t *frame, int flags) noexcept nogil:
    cdef int rc = zmq_msg_recv(frame, socket, flags)
    while rc < 0 and zmq_errno() == EINTR:
        rc = zmq_msg_recv(frame, socket, flags)
    return -1 if rc < 0 else 0


cdef int send(
    void *socket, wire_counts *counts, wire_header *header, const uint64_t *payload
) noexcept nogil:
    cdef zmq_msg_t frame
    cdef size_t size = sizeof(uint64_t) if payload is not NULL else 0
    if zmq_msg_init_size(&frame, sizeof(wire_header) + size) < 0:
        return -1
    memcpy(zmq_msg_data(&frame), header, sizeof(wire_header))
    if payload is not NULL:
        memcpy(<wire_header *> zmq_msg_data(&frame) + 1, payload, size)
    if send_frame(socket, &frame) < 0:
        return -1
    set_count(&counts.sent, counts.sent + 1)
    return 0


def produce(end, uint64_t n):
    """Send messages of 8 bytes to step 1, and say goodbye.

    Parameters
    ----------
    end : WorkerEnd
        What `Router.connect` returned for step 0.
    n : int
        How many messages.
    """
    cdef size_t socket = end.sent
    cdef unsigned char[::1] counts_memory = end.counts
    cdef wire_counts *counts = <wire_counts *> &counts_memory[0]
    cdef wire_header header
    cdef uint64_t i
    cdef int rc = 0
    with nogil:
        memset(&header, 0, sizeof(header))
        header.kind = WIRE_MESSAGE
        header.step = 1
        for i in range(n):
            header.value = i
            rc = send(<void *> socket, counts, &header, &i)
            if rc < 0:
                break
        if rc == 0:
            memset(&header, 0, sizeof(header))
            header.kind = WIRE_GOODBYE
            rc = send(<void *> socket, counts, &header, NULL)
    if rc < 0:
        raise_zmq_error()


def work(end):
    """Receive messages and acknowledge them until the router stops it, and say goodbye.

    Parameters
    ----------
    end : WorkerEnd
        What `Router.connect` returned for step 1.

    Returns
    -------
    tuple of int
        How many messages there were, and the sum of what was in them.
    """
    cdef size_t jobs = end.jobs
    cdef size_t socket = end.sent
    cdef unsigned char[::1] counts_memory = end.counts
    cdef wire_counts *counts = <wire_counts *> &counts_memory[0]
    cdef wire_header header
    cdef wire_header *job
    cdef zmq_msg_t frame
    cdef uint64_t n_received = 0
    cdef uint64_t total = 0
    cdef uint64_t began = 0
    cdef uint32_t n_ended = 0
    cdef int rc = 0
    cdef bint stop = False
    with nogil:
        memset(&header, 0, sizeof(header))
        header.kind = WIRE_ACKNOWLEDGE
        while rc == 0:
            zmq_msg_init(&frame)
            if soon_greater(&counts.given, n_received):
                rc = receive_frame(<void *> jobs, &frame, ZMQ_DONTWAIT)
            else:
                rc = receive_frame(<void *> jobs, &frame, 0)
            if rc < 0:
                break
            n_received += 1
            job = <wire_header *> zmq_msg_data(&frame)
            stop = job.kind == WIRE_STOP
            if stop:
                zmq_msg_close(&frame)
                break
            if n_ended == 0:
                began = now()
            total += (<uint64_t *> (job + 1))[0]
            zmq_msg_close(&frame)
            n_ended += 1
            if (
                n_ended == MOST_AT_ONCE
                or count_of(&counts.given) <= n_received
                or now() - began > LONGEST_WAIT
            ):
                header.jobs = n_ended
                header.value = now() - began
                n_ended = 0
                rc = send(<void *> socket, counts, &header, NULL)
        if stop:
            memset(&header, 0, sizeof(header))
            header.kind = WIRE_GOODBYE
            rc = send(<void *> socket, counts, &header, NULL)
    if rc < 0:
        raise_zmq_error()
    return n_received - 1, total


cdef class RawHop:
    """Two PAIR sockets of libzmq, connected inside the process, with its own settings."""

    cdef void *context
    cdef void *source
    cdef void *sink

    def __cinit__(self):
        cdef int linger = 0
        self.context = zmq_ctx_new()
        if self.context is NULL:
            raise_zmq_error()
        self.source = zmq_socket(self.context, ZMQ_PAIR)
        self.sink = zmq_socket(self.context, ZMQ_PAIR)
        if self.source is NULL or self.sink is NULL:
            raise_zmq_error()
        zmq_setsockopt(self.source, ZMQ_LINGER, &linger, sizeof(int))
        if zmq_bind(self.sink, b"inproc://hop") < 0:
            raise_zmq_error()
        if zmq_connect(self.source, b"inproc://hop") < 0:
            raise_zmq_error()

    def __dealloc__(self):
        if self.source is not NULL:
            zmq_close(self.source)
        if self.sink is not NULL:
            zmq_close(self.sink)
        if self.context is not NULL:
            zmq_ctx_term(self.context)

    def send(self, uint64_t n):
        """Send messages of 8 bytes."""
        cdef zmq_msg_t frame
        cdef uint64_t i
        cdef int rc = 0
        with nogil:
            for i in range(n):
                if zmq_msg_init_size(&frame, sizeof(uint64_t)) < 0:
                    rc = -1
                    break
                memcpy(zmq_msg_data(&frame), &i, sizeof(uint64_t))
                rc = zmq_msg_send(&frame, self.source, 0)
                while rc < 0 and zmq_errno() == EINTR:
                    rc = zmq_msg_send(&frame, self.source, 0)
                if rc < 0:
                    break
        if rc < 0:
            raise_zmq_error()

    def receive(self, uint64_t n):
        """Receive them, and return the sum of what was in them."""
        cdef zmq_msg_t frame
        cdef uint64_t _i
        cdef uint64_t total = 0
        cdef int rc = 0
        with nogil:
            for _i in range(n):
                zmq_msg_init(&frame)
                rc = receive_frame(self.sink, &frame, 0)
                if rc < 0:
                    break
                total += (<uint64_t *> zmq_msg_data(&frame))[0]
                zmq_msg_close(&frame)
        if rc < 0:
            raise_zmq_error()
        return total
