"""Frames that begin with a header: how what is sent to the router is made."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from _libzmq cimport zmq_msg_data, zmq_msg_init_size, zmq_msg_t
from _wire cimport WIRE_ACKNOWLEDGE, WIRE_MESSAGE, wire_header, wire_packed


cdef inline wire_header *init_frame(zmq_msg_t *frame, int kind, size_t size) noexcept nogil:
    """A frame with a header and so many bytes after it; NULL with zmq_errno()."""
    cdef wire_header *header
    if zmq_msg_init_size(frame, sizeof(wire_header) + size) < 0:
        return NULL
    header = <wire_header *> zmq_msg_data(frame)
    memset(header, 0, sizeof(wire_header))
    header.kind = kind
    return header


cdef inline int init_message(
    zmq_msg_t *frame, int step, int mark, uint64_t event, const void *content, size_t size
) noexcept nogil:
    """A message for a step: 0, or -1 with zmq_errno()."""
    cdef wire_header *header = init_frame(frame, WIRE_MESSAGE, size)
    if header is NULL:
        return -1
    header.mark = mark
    header.step = step
    header.value = event
    memcpy(header + 1, content, size)
    return 0


cdef inline int init_acknowledgement(
    zmq_msg_t *frame, int mark, int n_jobs, uint64_t busy_time
) noexcept nogil:
    """The end of jobs, and how long they took, ns: 0, or -1 with zmq_errno()."""
    cdef wire_header *header = init_frame(frame, WIRE_ACKNOWLEDGE, 0)
    if header is NULL:
        return -1
    header.mark = mark
    header.jobs = n_jobs
    header.value = busy_time
    return 0


cdef inline uint64_t block_of(zmq_msg_t *frame) noexcept nogil:
    """The block of shared memory of a packed message; 0 if it has none."""
    cdef wire_header *header = <wire_header *> zmq_msg_data(frame)
    return (<wire_packed *> (header + 1)).block
