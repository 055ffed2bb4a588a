"""How a file appears under its name only when it is complete."""

import contextlib
import glob
import os
from pathlib import Path
from typing import Any

import tables

TRIGGERS = "/dl1/event/subarray/trigger"
# What ctapipe writes at the end.
METADATA = "CTA PRODUCT ID"
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")


def part_of(path: Path, run_id: str = "") -> Path:
    """What a file is called while this process makes it: it has the same suffix.

    Parameters
    ----------
    path : pathlib.Path
        Its name when it is complete.
    run_id : str
        The run that makes it, if several processes do.
    """
    return path.with_name(f".{path.name}.{run_id}.{os.getpid()}.part{path.suffix}")


def remove_parts(path: Path, run_id: str = "") -> None:
    """Remove what other runs, and processes of this one that have ended, left of a file.

    Parameters
    ----------
    path : pathlib.Path
        Its name when it is complete.
    run_id : str
        This run.
    """
    pattern = f".{glob.escape(path.name)}.*.part{glob.escape(path.suffix)}"
    for part in path.parent.glob(pattern):
        run, pid, *_ = part.name.removeprefix(f".{path.name}.").split(".")
        is_of_this_run = run_id and run == run_id and pid.isdigit()
        if is_of_this_run and int(pid) != os.getpid() and _is_running(int(pid)):
            continue
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Another user's.
        pass
    return True


def publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give a complete file its name, once it is on the disk.

    Parameters
    ----------
    part : pathlib.Path
        What it is called now.
    path : pathlib.Path
        What it is to be called.
    overwrite : bool
        Whether it replaces one of that name.

    Raises
    ------
    FileExistsError
        If there is one, and it does not replace it.
    OSError
        If it cannot be written.
    """
    _sync(part)
    if overwrite:
        os.replace(part, path)
    else:
        try:
            # Fails if there is one, at whatever moment it came.
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:
            # Not every file system has links.
            if path.exists():
                raise FileExistsError(None, "it exists", str(path)) from None
            os.rename(part, path)
        else:
            part.unlink()
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def can_be_read(path: Path) -> bool:
    """Whether a file is what its name says: one of HDF5 can be opened, any other is not empty."""
    if path.suffix not in HDF5_SUFFIXES:
        return path.stat().st_size > 0
    try:
        with tables.open_file(path):
            return True
    except (tables.HDF5ExtError, OSError):
        return False


def has_metadata(path: Path) -> bool:
    """Whether a file of HDF5 has the metadata that ctapipe writes at the end."""
    with tables.open_file(path) as file:
        return METADATA in file.root._v_attrs


def n_events_in(path: Path) -> int | None:
    """How many events are in a file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    int or None
        None if that cannot be told.
    """
    try:
        with tables.open_file(path) as file:
            triggers: Any = file.get_node(TRIGGERS)
            return int(triggers.nrows)
    except (tables.HDF5ExtError, tables.NoSuchNodeError, AttributeError, OSError):
        return None
