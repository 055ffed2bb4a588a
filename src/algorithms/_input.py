"""Files that producers read: saying so if they are damaged."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ctapipe.core import Component
from ctapipe.io import EventSource

from .. import StepError

T = TypeVar("T")


def is_damage(error: Exception, path: str | Path) -> bool:
    """Whether a file that cannot be opened is one with events, of which not all can be read.

    Parameters
    ----------
    error : Exception
        What was raised.
    path : str or pathlib.Path
        The file.
    """
    # What the system or the options do not allow.
    if getattr(error, "errno", None) is not None or type(error) is RuntimeError:
        return False
    for source in EventSource.non_abstract_subclasses().values():
        with contextlib.suppress(Exception):
            if source.is_compatible(path):
                return True
    return False


def reading(step: Component, path: str | Path, events: Iterable[T]) -> Iterator[T]:
    """Let a step that cannot go on reading say so in one line.

    Parameters
    ----------
    step : ctapipe.core.Component
        The step.
    path : str or pathlib.Path
        The file.
    events : iterable
        What is read.

    Yields
    ------
    object
        The events.

    Raises
    ------
    StepError
        If they raise an `Exception`.
    """
    n_events = 0
    try:
        for event in events:
            yield event
            n_events += 1
    except Exception as error:
        raise cannot_read(step, path, f"what comes after {n_events} events", error) from None


def cannot_read(step: Component, path: str | Path, what: str, error: Exception) -> StepError:
    """The one line that says that a file is damaged.

    Parameters
    ----------
    step : ctapipe.core.Component
        The step that reads it.
    path : str or pathlib.Path
        The file.
    what : str
        What of it is read.
    error : Exception
        What was raised.
    """
    step.log.debug("%s of '%s'", what, path, exc_info=error)
    if isinstance(error, EOFError | StopIteration):
        reason = "it ends there"
    else:
        reason = " ".join([f"{type(error).__name__}:", *str(error).split()]).rstrip(":")
    return StepError(
        step.name, f"cannot read {what} of '{path}' (is it cut off or damaged?): {reason}"
    )
