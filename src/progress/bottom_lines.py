"""Lines at the bottom of a terminal, below everything else that is written to it."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Self, TextIO

from rich.text import Text

__all__ = ["BottomLines", "size_of"]

UP = "\x1b[{}A"
ERASE_BELOW = "\x1b[J"


def size_of(terminal: TextIO) -> tuple[int, int]:
    """How many columns and lines a terminal has; 80 and 25, if it does not say."""
    columns, lines = os.get_terminal_size(terminal.fileno())
    return columns or 80, lines or 25


class BottomLines:
    """Keeps lines at the bottom of a terminal while it is entered.

    What Python code writes to it meanwhile, by `sys.stderr`, by `sys.stdout` if that is the same
    terminal, or by a handler of a log, comes above them, line by line. The cursor stays visible,
    so that nothing has to be put right if this process is killed.

    Parameters
    ----------
    terminal : typing.TextIO
        The terminal.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._lock = threading.RLock()
        self._shown: Sequence[str] = ()
        self._is_ended = False
        self._is_writing = False
        self._interjected = ""

    def __enter__(self) -> Self:
        self._redirected = contextlib.ExitStack()
        for name in ("stderr", "stdout"):
            stream = getattr(sys, name)
            if _is_same(stream, self._terminal):
                stream.flush()
                above = _Above(stream, self)
                self._redirected.enter_context(_redirected(name, stream, above))
                self._redirected.callback(above.end)
        return self

    def __exit__(self, *_: object) -> None:
        with self._redirected, contextlib.suppress(OSError):
            # Of a terminal that is gone nothing is to be said.
            self.show(())
            self._is_ended = True

    def show(self, lines: Sequence[str]) -> None:
        """Show other lines.

        Parameters
        ----------
        lines : sequence of str
            As many as there is room for, none wider than the terminal.
        """
        # A second Ctrl-C does not wait for the thread that draws.
        if not self._is_ended:
            self._write("", lines)

    def write_above(self, text: str) -> None:
        """Write whole lines above them."""
        self._write(text, None)

    def _write(self, above: str, lines: Sequence[str] | None) -> None:
        with self._lock:
            if self._is_writing:
                # A signal's handler, in the middle of this.
                self._interjected += above
                return
            self._is_writing = True
            try:
                before = self._shown
                self._shown = before if lines is None else lines
                erase = ""
                if before:
                    n_up = self._height_of(before) - 1
                    erase = f"\r{UP.format(n_up) if n_up else ''}{ERASE_BELOW}"
                self._terminal.write(erase + above + "\n".join(self._shown))
                self._terminal.flush()
            finally:
                self._is_writing = False
            interjected, self._interjected = self._interjected, ""
            if interjected:
                self._write(interjected, None)

    def _height_of(self, lines: Sequence[str]) -> int:
        """On how many rows they are, also if the terminal has become narrower."""
        columns = size_of(self._terminal)[0]
        widths = (Text.from_ansi(line).cell_len for line in lines)
        return sum(max(1, -(-width // columns)) for width in widths)


class _Above:
    """A stream whose lines come above the others; other than that, the stream itself."""

    def __init__(self, stream: TextIO, lines: BottomLines) -> None:
        self._stream = stream
        self._lines = lines
        self._lock = threading.RLock()
        self._begun = ""
        self._is_ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text; what follows its last line end waits for the rest of its line."""
        if self._is_ended:
            return self._stream.write(text)
        with self._lock:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                self._lines.write_above(whole + end)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def end(self) -> None:
        """Write to the stream itself from now on."""
        with self._lock, contextlib.suppress(OSError):
            self._is_ended = True
            self._stream.write(self._begun)


def _is_same(stream: TextIO | None, terminal: TextIO) -> bool:
    if stream is terminal:
        return True
    try:
        return stream is not None and os.path.sameopenfile(stream.fileno(), terminal.fileno())
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def _redirected(name: str, stream: TextIO, above: Any) -> Iterator[None]:
    """Let what writes to a stream write to another one."""
    handlers = [handler for handler in _stream_handlers() if handler.stream is stream]
    for handler in handlers:
        handler.setStream(above)
    setattr(sys, name, above)
    try:
        yield
    finally:
        if getattr(sys, name) is above:
            setattr(sys, name, stream)
        for handler in handlers:
            if handler.stream is above:
                handler.setStream(stream)


def _stream_handlers() -> Iterator[logging.StreamHandler]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.copy().values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler):
                yield handler
