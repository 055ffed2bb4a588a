"""What a step can send."""

import os
import sys
import threading

import numpy as np


class RaisesWhenPickled:
    def __reduce__(self):
        raise ValueError("the fault")


class ExitsWhenPickled:
    def __reduce__(self):
        sys.exit(3)


class CannotBeUnpickled:
    def __reduce__(self):
        return int, ("no number",)


class ExitsWhenUnpickled:
    def __reduce__(self):
        return sys.exit, (3,)


class KillsItsReceiver:
    def __reduce__(self):
        return os._exit, (3,)


def sends_what_cannot_be_pickled(step, message):
    return (*message, lambda: 0)


def sends_what_raises_when_pickled(step, message):
    return (*message, RaisesWhenPickled())


def sends_what_exits_when_pickled(step, message):
    return (*message, ExitsWhenPickled())


def sends_what_cannot_be_unpickled(step, message):
    return (*message, CannotBeUnpickled())


def sends_what_exits_when_unpickled(step, message):
    return (*message, ExitsWhenUnpickled())


def sends_what_kills_its_receiver(step, message):
    return (*message, KillsItsReceiver())


def sends_to_nowhere(step, message):
    step.send_msg(message, "NOWHERE")


def sends_outside_of_run(step, message):
    step.send_msg(message)


def sends_in_another_thread(step, message):
    errors = []

    def send():
        try:
            step.send_msg(message)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    raise errors[0]


def sends_a_large_message(step, message):
    """Larger than what a worker has of the shared memory."""
    return (*message, np.zeros(40_000_000, dtype="u1"))
