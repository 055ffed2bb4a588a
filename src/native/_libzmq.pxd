"""libzmq's functions, as declared in `_libzmq.h`."""

cdef extern from "_libzmq.h" nogil:
    ctypedef struct zmq_msg_t:
        pass

    const int ETERM
    const int ZMQ_PAIR
    const int ZMQ_FD
    const int ZMQ_EVENTS
    const int ZMQ_LINGER
    const int ZMQ_SNDHWM
    const int ZMQ_RCVHWM
    const int ZMQ_DONTWAIT
    const int ZMQ_SNDMORE
    const int ZMQ_IO_THREADS
    const int ZMQ_MAX_SOCKETS

    int zmq_errno()
    const char *zmq_strerror(int errnum)

    void *zmq_ctx_new()
    int zmq_ctx_set(void *context, int option, int value)
    int zmq_ctx_shutdown(void *context)
    int zmq_ctx_term(void *context)

    void *zmq_socket(void *context, int type)
    int zmq_close(void *socket)
    int zmq_setsockopt(void *socket, int option, const void *value, size_t length)
    int zmq_getsockopt(void *socket, int option, void *value, size_t *length)
    int zmq_bind(void *socket, const char *address)
    int zmq_connect(void *socket, const char *address)

    int zmq_msg_init(zmq_msg_t *message)
    int zmq_msg_init_size(zmq_msg_t *message, size_t size)
    int zmq_msg_send(zmq_msg_t *message, void *socket, int flags)
    int zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
    int zmq_msg_close(zmq_msg_t *message)
    int zmq_msg_copy(zmq_msg_t *destination, zmq_msg_t *source)
    int zmq_msg_move(zmq_msg_t *destination, zmq_msg_t *source)
    void *zmq_msg_data(zmq_msg_t *message)
    size_t zmq_msg_size(zmq_msg_t *message)
    int zmq_msg_more(zmq_msg_t *message)


cdef inline int raise_zmq_error() except -1:
    cdef int number = zmq_errno()
    raise OSError(number, zmq_strerror(number).decode())
