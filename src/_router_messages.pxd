"""What is done with a message in hand: moved, looked into, dropped."""

from cpython.ref cimport Py_DECREF, PyObject
from libc.stdlib cimport realloc

from _frames cimport block_of
from _libzmq cimport zmq_msg_close, zmq_msg_data, zmq_msg_init, zmq_msg_move, zmq_msg_t
from _shared cimport shared_free, shared_memory
from _wire cimport WIRE_JOB, WIRE_MESSAGE, WIRE_PACKED, wire_header


cdef inline wire_header *header_of(zmq_msg_t *message) noexcept nogil:
    return <wire_header *> zmq_msg_data(message)


cdef inline void move_message(zmq_msg_t *target, zmq_msg_t *source) noexcept nogil:
    zmq_msg_init(target)
    zmq_msg_move(target, source)


# The objects of dropped messages, until somebody with the GIL lets go of them, and the
# memory that the blocks of others are given back to.
cdef struct DroppedMessages:
    shared_memory *shared
    PyObject **objects
    size_t length
    size_t capacity


cdef inline void keep_object(DroppedMessages *dropped, zmq_msg_t *message) noexcept nogil:
    cdef PyObject *kept = (<PyObject **> (header_of(message) + 1))[0]
    cdef PyObject **grown
    cdef size_t capacity
    if dropped.length == dropped.capacity:
        capacity = 2 * dropped.capacity if dropped.capacity else 64
        grown = <PyObject **> realloc(dropped.objects, capacity * sizeof(PyObject *))
        if grown is NULL:
            with gil:
                Py_DECREF(<object> kept)
            return
        dropped.objects = grown
        dropped.capacity = capacity
    dropped.objects[dropped.length] = kept
    dropped.length += 1


cdef inline void drop_message(zmq_msg_t *message, DroppedMessages *dropped) noexcept nogil:
    if header_of(message).kind in (WIRE_MESSAGE, WIRE_JOB):
        if header_of(message).mark == WIRE_PACKED:
            shared_free(dropped.shared, block_of(message))
        else:
            keep_object(dropped, message)
    zmq_msg_close(message)
