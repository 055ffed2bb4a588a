"""The format of what travels between a worker and the router (see `_wire.h`)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from _libzmq cimport zmq_msg_t

cdef extern from "_wire.h" nogil:
    ctypedef struct wire_header:
        uint8_t kind
        uint8_t mark
        uint16_t step
        uint32_t jobs
        uint64_t value

    const int WIRE_MESSAGE
    const int WIRE_ACKNOWLEDGE
    const int WIRE_GOODBYE
    const int WIRE_READY
    const int WIRE_JOB
    const int WIRE_STOP
    const int WIRE_FAILED
    const int WIRE_SKIPPED
    const int WIRE_OBJECT
    const int WIRE_PICKLE
    const int WIRE_PICKLE_AND_BUFFERS
    const int WIRE_PACKED

    ctypedef struct wire_packed:
        uint64_t block
        uint32_t n_buffers
        uint32_t pickle_size

    ctypedef struct wire_flags:
        int producing_ended
        int discarding

    ctypedef struct wire_counts:
        uint64_t sent
        uint64_t begun
        uint64_t given

    const int WIRE_FLAGS_SIZE
    const int WIRE_COUNTS_SIZE

    uint64_t count_of(const uint64_t *count)
    void set_count(uint64_t *count, uint64_t value)

    const int WIRE_YIELDS
    bint soon_greater(const uint64_t *count, uint64_t value)
    int send_soon(void *socket, zmq_msg_t *frame, int more, int yields)

    bint flag_is_up(const int *flag)
    void set_flag(int *flag, int value)
    void raise_flag(int *flag)


cdef inline void *start_of(memory, size_t size) except NULL:
    """Where memory begins that has to be writable and of a size, in bytes."""
    cdef unsigned char[::1] view = memory
    if <size_t> view.shape[0] < size:
        raise ValueError(f"{view.shape[0]} bytes are too few, it takes {size}")
    return &view[0]
