"""A file that is compressed as its name says, and that is there when it is complete."""

import gzip
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, cast

__all__ = ["ENDINGS", "open_output"]

ENDINGS = (".simtel", ".simtel.gz", ".simtel.zst")


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name beside it, and rename it at the end.

    Parameters
    ----------
    path : pathlib.Path
        The file; one that is there is replaced.

    Yields
    ------
    file
        To write to; what is written is compressed.

    Raises
    ------
    ValueError
        If the name ends in something else than one of `ENDINGS`.
    OSError
        If it cannot be written.
    ModuleNotFoundError
        If it needs a package that is not there.
    """
    if not path.name.endswith(ENDINGS):
        raise ValueError(
            f"{path}: the name has to end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a directory")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no directory {path.parent}")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with ExitStack() as stack:
            file: BinaryIO = stack.enter_context(open(temporary, "xb"))
            if path.suffix == ".gz":
                # Neither name nor time, so that the same data are the same file.
                compressed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
                file = cast(BinaryIO, stack.enter_context(compressed))
            elif path.suffix == ".zst":
                compressor = _zstandard(path).ZstdCompressor()
                file = stack.enter_context(compressor.stream_writer(file, closefd=False))
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _zstandard(path: Path) -> ModuleType:
    try:
        return import_module("zstandard")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path}: needs the package zstandard, which comes with ctapipe[eventio]; "
            "or let the name end in .simtel.gz"
        ) from error
