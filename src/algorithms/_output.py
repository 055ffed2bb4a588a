"""Opening the files that consumers write."""

from pathlib import Path
from typing import TextIO

from ctapipe.core import Component, Provenance, ToolConfigurationError


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
        If the file cannot be created.
    """
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
