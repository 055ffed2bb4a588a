"""How a tool is run in a process where others have run before, and others will.

A tool takes it that the process is its own: it configures the logs of all, adds to the provenance
that there is one of, goes on with random numbers where the last one has ended, and exits.
"""

import collections
import contextlib
import functools
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TextIO

from ctapipe.core import Provenance, Tool
from traitlets.config import Config

from ._ctapipe import random_numbers
from ._ctapipe.complete_file import collect_losses
from ._output import describe_error

LOG_FORMAT = "%(asctime)s %(levelname)s [%(name)s] (%(module)s.%(funcName)s): %(message)s"

MOST_WARNINGS = 5

# Logs, provenance and random numbers are the process's.
_one_at_a_time = threading.Lock()


class ToolRun(NamedTuple):
    """What came of running a tool.

    Parameters
    ----------
    error : str
        Why it failed, in one line; empty if it did not.
    logged_errors : list of str
        The errors that it logged.
    n_warnings : int
        How many warnings it gave, in its log or Python's.
    last_warnings : str
        The last of these that differ, in one line.
    provenance : str
        Its provenance, as JSON.
    """

    error: str
    logged_errors: list[str]
    n_warnings: int
    last_warnings: str
    provenance: str


def run_tool(tool_class: Any, config: Config, arguments: Sequence[str], log: TextIO) -> ToolRun:
    """Run a tool, with a log and a provenance of its own.

    Parameters
    ----------
    tool_class : type
        Its class.
    config : traitlets.config.Config
        Its options, as if they came from a configuration file.
    arguments : sequence of str
        Its command line.
    log : typing.TextIO
        Where its log goes.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    """
    handler = _LogHandler(log)
    error = ""
    with _one_at_a_time, _OwnProvenance() as provenance, contextlib.ExitStack() as stack:
        try:
            tool = _guest(tool_class)(config=config)
            stack.callback(tool.log.removeHandler, tool.trait_warning_handler)
            stack.enter_context(_logging_to(handler, tool))
            random_numbers.begin_again()
            with _warnings_to(handler), collect_losses() as losses:
                _run(tool, arguments)
            if losses:
                raise losses[0]
        except (Exception, SystemExit) as failure:
            error = _why(failure, handler)
            handler.add_failure(failure)
            provenance.end(failure.code if isinstance(failure, SystemExit) else 1)
        return ToolRun(
            error,
            handler.errors,
            handler.n_warnings,
            "; ".join(handler.last_warnings),
            provenance.json(),
        )


def _run(tool: Tool, arguments: Sequence[str]) -> None:
    """Run it, and raise what it failed with."""
    try:
        tool.run(argv=list(arguments), raises=True)
    except SystemExit as end:
        if end.code == 130:
            raise KeyboardInterrupt from None
        if end.code not in (0, None):
            raise


@functools.cache
def _guest(tool_class: Any) -> Any:
    """A tool that leaves to its host what there is one of in a process."""

    def update_logging_config(self: Any) -> None:
        self.log.addHandler(self.trait_warning_handler)

    def write_provenance(self: Any) -> None:
        pass

    # Of the same name, because its options stand in the section of that name.
    return type(
        tool_class.__name__,
        (tool_class,),
        {
            "__module__": tool_class.__module__,
            "__doc__": tool_class.__doc__,
            "update_logging_config": update_logging_config,
            "write_provenance": write_provenance,
        },
    )


class _OwnProvenance:
    """The provenance without what others have done; theirs goes on afterwards."""

    def __enter__(self) -> "_OwnProvenance":
        self._all = Provenance()
        self._n_active = len(self._all.active_activity_names)
        self._others = list(self._all.finished_activities)
        self._all.finished_activities.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(1)
        self._all.finished_activities[:] = self._others

    def end(self, exit_code: Any) -> None:
        """End what has failed."""
        while len(self._all.active_activity_names) > self._n_active:
            self._all.finish_activity(status="error", exit_code=exit_code)

    def json(self) -> str:
        """What has ended."""
        return self._all.as_json(indent=3)


class _LogHandler(logging.StreamHandler):
    """Writes a log, and keeps what is to be known of it."""

    def __init__(self, log: TextIO) -> None:
        super().__init__(log)
        self.setFormatter(logging.Formatter(LOG_FORMAT))
        self.n_warnings = 0
        self.last_warnings: collections.deque[str] = collections.deque(maxlen=MOST_WARNINGS)
        self.errors: list[str] = []
        self._shown: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.errors.append(_in_one_line(record))
            self._shown += (record.exc_info or ())[1:2]
        elif record.levelno >= logging.WARNING:
            self.n_warnings += 1
            if _in_one_line(record) not in self.last_warnings:
                self.last_warnings.append(_in_one_line(record))
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without: on a full disk there is no room for its log, either."""

    def add_failure(self, failure: BaseException) -> None:
        """Write how it failed, unless the tool has done so."""
        if failure not in self._shown:
            self.handle(
                logging.LogRecord(
                    __name__, logging.ERROR, __file__, 0, "Failed", None, _exc_info(failure)
                )
            )


def _in_one_line(record: logging.LogRecord) -> str:
    return " ".join(record.getMessage().split())


def _exc_info(error: BaseException) -> Any:
    return type(error), error, error.__traceback__


@contextlib.contextmanager
def _logging_to(handler: logging.Handler, tool: Tool) -> Iterator[None]:
    """Let what a tool, and ctapipe, log meanwhile go to one handler."""
    thread = threading.get_ident()

    def is_of_tool(record: logging.LogRecord) -> bool:
        return record.thread == thread

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    handler.setLevel(tool.log_file_level)
    handler.addFilter(is_of_tool)
    loggers = [logging.getLogger(name) for name in dict.fromkeys([tool.module_name, "ctapipe"])]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    # The pipeline may be in this process, and log to these, too.
    of_others = {other for logger in loggers for other in logger.handlers}
    for other in of_others:
        other.addFilter(is_of_others)
    for logger in loggers:
        logger.addHandler(handler)
        # To those that show what the pipeline says, it does not go.
        logger.propagate = False
        logger.setLevel(handler.level)
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)
        for other in of_others:
            other.removeFilter(is_of_others)


@contextlib.contextmanager
def _warnings_to(handler: logging.Handler) -> Iterator[None]:
    """Let Python's warnings go there, too: a file that is cut off may be said by one only."""
    thread = threading.get_ident()
    show_others: Any = warnings.showwarning

    def show(
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if threading.get_ident() != thread:
            show_others(message, category, filename, lineno, file, line)
            return
        level, name = logging.WARNING, category.__name__
        handler.handle(logging.LogRecord(name, level, filename, lineno, str(message), None, None))

    # Those that were given for another file are given again.
    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        finally:
            warnings.showwarning = show_others


def _why(failure: BaseException, handler: _LogHandler) -> str:
    """The reason in one line."""
    if isinstance(failure, SystemExit):
        if isinstance(failure.code, str):
            return " ".join(failure.code.split())
        # The last that was logged is that it has exited.
        reason = next(iter(handler.errors[-2::-1]), "")
        return f"exit code {failure.code}" + (f": {reason}" if reason else "")
    return describe_error(failure)
