"""The files that a run writes besides what its steps do: may they be written?"""

from collections.abc import Callable, Mapping
from pathlib import Path

from ctapipe.core import ToolConfigurationError

from .errors import ConfigurationError
from .event_selection import ALL_EVENTS, EventSelection

__all__ = ["check_files"]


def check_files(
    outputs: Mapping[str, Path | None], only: Path | None, check_output: Callable[[Path], None]
) -> EventSelection:
    """See that they can be written, and read which events are wanted.

    Parameters
    ----------
    outputs : mapping of str to pathlib.Path
        By the option that names it.
    only : pathlib.Path, optional
        The file that says which events.
    check_output : callable
        `ctapipe.core.Tool.check_output`.

    Raises
    ------
    ConfigurationError
        With every mistake that was found.
    """
    errors: list[str] = []
    selection = ALL_EVENTS
    users: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        if path in users:
            errors.append(f"Pipeline.{users[path]} and Pipeline.{option} are one file, '{path}'")
        users[path] = option
        if not path.parent.is_dir():
            errors.append(f"Pipeline.{option}: there is no directory {str(path.parent)!r}")
            continue
        try:
            check_output(path)
        except ToolConfigurationError as error:
            errors.append(f"Pipeline.{option}: {error}")
    if only is not None:
        try:
            selection = EventSelection.read(only)
        except ConfigurationError as error:
            errors += error.errors
    if errors:
        raise ConfigurationError(errors)
    return selection
