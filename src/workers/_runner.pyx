# cython: language_level=3
# cython: freethreading_compatible=True
"""The calls of a step's ``run``: the part of a step that every message goes through."""

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint64_t

from collections.abc import Iterable, Mapping
from types import GeneratorType

from ..transport._channel import STOP
from ..errors import RunEnded

from _clock cimport now

# What a step of a chain has done in one worker, in the memory given to `Runner.join_chain`.
cdef enum:
    RECEIVED
    DONE
    FAILED
    SENT
    RUNNING
    BUSY

COUNTS = ("received", "done", "failed", "sent", "running", "busy_ns")


@cython.final
cdef class Runner:
    """Calls the ``run`` of one instance of a step and sends what it makes.

    To be used by one thread.

    Parameters
    ----------
    name : str
        The step's.
    run : callable
        The instance's ``run``.
    send : callable
        Takes the index of a step and a message for it.
    default : int, optional
        The index of the step that messages are for where none is named.
    is_consumer : bool
        Whether what ``run`` returns may be dropped.
    index_of : callable
        Takes the name of a step and returns its index.
    warn : callable
        Takes what is to be said about the step.

    Attributes
    ----------
    call : {"receive", "run"}
        What `process_all` is, or was at last, doing.
    has_lost : bool
        Set if a message has failed that the current job has handed over in a chain.
    """

    cdef str name
    cdef object run
    cdef object send
    cdef object default
    cdef bint is_consumer
    cdef object index_of
    cdef object warn
    cdef dict indices
    cdef bint running
    cdef bint used_send_msg
    cdef readonly str call
    cdef public bint has_lost
    # In a chain only; NULL and None otherwise.
    cdef uint64_t *counts
    cdef object memory
    cdef dict followers
    cdef object on_error
    cdef object channel
    cdef unsigned long owner
    # The part of the current job that was spent in the steps after it or waiting, ns.
    cdef uint64_t elsewhere

    def __init__(self, str name, run, send, default, bint is_consumer, index_of, warn):
        self.name = name
        self.run = run
        self.send = send
        self.default = default
        self.is_consumer = is_consumer
        self.index_of = index_of
        self.warn = warn
        self.indices = {}
        self.call = "receive"

    def join_chain(self, uint64_t[::1] counts not None, dict followers, on_error, channel=None):
        """Hand messages over to other runners of the same worker.

        Parameters
        ----------
        counts : memoryview of uint64
            Where to count what the step does, in the order of `COUNTS`.
        followers : dict of int to Runner
            By the index of their step, those that messages are handed to.
        on_error : callable
            Takes the exception with which a message failed that another runner has handed
            over; returns if only the message is lost, or else raises `RunEnded`.
        channel : Channel, optional
            What `send` may wait for.
        """
        self.memory = counts
        self.counts = &counts[0]
        self.followers = followers
        self.on_error = on_error
        self.channel = channel

    def count_failure(self):
        """Count a message that failed, where the step counts itself."""
        if self.counts is not NULL:
            self.counts[FAILED] += 1

    def produce(self, ended):
        """Call a producer's ``run`` and send all that it makes.

        Parameters
        ----------
        ended : callable
            Says whether to stop.

        Raises
        ------
        RunEnded
            If a message was to be sent after the end.
        Exception
            Whatever the user's code raises.
        """
        self.used_send_msg = False
        self.running = True
        self.owner = PyThread_get_thread_ident()
        try:
            messages = self.run()
            if messages is None:
                return
            if not isinstance(messages, Iterable) or isinstance(messages, str | bytes | Mapping):
                raise TypeError(
                    f"run() of a producer yields its messages or sends them with send_msg; "
                    f"it returned a {type(messages).__name__}"
                )
            iterator = iter(messages)
            try:
                for message in iterator:
                    if message is not None:
                        self.send_value(message)
                    if ended():
                        break
            finally:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
        finally:
            self.running = False

    cpdef process(self, message):
        """Call ``run`` with a message and send what it returns or yields.

        Parameters
        ----------
        message : object
            What the step received.

        Raises
        ------
        Exception
            Whatever the user's code raises.
        """
        self.used_send_msg = False
        self.running = True
        self.owner = PyThread_get_thread_ident()
        try:
            result = self.run(message)
            if type(result) is GeneratorType:
                for value in result:
                    if value is not None:
                        self.send_value(value)
            elif result is not None:
                self.send_value(result)
        finally:
            self.running = False
        if self.counts is not NULL:
            self.counts[DONE] += 1

    def process_all(self, channel):
        """Process what a channel receives, until it says that no job will follow.

        Parameters
        ----------
        channel : Channel
            Where the messages come from; each is acknowledged.

        Raises
        ------
        Exception
            Whatever unpickling a message or the user's code raises.
        """
        receive, acknowledge = channel.receive, channel.acknowledge
        self.has_lost = False
        while True:
            self.call = "receive"
            message = receive()
            if message is STOP:
                return
            self.call = "run"
            self.process(message)
            # Not kept while the next one is waited for.
            message = None
            if self.has_lost:
                self.has_lost = False
                acknowledge(skipped=True)
            else:
                acknowledge()

    def send_msg(self, message, step_name=None):
        """Send a message to the next step.

        Parameters
        ----------
        message : object
            Anything that can be pickled.
        step_name : str, optional
            Which step to send it to: one of ``next_steps``, or any other step but the
            producer. The first of ``next_steps``, if not given.

        Raises
        ------
        RuntimeError
            Outside of ``run``, or in another thread than the one that called it.
        ValueError
            If there is no such step.
        """
        if not self.running:
            raise RuntimeError(
                f"step {self.name!r} called send_msg outside of run(); "
                "messages can be sent in run() only"
            )
        if PyThread_get_thread_ident() != self.owner:
            raise RuntimeError(
                "send_msg was called in another thread than the one that called run()"
            )
        target = self.default
        if step_name is not None:
            target = self.indices.get(step_name)
            if target is None:
                target = self.indices[step_name] = self.index_of(step_name)
        elif target is None:
            raise ValueError(
                f"step {self.name!r} has no next step; name the step to send to: "
                "send_msg(message, 'NAME')"
            )
        self.used_send_msg = True
        self.pass_on(target, message)

    cdef int send_value(self, value) except -1:
        """Send what ``run`` returned or yielded."""
        if self.used_send_msg:
            self.warn("its run() also calls send_msg: what it returns or yields is dropped")
        elif self.default is not None:
            self.pass_on(self.default, value)
        elif self.is_consumer:
            self.warn("it is the consumer: what its run() returns is dropped")
        else:
            raise ValueError(f"step {self.name!r} has no next step, but its run() returned a value")
        return 0

    cdef inline int pass_on(self, target, message) except -1:
        if self.counts is NULL:
            self.send(target, message)
            return 0
        return self.pass_on_in_chain(target, message)

    cdef int pass_on_in_chain(self, target, message) except -1:
        cdef uint64_t waited
        follower = self.followers.get(target)
        if follower is None:
            waited = 0 if self.channel is None else self.channel.blocked_ns
            self.send(target, message)
            if self.channel is not None:
                self.elsewhere += <uint64_t> self.channel.blocked_ns - waited
            self.counts[SENT] += 1
            return 0
        self.counts[SENT] += 1
        return (<Runner> follower).take(self, message)

    cdef int take(self, Runner sender, message) except -1:
        """Process a message of the step before it in the chain."""
        cdef uint64_t began = now()
        cdef uint64_t took
        self.elsewhere = 0
        self.counts[RECEIVED] += 1
        self.counts[RUNNING] = 1
        try:
            self.process(message)
        except RunEnded:
            raise
        except BaseException as error:
            self.on_error(error)
        finally:
            took = now() - began
            self.counts[BUSY] += took - self.elsewhere
            self.counts[RUNNING] = 0
            sender.elsewhere += took
        return 0
