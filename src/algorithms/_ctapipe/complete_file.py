"""Whether all that was written to an HDF5 file is in it.

PyTables does not ask HDF5 whether a flush or a close has failed: what HDF5 still has in memory when
the disk is full is lost in silence. But to say where a chunk is, HDF5 writes it first; and what it
says of a file while it is open has to be what is found in it later.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tables


class IncompleteFileError(OSError):
    """Something that was written is not in the file."""


def close_completely(file: tables.File, close: Callable[[], None]) -> None:
    """Close a file, and see that all that was written is in it.

    Parameters
    ----------
    file : tables.File
        The file, open for writing.
    close : callable
        Closes it where else it is open for writing.

    Raises
    ------
    tables.HDF5ExtError, OSError
        If something is not in it.
    """
    path = file.filename
    with file, tables.open_file(path, "a") as again:
        # HDF5 keeps the chunks of what is open somewhere.
        nodes = list(again.walk_nodes())
        close()
        written = _contents(path, "a")
        del nodes
    if _contents(path, "r") != written:
        raise IncompleteFileError(None, "not all that was written can be read")


@contextlib.contextmanager
def collect_losses() -> Iterator[list[Exception]]:
    """See that all that others write in this thread meanwhile is in their files.

    Yields
    ------
    list of Exception
        What was found when a file was closed where it was open for the last time.
    """
    # It is said once, and not by HDF5, which else does so in every thread but that of the import.
    tables.silence_hdf5_messages()
    found: list[Exception] = []
    written: set[tables.File] = set()
    thread = threading.get_ident()
    looking = False
    # Who writes these files is not known; that they are closed there is no other place to see.
    init: Any = tables.File.__init__
    close = tables.File.close

    def init_and_remember(
        self: tables.File, filename: str, mode: str = "r", *args: Any, **kwargs: Any
    ) -> None:
        init(self, filename, mode, *args, **kwargs)
        if mode != "r" and not looking and threading.get_ident() == thread:
            written.add(self)

    def close_and_look(self: tables.File) -> None:
        nonlocal looking
        is_last = self in written and not any(
            other.filename == self.filename for other in written - {self}
        )
        written.discard(self)
        if not is_last or not self.isopen:
            close(self)
            return
        looking = True
        try:
            close_completely(self, lambda: close(self))
        except Exception as error:
            found.append(error)
        finally:
            looking = False

    tables.File.__init__, tables.File.close = init_and_remember, close_and_look
    try:
        yield found
    finally:
        tables.File.__init__, tables.File.close = init, close


def _contents(path: str, mode: str) -> dict[str, tuple[object, ...]]:
    """The attributes of each node, and where its first chunk is."""
    contents: dict[str, tuple[object, ...]] = {}
    with tables.open_file(path, mode) as file:
        for node in file.walk_nodes():
            chunk = None
            if isinstance(node, tables.Leaf) and node.chunkshape is not None and all(node.shape):
                chunk = node.chunk_info((0,) * len(node.shape))
            contents[node._v_pathname] = (sorted(node._v_attrs._v_attrnames), chunk)
    return contents
