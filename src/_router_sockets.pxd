"""The router's sockets: one pair for a worker's jobs, and one for what it sends."""

from _libzmq cimport (
    ZMQ_FD,
    ZMQ_LINGER,
    ZMQ_PAIR,
    ZMQ_RCVHWM,
    ZMQ_SNDHWM,
    zmq_bind,
    zmq_close,
    zmq_connect,
    zmq_getsockopt,
    zmq_setsockopt,
    zmq_socket,
)


cdef inline void *open_pair(
    void *context, const char *address, int sndhwm, int rcvhwm, bint binds
) noexcept nogil:
    """A socket with room for so many messages, 0 for any; NULL with zmq_errno()."""
    cdef int linger = 0
    cdef void *socket = zmq_socket(context, ZMQ_PAIR)
    if socket is NULL:
        return NULL
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(int))
    zmq_setsockopt(socket, ZMQ_SNDHWM, &sndhwm, sizeof(int))
    zmq_setsockopt(socket, ZMQ_RCVHWM, &rcvhwm, sizeof(int))
    if (zmq_bind(socket, address) if binds else zmq_connect(socket, address)) < 0:
        zmq_close(socket)
        return NULL
    return socket


cdef inline int descriptor_of(void *socket) noexcept nogil:
    """The file descriptor through which libzmq signals messages; -1 with zmq_errno()."""
    cdef int fd = -1
    cdef size_t length = sizeof(int)
    if zmq_getsockopt(socket, ZMQ_FD, &fd, &length) < 0:
        return -1
    return fd


cdef inline void close_pair(void *socket) noexcept nogil:
    if socket is not NULL:
        zmq_close(socket)
