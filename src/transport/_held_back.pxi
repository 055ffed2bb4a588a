"""What a worker process holds back: messages that go out with an acknowledgement, or never."""

import os
import threading
import traceback

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int)

cdef enum:
    # How long what ended jobs have sent is held back behind another, µs.
    LATEST_US = 1000


@cython.final
@cython.freelist(64)
cdef class HeldMessage:
    """A frame that is ready to be sent, so that nothing can be in the way of sending it."""

    cdef zmq_msg_t frame

    def __cinit__(self):
        zmq_msg_init(&self.frame)

    def __dealloc__(self):
        zmq_msg_close(&self.frame)


@cython.final
cdef class HeldBack:
    """What the jobs have sent that are not acknowledged yet.

    A thread sends what was held back for too long, behind a slow job.
    """

    cdef list messages
    # How many of them are of jobs that have ended.
    cdef Py_ssize_t n_complete
    cdef object flush
    cdef object thread
    cdef object something_held
    cdef bint is_watched
    cdef uint64_t n_flushed
    cdef int closing

    def __cinit__(self):
        self.messages = []

    cdef int start(self, flush) except -1:
        """Start the thread.

        It calls ``flush``, which sends what is complete.
        """
        self.flush = flush
        self.something_held = threading.Semaphore(0)
        self.thread = threading.Thread(target=self.flush_late, name="flusher", daemon=True)
        self.thread.start()
        return 0

    cdef int close(self) except -1:
        """End the thread, if there is one."""
        if self.thread is not None:
            set_flag(&self.closing, 1)
            self.something_held.release()
            self.thread.join()
            self.thread = self.flush = None
        return 0

    cdef inline void complete(self) noexcept:
        """All that there is is of jobs that have ended."""
        self.n_complete = len(self.messages)

    cdef list take_complete(self):
        """What may be sent."""
        complete = self.messages[:self.n_complete]
        del self.messages[:self.n_complete]
        self.n_complete = 0
        return complete

    cdef list take_incomplete(self):
        """What a job has sent that has not ended."""
        incomplete = self.messages[self.n_complete:]
        del self.messages[self.n_complete:]
        return incomplete

    cdef int watch(self) except -1:
        """Flush within a millisecond or two, unless it is done before."""
        if not self.is_watched:
            self.is_watched = True
            self.something_held.release()
        return 0

    cdef inline void note_flush(self) noexcept:
        set_count(&self.n_flushed, self.n_flushed + 1)

    def flush_late(self):
        """Flush what is held back behind a slow job; until `close`, in a thread of its own."""
        cdef uint64_t n_flushed
        while True:
            self.something_held.acquire()
            with nogil:
                n_flushed = count_of(&self.n_flushed)
                usleep(LATEST_US)
                while count_of(&self.n_flushed) != n_flushed and not flag_is_up(&self.closing):
                    n_flushed = count_of(&self.n_flushed)
                    usleep(LATEST_US)
            if flag_is_up(&self.closing):
                return
            try:
                self.flush()
            except BaseException:
                # Nothing would be sent any more. Another process does its jobs again.
                traceback.print_exc()
                os._exit(1)
