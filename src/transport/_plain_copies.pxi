"""Copies of messages that are simple enough to do without a pickle."""

from pickle import PickleBuffer

from numpy import ndarray

# Below this a buffer of its own costs more than a copy within the pickle, bytes.
cdef Py_ssize_t SMALLEST_BUFFER = 4096

cdef object NOT_PLAIN = object()


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
