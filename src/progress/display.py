"""When a run is drawn on the terminal, and how often."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

from ..executors import Executor
from ..status.publisher import take_snapshot
from ..status.recent import Recent
from ..workers.worker_thread import start_thread

__all__ = ["progress_of"]

# To draw forty steps takes a hundredth of a second, which nothing else runs in meanwhile.
PAUSE_S = 0.5


def progress_of(executor: Executor, configuration: str) -> AbstractContextManager[None]:
    """Show how far a run is while entered, and leave the table of its steps.

    Only if `sys.stderr` is a terminal, and not what runs ``sequential``: a debugger needs the
    terminal for itself.

    Parameters
    ----------
    executor : Executor
        What runs.
    configuration : str
        The name of the configuration.
    """
    terminal = sys.stderr
    if executor.name == "sequential" or not _can_show(terminal):
        return nullcontext()
    return _shown(executor, configuration, terminal)


def _can_show(terminal: TextIO | None) -> bool:
    try:
        is_terminal = terminal is not None and terminal.isatty() and terminal.fileno() >= 0
    except (OSError, ValueError):
        return False
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def _shown(executor: Executor, configuration: str, terminal: TextIO) -> Iterator[None]:
    # Only where something is drawn: to import it takes a fifth of a second.
    from .bottom_lines import BottomLines
    from .drawing import Drawing

    drawing = Drawing(terminal)
    recent = Recent(take_snapshot(executor, "", configuration))
    ended = threading.Event()
    harmless = _harmless(executor.log)

    @harmless
    def draw() -> None:
        while not ended.wait(PAUSE_S):
            snapshot = take_snapshot(executor, "", configuration)
            recent.add(snapshot)
            if _is_in_foreground(terminal):
                lines.show(drawing.fitting(snapshot, recent, executor.n_expected()))

    @harmless
    def leave_table() -> None:
        snapshot = take_snapshot(executor, "", configuration)
        recent.add(snapshot)
        terminal.write("\n".join(drawing.complete(snapshot, recent)) + "\n")
        terminal.flush()

    thread = threading.Thread(target=draw, name="progress", daemon=True)
    try:
        with BottomLines(terminal) as lines:
            start_thread(thread)
            try:
                yield
            finally:
                ended.set()
                thread.join()
    finally:
        leave_table()


def _harmless(log: logging.Logger) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Decorates what a run does not end of if it fails, as when the terminal is gone."""

    def decorate(function: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            try:
                function()
            except Exception:
                log.debug("the progress cannot be shown", exc_info=True)

        return call

    return decorate


def _is_in_foreground(terminal: TextIO) -> bool:
    """Whether the terminal shows this process, and not a shell that has it in the background."""
    try:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        # It is not the terminal that this process was started from.
        return True
