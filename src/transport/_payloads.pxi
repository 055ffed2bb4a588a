"""What a message brings: an object, or bytes."""


cdef inline object take_payload(zmq_msg_t *message):
    """What a message brings; the reference to an object becomes the caller's."""
    cdef wire_header *header = <wire_header *> zmq_msg_data(message)
    cdef PyObject *reference
    if header.kind != WIRE_JOB:
        return None
    if header.mark == WIRE_PACKED:
        return PyBytes_FromStringAndSize(
            <char *> (header + 1), zmq_msg_size(message) - sizeof(wire_header)
        )
    reference = (<PyObject **> (header + 1))[0]
    payload = <object> reference
    Py_DECREF(payload)
    return payload
