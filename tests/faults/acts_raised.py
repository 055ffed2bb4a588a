"""What a step can raise."""

import sys
import threading

from ctapipe.core import ToolConfigurationError

from ctapipe.pipeline import StepError

GROWING = 20_000_000
ONE_AT_A_TIME = threading.Lock()


class WithLock(ValueError):
    def __init__(self):
        super().__init__("has a lock")
        self.lock = threading.Lock()


class NeedsTwo(ValueError):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class EndsItsUnpickler(ValueError):
    def __reduce__(self):
        return sys.exit, (3,)


class CannotBeShown(ValueError):
    def __str__(self):
        raise RuntimeError("cannot be shown")

    __repr__ = __str__


class OfItsOwn(BaseException):
    pass


def raises(step, message):
    raise ValueError("the fault")


def raises_what_cannot_be_pickled(step, message):
    raise WithLock


def raises_what_cannot_be_unpickled(step, message):
    raise NeedsTwo(1, 2)


def raises_what_ends_its_unpickler(step, message):
    raise EndsItsUnpickler("the fault")


def raises_what_cannot_be_shown(step, message):
    raise CannotBeShown


def raises_a_long_text(step, message):
    raise ValueError("long " * 1_000_000)


def raises_a_chain_of_causes(step, message):
    error = None
    for i in range(200):
        following = WithLock() if i % 2 else ValueError(i)
        following.__cause__ = error
        error = following
    raise error


def raises_a_group(step, message):
    raise ExceptionGroup("the fault", [ValueError(1), WithLock(), NeedsTwo(1, 2)])


def raises_a_base_exception(step, message):
    raise OfItsOwn("the fault")


def raises_keyboard_interrupt(step, message):
    raise KeyboardInterrupt


def raises_generator_exit(step, message):
    raise GeneratorExit


def raises_stop_iteration(step, message):
    raise StopIteration("the fault")


def raises_step_error(step, message):
    raise StepError("NOBODY", "has a fault")


def raises_tool_configuration_error(step, message):
    raise ToolConfigurationError("the fault")


def raises_system_exit_0(step, message):
    sys.exit(0)


def raises_system_exit_3(step, message):
    sys.exit(3)


def raises_system_exit_with_text(step, message):
    sys.exit("the fault")


def recurses(step, message):
    recurses(step, message)


def recurses_in_c(step, message):
    nested = []
    for _ in range(1_000_000):
        nested = [nested]
    try:
        repr(nested)
    finally:
        # Not all at once, which is deep as well.
        while nested:
            nested = nested[0]


def takes_all_memory(step, message):
    # The limit is that of the process: another thread must not lift it meanwhile.
    with ONE_AT_A_TIME:
        take_all_memory()


def take_all_memory():
    import resource

    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 5 * GROWING, before[1]))
    taken = []
    try:
        while True:
            taken.append(bytearray(GROWING))
    finally:
        taken.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def returns_false(step, message):
    return False
