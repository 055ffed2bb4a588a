"""A table of what became of each of many files."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from ctapipe.core import Component, Provenance, ToolConfigurationError
from ctapipe.core.traits import Path as PathTrait

from .. import StepError
from ._files import FileResult
from ._output import writing
from ._whole_file import part_of, publish, remove_parts

COLUMNS = (
    *("input", "output", "state", "events", "seconds", "peak_memory"),
    *("warnings", "last_warnings", "error"),
)
HEADER = f"""\
# %ECSV 1.0
# ---
# datatype:
# - {{name: input, datatype: string}}
# - {{name: output, datatype: string}}
# - {{name: state, datatype: string}}
# - {{name: events, datatype: int64}}
# - {{name: seconds, unit: s, datatype: float64}}
# - {{name: peak_memory, unit: MB, datatype: float64}}
# - {{name: warnings, datatype: int64}}
# - {{name: last_warnings, datatype: string}}
# - {{name: error, datatype: string}}
# delimiter: ','
# schema: astropy-2.0
{",".join(COLUMNS)}
"""
INPUT = COLUMNS.index("input")
STATE = COLUMNS.index("state")
ERROR = COLUMNS.index("error")
COMPLETE = ("done", "skipped")
NO_RESULT = (
    "no result came: the run ended before, or the worker process died; its reason is in the log"
)

Row = tuple[str, ...]


class FileReporter(Component):
    """Consumer that writes a table of files, with a row for each `FileResult`.

    The table is in the format ECSV; `astropy.table.Table.read` reads it. Its columns are
    ``input``, ``output``, ``state`` (``done``, ``skipped``, ``failed``, or ``missing``: there
    was no result), ``events`` (masked if unknown), ``seconds``, ``peak_memory`` (MB),
    ``warnings`` (their number), ``last_warnings`` (the last that differ) and ``error``; both
    are masked if there is none. A file that is cut off is ``done`` for ctapipe, with a warning.

    A row is in the file as soon as its result has come. In the end rows are in the order of
    the input files, and those without a result have one, too.

    With the report of an earlier run the rows of that are kept, but for files that are worked
    on again. A file that is skipped keeps its row. Where a run was killed that made a
    complete file once more, this can have two rows: the last one holds.

    A result that has failed is an error of this step, after its row was written.
    """

    filename = PathTrait(
        default_value="report.ecsv",
        directory_ok=False,
        help="The table of the files. The rows that an earlier run has written there are kept.",
    ).tag(config=True)

    aliases: ClassVar[dict[Any, str]] = {"report": "FileReporter.filename"}

    _descriptor: int | None = None

    def init(self) -> None:
        """Read the report of an earlier run, and begin the new one.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If the file is something else, or cannot be written.
        """
        try:
            self._rows = _read(self.filename)
            remove_parts(self.filename)
            self._write_all(self._rows.values())
        except OSError as error:
            raise ToolConfigurationError(
                f"FileReporter.filename: cannot write '{self.filename}' ({error.strerror});"
                " give a file in a directory that you can write to, --report=FILE"
            ) from error
        Provenance().add_output_file(self.filename, role=type(self).__name__, add_meta=False)
        self._counts: Counter[str] = Counter()
        self._seen: set[str] = set()

    def run(self, result: FileResult) -> None:
        """Write the row of a file.

        Parameters
        ----------
        result : FileResult
            What became of it.

        Raises
        ------
        StepError
            If the file has failed, or the row cannot be written.
        """
        with writing(self, self.filename):
            if not self._seen:
                self._forget_incomplete()
            row = _row_of(result)
            self._add(row)
        if result.state == "failed":
            raise StepError(self.name, f"{row[INPUT]}: {row[ERROR]}")

    def finish(self) -> None:
        """Write the rows in order, with those of files without a result.

        Raises
        ------
        StepError
            If they cannot be written.
        """
        if self._descriptor is None:
            return
        with writing(self, self.filename):
            files = self._files()
            for file in files:
                if file not in self._rows:
                    self._counts["missing"] += 1
                    self._rows[file] = (file, "", "missing", *[""] * 5, NO_RESULT)
            of_this_run = {file: self._rows.pop(file) for file in files}
            self._rows |= of_this_run
            self._write_all(self._rows.values())
            os.close(self._descriptor)
        self._descriptor = None
        counts = self._counts
        self.log.info(
            "%d done, %d skipped, %d failed, %d without a result: see %s",
            *(counts[state] for state in ("done", "skipped", "failed", "missing")),
            self.filename,
        )

    def _files(self) -> list[str]:
        """The files of this run, if its producer says so; each once."""
        return [*dict.fromkeys(map(_text, self.parent.shared.get("files", [])))]

    def _forget_incomplete(self) -> None:
        """Remove the rows of what is worked on again."""
        again = [
            file
            for file in self._files()
            if file in self._rows and self._rows[file][STATE] not in COMPLETE
        ]
        for file in again:
            del self._rows[file]
        if again:
            self._write_all(self._rows.values())

    def _add(self, row: Row) -> None:
        file, state = row[INPUT], row[STATE]
        self._counts[state] += 1
        self._seen.add(file)
        known = self._rows.get(file)
        if state == "skipped" and known is not None and known[STATE] in COMPLETE:
            return
        self._rows[file] = row
        _write(self._descriptor, _line(row))

    def _write_all(self, rows: Iterable[Row]) -> None:
        """Replace the file, at once."""
        part = part_of(self.filename)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
        try:
            _write(descriptor, HEADER.encode() + b"".join(map(_line, rows)))
            publish(part, self.filename, overwrite=True)
        except BaseException:
            os.close(descriptor)
            part.unlink(missing_ok=True)
            raise
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = descriptor


def _read(path: Path) -> dict[str, Row]:
    """The rows of a report, by input; none if there is no report.

    Raises
    ------
    ctapipe.core.ToolConfigurationError
        If the file is something else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    if not content.startswith(HEADER.encode()):
        raise ToolConfigurationError(
            f"FileReporter.filename: '{path}' exists and is no report of files; give another name, "
            "--report=FILE, or remove it"
        )
    # What comes after the last end of a line was being written when the run was killed.
    text = content[: content.rindex(b"\n") + 1].decode("utf-8", "backslashreplace")
    rows = csv.reader(io.StringIO(text.removeprefix(HEADER), newline=""))
    return {row[INPUT]: tuple(row) for row in rows if len(row) == len(COLUMNS)}


def _row_of(result: FileResult) -> Row:
    return (
        _text(result.input),
        _text(result.output),
        result.state,
        "" if result.n_events is None else str(result.n_events),
        f"{result.seconds:.3f}",
        f"{result.peak_memory_mb:.1f}",
        str(result.n_warnings),
        _text(" ".join(result.last_warnings.split())),
        _text(" ".join(result.error.split())),
    )


def _text(text: str) -> str:
    """What can stand in a line of UTF-8; names of files can be anything."""
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text.encode("utf-8", "backslashreplace").decode()


def _line(row: Row) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue().encode()


def _write(descriptor: int | None, content: bytes) -> None:
    """Write all of it: on a disk that is almost full the system may write a part."""
    assert descriptor is not None
    while content:
        content = content[os.write(descriptor, content) :]
