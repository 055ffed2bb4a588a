"""A producer of the names of files."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from ctapipe.core import Component, Provenance, ToolConfigurationError
from ctapipe.core.traits import List, Unicode

MOST_TO_NAME = 3
EXAMPLE = "--input=FILE, --input='run*.simtel.zst', --input=DIRECTORY or --input=@LIST"


class FileFinder(Component):
    """Producer of the paths of files, in natural order (``run2`` before ``run10``), each once.

    All of them are in ``parent.shared["files"]``, a list, for the other steps of the main process.
    """

    aliases: ClassVar[dict[Any, str]] = {("i", "input"): "FileFinder.patterns"}

    patterns = List(
        Unicode(),
        help="The files: names; patterns with *, ? and [], and ** for directories in directories; "
        "directories, for the files in them, but for those whose names begin with a dot; @FILE, "
        "for what is in that list, in a line each; - for such a list on standard input. Names in "
        "a list are relative to the current directory; lines that are empty or begin with # are "
        "no names",
    ).tag(config=True)

    def init(self) -> None:
        """Find the files.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If one is not there, a pattern matches none, or none is given.
        """
        if not self.patterns:
            raise ToolConfigurationError(f"FileFinder.patterns is not set; give files, {EXAMPLE}")
        found: list[str] = []
        missing: list[str] = []
        for pattern in dict.fromkeys(self.patterns):
            if pattern == "-" or pattern.startswith("@"):
                names = _names_in_list(pattern)
            else:
                names = iter([(pattern, "")])
            for name, where in names:
                files = _files_of(name)
                found += sorted(files, key=_natural_order)
                if not files:
                    missing.append(f"{where}{_why_none(name)}")
        if missing:
            more = len(missing) - MOST_TO_NAME
            rest = f"; and {more} more" if more > 0 else ""
            raise ToolConfigurationError(
                f"FileFinder.patterns: {'; '.join(missing[:MOST_TO_NAME])}{rest}"
            )
        once: dict[str, str] = {}
        for path in found:
            once.setdefault(os.path.realpath(path), path)
        self._files = sorted(once.values(), key=_natural_order)
        self.parent.shared["files"] = list(self._files)
        self.log.info("%d files", len(self._files))

    @property
    def n_messages(self) -> int:
        """How many files there are."""
        return len(self._files)

    def run(self) -> Iterator[str]:
        """Yield the paths.

        Yields
        ------
        str
            A path, as it was given or found.
        """
        yield from self._files


def _files_of(name: str) -> list[str]:
    """The files that a name or a pattern stands for."""
    name = os.path.expanduser(name)
    if os.path.isdir(name):
        try:
            with os.scandir(name) as entries:
                return [
                    entry.path
                    for entry in entries
                    if entry.is_file() and not entry.name.startswith(".")
                ]
        except OSError as error:
            raise ToolConfigurationError(
                f"FileFinder.patterns: the directory {name!r} cannot be read ({error.strerror})"
            ) from error
    if os.path.exists(name):
        return [name]
    if "\0" in name:
        return []
    return [path for path in glob.iglob(name, recursive=True) if os.path.isfile(path)]


def _why_none(name: str) -> str:
    name = os.path.expanduser(name)
    if os.path.isdir(name):
        return f"there is no file in the directory {name!r}"
    if name != glob.escape(name):
        return f"no file matches {name!r}"
    return f"there is no file {name!r}"


def _names_in_list(pattern: str) -> Iterator[tuple[str, str]]:
    """The names in a list, and what to say of each if there is no such file."""
    if pattern == "-":
        yield from _names_in_lines(sys.stdin.buffer, "standard input")
        return
    path = os.path.expanduser(pattern.removeprefix("@"))
    try:
        with open(path, "rb") as lines:
            yield from _names_in_lines(lines, repr(path))
    except OSError as error:
        raise ToolConfigurationError(
            f"FileFinder.patterns: the list {path!r} cannot be read ({error.strerror})"
        ) from error
    Provenance().add_input_file(path, role="List of Input Files", add_meta=False)


def _names_in_lines(lines: Iterable[bytes], where: str) -> Iterator[tuple[str, str]]:
    is_empty = True
    for number, line in enumerate(lines, start=1):
        # A name may have any bytes, and such a one can be opened all the same.
        name = os.fsdecode(line).strip()
        if "\0" in name:
            raise ToolConfigurationError(
                f"FileFinder.patterns: {where} is no list of names; give a file itself without @"
            )
        if name and not name.startswith("#"):
            is_empty = False
            yield name, f"{where}, line {number}: "
    if is_empty:
        raise ToolConfigurationError(f"FileFinder.patterns: there is no name in {where}")


def _natural_order(path: str) -> list[list[str | tuple[int, str]]]:
    """Part by part, with numbers in the order of their values."""
    order: list[list[str | tuple[int, str]]] = []
    for part in Path(path).parts:
        texts = re.split("([0-9]+)", part)
        # Every second one is a number, which may have more digits than Python makes an int of.
        order.append(
            [
                (len(text.lstrip("0")), text.lstrip("0")) if i % 2 else text
                for i, text in enumerate(texts)
            ]
        )
    return order
