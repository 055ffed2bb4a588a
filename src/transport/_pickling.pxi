"""Pickles of messages, without their large buffers."""

import pickle

cdef extern from "Python.h":
    object PyObject_Vectorcall(object, PyObject **, size_t, object)

cdef object dumps = pickle.dumps
cdef object loads = pickle.loads
cdef object PROTOCOL = 5
cdef tuple KEYWORDS = ("buffer_callback",)


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

    cdef bytes pickled(self, message):
        """The message's pickle, without its large buffers, which are to be taken."""
        # Without the dict that a call with a keyword would make.
        cdef PyObject *arguments[3]
        arguments[0] = <PyObject *> message
        arguments[1] = <PyObject *> PROTOCOL
        arguments[2] = <PyObject *> self
        try:
            return PyObject_Vectorcall(dumps, arguments, 2, KEYWORDS)
        except BaseException as error:
            self.collected = None
            error.add_note(f"while pickling a {type(message).__name__} to send it")
            raise
