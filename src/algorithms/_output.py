"""Files that consumers write: opening them, and saying so if they cannot be written."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ctapipe.core import Component, Provenance, ToolConfigurationError
from traitlets import TraitError

from .. import StepError


def open_output(step: Component, path: Path) -> TextIO:
    """Open the text file that a step writes its results to, replacing one that is there.

    Parameters
    ----------
    step : ctapipe.core.Component
        The step whose option ``filename`` gave the path.
    path : pathlib.Path
        The file to write.

    Returns
    -------
    typing.TextIO
        The file, empty and open for writing.

    Raises
    ------
    ctapipe.core.ToolConfigurationError
        If the file cannot be created, or is one that is read.
    """
    refuse_input(f"{type(step).__name__}.filename", path, f"--{type(step).__name__}.filename=FILE")
    try:
        output = open(path, "w", encoding="utf-8")  # noqa: SIM115 (the step closes it)
    except OSError as error:
        option = f"{type(step).__name__}.filename"
        raise ToolConfigurationError(
            f"{option}: cannot write '{path}' ({error.strerror});"
            f" give a file in a directory that you can write to, --{option}=FILE"
        ) from error
    Provenance().add_output_file(path, role=type(step).__name__, add_meta=False)
    return output


def refuse_input(option: str, path: Path, advice: str) -> None:
    """Make sure that an output is none of the files that were read.

    Parameters
    ----------
    option : str
        What gave the path.
    path : pathlib.Path
        The file to write.
    advice : str
        What would choose another output.

    Raises
    ------
    ctapipe.core.ToolConfigurationError
        If it is one.
    """
    activity = Provenance().current_activity
    for read in [] if activity is None else activity.input:
        with contextlib.suppress(OSError):
            if os.path.samefile(read["url"], path):
                raise ToolConfigurationError(
                    f"{option}: '{path}' is read by this run; write elsewhere, {advice}"
                )


@contextlib.contextmanager
def writing(step: Component, path: Path | None) -> Iterator[None]:
    """Let a step that cannot write its output say so in one line.

    Parameters
    ----------
    step : ctapipe.core.Component
        The step.
    path : pathlib.Path or None
        The text file, of its option ``filename``; None for standard output.

    Raises
    ------
    StepError
        If what is done meanwhile raises `OSError`.
    """
    try:
        yield
    except BrokenPipeError:
        # The reader of standard output has seen enough: no matter of the file.
        raise
    except OSError as error:
        where = "standard output" if path is None else f"'{path}'"
        raise cannot_write(step, where, error, f"--{type(step).__name__}.filename=FILE") from None


def cannot_write(step: Component, where: str, error: BaseException, option: str) -> StepError:
    """The one line that says that an output is not complete.

    Parameters
    ----------
    step : ctapipe.core.Component
        The step that writes it.
    where : str
        The output.
    error : BaseException
        What was raised, by Python or by HDF5.
    option : str
        What would choose another output.
    """
    return StepError(
        step.name,
        f"cannot write {where}: {_reason(error)}; what is there is incomplete; make room, or "
        f"write elsewhere, {option}",
    )


def describe_error(error: BaseException) -> str:
    """What was raised, in one line.

    Parameters
    ----------
    error : BaseException
        By Python, HDF5 or ctapipe.
    """
    if isinstance(error, ToolConfigurationError | TraitError):
        return " ".join(str(error).split())
    where = getattr(error, "filename", None)
    reason = f"{type(error).__name__}: {_reason(error)}".removesuffix(": ")
    return reason + (f": '{where}'" if where else "")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines() or [""]
    if not hasattr(error, "h5backtrace"):
        return lines[0].strip()
    # Of HDF5, whose own reasons end with what the system said.
    texts = [text for *_, text in error.h5backtrace or []]
    of_system = re.search("error message = '([^']+)'", " ".join(texts))
    return of_system[1] if of_system else lines[-1]
