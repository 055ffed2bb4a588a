"""Write a project that runs at once, for a user to change."""

import importlib.resources
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["write_project"]


def write_project(directory: Path, overwrite: bool = False) -> None:
    """Write a project into a directory, which is made if need be.

    Parameters
    ----------
    directory : pathlib.Path
        Where.
    overwrite : bool
        Whether to replace files of the same names.

    Raises
    ------
    ConfigurationError
        If there are such files, or the directory cannot be written to.
    """
    # Their last ending keeps them from being taken for a part of the package.
    files = {
        file.name.removesuffix(".txt"): file.read_text(encoding="utf-8")
        for file in importlib.resources.files(__package__).joinpath("project-files").iterdir()
    }
    names = sorted(files)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        there = [name for name in names if (directory / name).exists()]
        if there and not overwrite:
            raise ConfigurationError(
                [
                    f"--quickstart: there is {', '.join(there)} in {str(directory)!r}; give "
                    "another directory, or --overwrite"
                ]
            )
        for name in names:
            (directory / name).write_text(files[name], encoding="utf-8")
    except OSError as error:
        path = error.filename or str(directory)
        raise ConfigurationError(
            [f"--quickstart: cannot write {path!r}: {error.strerror}; give another directory"]
        ) from None
