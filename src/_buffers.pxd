"""Memory for the large buffers of messages (see `_buffers.h`)."""

from _libzmq cimport zmq_msg_t

cdef extern from "_buffers.h" nogil:
    ctypedef struct buffer_pool:
        pass

    buffer_pool *new_pool()
    void release_pool(buffer_pool *pool)
    int init_from_pool(zmq_msg_t *message, size_t size, buffer_pool *pool)
