"""What can go wrong, as exceptions, and how it is shown."""

import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from ctapipe.core import ToolConfigurationError

__all__ = [
    "ConfigurationError",
    "Failure",
    "RunEnded",
    "RunError",
    "StepError",
    "as_failure",
    "describe",
]

PACKAGE = __name__.rpartition(".")[0]


class ConfigurationError(ToolConfigurationError):
    """The configuration is wrong; no step has run.

    Parameters
    ----------
    errors : iterable of str
        One line for each mistake; all that were found.
    """

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        if len(self.errors) == 1:
            message = self.errors[0]
        else:
            message = "\n".join(
                [f"{len(self.errors)} mistakes in the configuration:"]
                + [f"  - {error}" for error in self.errors]
            )
        super().__init__(message)
        self.args = (message,)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)


class StepError(RuntimeError):
    """A step failed; its own exception is the ``__cause__``, where there is one.

    Parameters
    ----------
    step : str
        The step's name.
    what : str
        What happened, for example ``raised ValueError in run()``.
    event : int, optional
        The number of the producer's message, from 0, that the step's message was made of.
    """

    def __init__(self, step: str, what: str, event: int | None = None) -> None:
        self.step = step
        self.what = what
        self.event = event
        where = "" if event is None else f" on event {event}"
        super().__init__(f"step {step!r} {what}{where}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Of one that a step has raised, the event is known later than what it says.
        return type(self), (self.step, self.what, self.event), {"args": self.args}


class RunError(RuntimeError):
    """The run could not go on, and no step is at fault."""


# What a run can end with.
Failure = StepError | ConfigurationError | RunError


def as_failure(what: str, error: BaseException) -> Failure:
    """What to report of an exception that is not of a step.

    Parameters
    ----------
    what : str
        What cannot be done, for example ``the router cannot go on``.
    error : BaseException
        Why.
    """
    if isinstance(error, Failure):
        return error
    why = "".join(traceback.format_exception_only(error)).strip()
    failure = RunError(f"{what}: {why}")
    # Where the system has refused something is of no use to a user.
    if not isinstance(error, OSError | MemoryError):
        failure.__cause__ = error
    return failure


class RunEnded(BaseException):
    """Raised in ``send_msg`` when the run is to end: in a producer, or when it has failed.

    Not an `Exception`, so that no ``except Exception`` in a step keeps it.
    """


def describe(error: Failure, consequence: str = "") -> str:
    """A failure and the traceback of its cause, if it has one, from the user's code on.

    Parameters
    ----------
    error : Failure
        The failure.
    consequence : str
        What is said besides on the first line.
    """
    what = f"{error}: {consequence}" if consequence else str(error)
    cause = error.__cause__
    notes = getattr(error, "__notes__", [])
    if cause is None:
        return "\n".join([what, *notes])
    lines = traceback.format_exception(type(cause), cause, _from_user_code(cause.__traceback__))
    return "\n".join([f"{what}\n{''.join(lines)}".rstrip(), *notes])


def _from_user_code(trace: TracebackType | None) -> TracebackType | None:
    first = trace
    while first is not None:
        # Not the file, of which a compiled module knows only where it was built.
        module = first.tb_frame.f_globals.get("__name__", "")
        if not module.startswith(f"{PACKAGE}.") or module.startswith(f"{PACKAGE}.algorithms."):
            return first
        first = first.tb_next
    return trace
