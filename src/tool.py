"""The command ``ctapipe-pipeline``."""

import errno
import gc
import importlib.metadata
import inspect
import json
import logging
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path as FilePath
from typing import Any, NoReturn

from ctapipe.core import Provenance
from ctapipe.core.traits import Bool, Path, Unicode, flag
from traitlets import Any as AnyValue
from traitlets import Enum, Float, Int, TraitError
from traitlets.config import Application, Config, Configurable
from traitlets.config.loader import ArgumentError

from .closed_output import ending_quietly
from .command_line import (
    files_and_executor,
    names_in,
    take_step_options,
    unknown_options,
    with_equals,
    without_value,
)
from .configuration.files import importable_from, read_configuration
from .configuration.options import options_from_elsewhere
from .configuration.reader import configured_classes, read_graph
from .configuration.step_keys import HIGHEST_LIMIT, MOST_WORKERS, SERIALIZATIONS
from .configuration.unchecked import pipeline_section, with_options_of_process
from .dry_run import Source, show_run
from .errors import ConfigurationError, RunError, StepError, describe
from .executors import DEFAULT_RETRIES, DEFAULT_SHARED_MEMORY_MB, EXECUTORS, ON_ERROR
from .instead_of_run import InsteadOfRun
from .processes.fork_server_client import ForkServerClient
from .progress.display import progress_of
from .run_files import check_files
from .running import DEFAULT_GUI_ADDRESS, execute, fork_server
from .start_up import raise_at_interrupts
from .summary import summarize, summary_table
from .trace import json_of_trace

__all__ = ["Pipeline", "main"]

HELP = ("-h", "--help", "--help-all")
NO_RUN = (*HELP, "--dry-run", "--graph", "--list-steps", "--quickstart", "--schema")
MANY_FILES = "for many files, one by one, --config=examples/many_files.yaml --input='PATTERN'"


class Pipeline(InsteadOfRun):
    """Run the steps of a configuration in parallel."""

    name = "ctapipe-pipeline"
    description = __doc__
    examples = inspect.cleandoc("""
    Run a pipeline:

        ctapipe-pipeline --config=pipeline.json

    Set an option of a step, by its class or by its own name:

        ctapipe-pipeline --config=pipeline.json --HessioReader.filename=events.simtel.zst

    See which options the steps of a configuration have:

        ctapipe-pipeline --config=pipeline.json --help-all

    Begin with a small project of your own:

        ctapipe-pipeline --quickstart=DIRECTORY

    Debug a step, in one thread:

        python -m pdb -m ctapipe.pipeline --config=pipeline.json --executor=sequential
    """)

    producer_conf = AnyValue(
        help="The step that starts it all: a dictionary with name, class, module, and next_steps."
    ).tag(config=True)
    stagers_conf = AnyValue(
        help="The stages, a list of at least one: dictionaries with name, class, module, and "
        "next_steps, nb_thread, queue_limit."
    ).tag(config=True)
    consumer_conf = AnyValue(
        help="The last step: a dictionary with name, class, module, and queue_limit."
    ).tag(config=True)
    executor = Enum(
        tuple(EXECUTORS),
        default_value="threads",
        help="How to run the steps: each worker in a thread, or all in one, for debugging.",
    ).tag(config=True)
    jobs = Int(
        default_value=None,
        allow_none=True,
        min=0,
        max=MOST_WORKERS,
        help="How many worker processes each stage has that does not say it: one that runs in "
        "processes, without nb_thread and nb_process, or with 'nb_process': 'auto'. 0: as many as "
        "there are cores that this process may use.",
    ).tag(config=True)
    serialization = Enum(
        SERIALIZATIONS,
        default_value="pickle",
        help="How messages are handed over: pickled, so that each receiver has its own; or not "
        "at all, so that it gets the very object, which its sender must not change any more. "
        "A step can have its own 'serialization', for what it sends.",
    ).tag(config=True)
    on_error = Enum(
        ON_ERROR,
        default_value="stop",
        help="What follows when a step fails with a message: the run ends; or the message is "
        "skipped, and the run goes on.",
    ).tag(config=True)
    max_errors = Int(
        default_value=None,
        allow_none=True,
        min=0,
        help="With on_error 'skip': how many messages may fail before the run ends all the same.",
    ).tag(config=True)
    retries = Int(
        default_value=DEFAULT_RETRIES,
        min=0,
        help="How many worker processes a message may have killed before it counts as failed.",
    ).tag(config=True)
    job_timeout = Float(
        default_value=None,
        allow_none=True,
        min=0.001,
        help="How long a job may take, seconds, before its message counts as failed. Its worker "
        "process is replaced; a thread cannot be ended, so that the run ends. A step can have "
        "its own 'job_timeout'.",
    ).tag(config=True)
    max_jobs_per_worker = Int(
        default_value=None,
        allow_none=True,
        min=1,
        max=HIGHEST_LIMIT,
        help="After how many jobs another worker process takes the place of one, for steps that "
        "take more and more memory. A stage can have its own 'max_jobs_per_worker'.",
    ).tag(config=True)
    shared_memory_mb = Int(
        default_value=DEFAULT_SHARED_MEMORY_MB,
        min=1,
        help="How much memory worker processes share for the arrays that are under way, MB. The "
        "producer waits while its half of it is full.",
    ).tag(config=True)
    gui_address = Unicode(
        DEFAULT_GUI_ADDRESS,
        help="host:port of the window that snapshots of the running pipeline go to, with or "
        "without tcp://; empty for none.",
    ).tag(config=True)
    gui_server_key = Unicode(
        help="The public key of a window that wants its pipelines to know it, or the file with "
        "it; snapshots are encrypted then.",
    ).tag(config=True)
    summary = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Write what each step has done to this JSON file; an old one only with --overwrite.",
    ).tag(config=True)
    dry_run = Bool(
        False,
        help="Check the configuration and the input, and say what would be run.",
    ).tag(config=True)
    progress_bar = Bool(
        True, help="Show how far the run is, on a terminal, but with the executor sequential."
    ).tag(config=True)
    failed = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Write the numbers of the events that did not make it to this JSON file: those that "
        "failed, and, if the run was interrupted or has failed, those that were not finished. An "
        "old one is replaced only with --overwrite.",
    ).tag(config=True)
    trace = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Write which worker worked on which event when, and when it was blocked, to this JSON "
        "file, for https://ui.perfetto.dev; of a long run the last million jobs. An old one is "
        "replaced only with --overwrite.",
    ).tag(config=True)
    only = Path(
        default_value=None,
        allow_none=True,
        exists=True,
        directory_ok=False,
        help="Work only on the events in this file, which another run has written (failed). The "
        "producer has to send the same events in the same order.",
    ).tag(config=True)

    aliases = {  # noqa: RUF012 (traitlets wants a plain dictionary)
        **InsteadOfRun.aliases,
        "executor": "Pipeline.executor",
        ("j", "jobs"): "Pipeline.jobs",
        "gui_address": "Pipeline.gui_address",
        "summary": "Pipeline.summary",
        "failed": "Pipeline.failed",
        "only": "Pipeline.only",
        "trace": "Pipeline.trace",
    }
    flags = {  # noqa: RUF012
        **InsteadOfRun.flags,
        "dry-run": (
            {"Pipeline": {"dry_run": True}},
            "Check the configuration and the input, and say what would be run.",
        ),
        **flag(
            "progress",
            "Pipeline.progress_bar",
            "Show how far the run is, on a terminal: the default.",
            "Do not show how far the run is.",
        ),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = importlib.metadata.version("ctapipe-pipeline")
        # What the options come from.
        self._sources: list[Source] = []
        self._fork_server: ForkServerClient | None = None
        # Why it ends has been said.
        self.log.addFilter(_is_no_exit)

    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the command line and the configuration files, and check them.

        Parameters
        ----------
        argv : list of str, optional
            The command line's arguments; those of this process, if not given.

        Raises
        ------
        ConfigurationError
            With every mistake that was found.
        """
        raise_at_interrupts()
        arguments = with_equals(sys.argv[1:] if argv is None else argv)
        files, executor = files_and_executor(arguments)
        self.enter_context(importable_from(files))
        config = Config()
        for path in files:
            self._sources.append(Source(path, read_configuration(path)))
            config.merge(self._sources[-1].config)
        executor = executor or pipeline_section(config).get("executor", "threads")
        if not any(argument.partition("=")[0] in NO_RUN for argument in arguments):
            self._fork_server = self.enter_context(fork_server(config, executor))
        for path in files:
            Provenance().add_input_file(path, role="Tool Configuration", add_meta=False)
        config = with_options_of_process(config)
        classes = configured_classes(config)
        for step_class in dict.fromkeys(classes.values()):
            if step_class is not None and issubclass(step_class, Configurable):
                self.classes.append(step_class)
                self._add_to_command_line(step_class)
        _, early = take_step_options(arguments, _by_both_names(classes))
        # What cannot be told, the check of the configuration says.
        for options in options_from_elsewhere(config, early, classes)[0]:
            self._add_to_command_line(options, but=self._known_options())

        others, step_options = take_step_options(arguments, classes)
        sections = [*classes, *(configurable.__name__ for configurable in self.classes)]
        errors = unknown_options(others, self._known_options(), sections)
        if not errors:
            errors += without_value(others, self.aliases, self.flags)
        if not errors or any(argument in HELP for argument in others):
            errors += self._parse(others)
        if not errors:
            self.answer_without_graph()
        command_line = Config(self.cli_config)
        command_line.merge(step_options)
        try:
            self.graph = read_graph(config, command_line)
        except ConfigurationError as error:
            raise ConfigurationError([*errors, *error.errors]) from None
        if errors:
            raise ConfigurationError(errors)
        self._sources.append(Source("command line", command_line))
        self.update_config(config)
        self.update_config(command_line)
        self._open_log()
        self.answer_with_graph(self.graph, self.executor)
        self._label = ", ".join(FilePath(path).name for path in files)
        self.log.info(
            "ctapipe %s, ctapipe.pipeline %s, configuration %s",
            self.version_string,
            self.version,
            self._label,
        )

    def setup(self) -> None:
        """Make the executor."""
        outputs = {"summary": self.summary, "failed": self.failed, "trace": self.trace}
        only = check_files(outputs, self.only, self.check_output)
        if self.dry_run:
            return
        self._executor = EXECUTORS[self.executor](
            self.graph,
            self.log,
            self.on_error,
            self.max_errors,
            self.retries,
            self.shared_memory_mb,
            self._fork_server,
            only,
        )
        # Else an interrupt before the run would leave its descriptors.
        self.enter_context(closing(self._executor))
        if self.trace is not None:
            self._executor.record_trace()

    def start(self) -> None:
        """Run the pipeline, and report; or say what would be run."""
        if self.dry_run:
            show_run(self.graph, self.log, self.executor, self._sources)
            return
        try:
            with self._progress():
                execute(self._executor, self.gui_address, self._label, self.gui_server_key)
        except ConfigurationError:
            raise
        except (StepError, RunError) as error:
            if isinstance(error.__cause__, BrokenPipeError):
                self.log.error("%s: what reads its output has ended", error)
            else:
                self.log.error("%s", describe(error))
            self._report()
            raise SystemExit(1) from error
        except BaseException:
            self._report()
            raise
        else:
            self._report()

    def finish(self) -> None:
        """Nothing is left to do: the steps' own ``finish`` was called when they ended."""

    def write_provenance(self) -> None:
        """Write what was read and written to the provenance log."""
        if self.dry_run:
            return
        try:
            super().write_provenance()
        except OSError as error:
            self._fail_to_write("--provenance-log", self.provenance_log, error)

    def print_help(self, classes: bool = False) -> None:
        """Write the help to the standard output."""
        with ending_quietly():
            super().print_help(classes)

    def get_current_config(self) -> dict[str, Any]:
        """The values of the pipeline's options, and the sections of its steps."""
        return {**self.config, **super().get_current_config()}

    def _progress(self) -> AbstractContextManager[None]:
        is_shown = self.progress_bar and not self.quiet
        return progress_of(self._executor, self._label) if is_shown else nullcontext()

    def _add_to_command_line(self, source: Any, but: Collection[str] = ()) -> None:
        self.classes += getattr(source, "classes", [])
        for names, option in getattr(source, "aliases", {}).items():
            free = tuple(name for name in _as_tuple(names) if name not in but)
            if free == _as_tuple(names):
                self.aliases[names] = option
            elif free:
                self.aliases |= dict.fromkeys(free, option)
        for name, (options, what) in getattr(source, "flags", {}).items():
            # A flag of this tool keeps its own meaning as well.
            own, _ = self.flags.get(name, ({}, ""))
            self.flags[name] = ({**own, **options}, what)

    def _parse(self, arguments: list[str]) -> list[str]:
        # Unwrapped, because the wrapper turns a wrong value into the exit code 1.
        parse = inspect.unwrap(Application.parse_command_line)
        try:
            parse(self, arguments)
        except TraitError:
            # A wrong value, that the check of all options reports.
            return []
        except ArgumentError as error:
            # Several values for what takes one.
            way = f"; {MANY_FILES}" if "EventSource.input_url" in str(error) else ""
            what = str(error).removeprefix("Error loading argument ")
            return [f"command line: {what}; give it once{way}"]
        self._open_log()
        return [
            f"command line: unexpected argument {argument!r} "
            "(a configuration is given with --config=FILE; a pattern of file names needs quotes)"
            for argument in self.extra_args
        ]

    def _open_log(self) -> None:
        path: Any = self.log_file
        reason = ""
        if self.dry_run and path is not None:
            self.set_trait("log_file", None)
            reason = "" if path.parent.is_dir() else os.strerror(errno.ENOENT)
        try:
            self.update_logging_config()
        except ValueError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            reason = error.__cause__.strerror or ""
        if reason:
            raise ConfigurationError(
                [
                    f"Tool.log_file: cannot write '{path}': {reason}; "
                    "give another file, --log-file=FILE"
                ]
            )

    def _known_options(self) -> list[str]:
        return ["h", "help", "help-all", "V", "version", *names_in([*self.aliases, *self.flags])]

    def _report(self) -> None:
        summary = summarize(self._executor)
        self.log.info("%s", summary_table(summary))
        # First, because it can be told from nothing else.
        if self.failed is not None:
            text = self._executor.remaining().to_json()
            self._write("failed", self.failed, text, role="Failed Events")
        if self.summary is not None:
            text = json.dumps(summary, indent=2)
            self._write("summary", self.summary, text, role="Pipeline Summary")
        if self.trace is not None:
            text = json_of_trace(*self._executor.trace())
            self._write("trace", self.trace, text, role="Pipeline Trace")

    def _write(self, option: str, path: FilePath, text: str, role: str) -> None:
        try:
            path.write_text(text + "\n")
        except OSError as error:
            self._fail_to_write(f"--{option}", path, error)
        Provenance().add_output_file(path, role=role, add_meta=False)

    def _fail_to_write(self, option: str, path: FilePath, error: OSError) -> NoReturn:
        self.log.error(
            "cannot write '%s': %s; make room, or write elsewhere, %s=FILE",
            path,
            error.strerror,
            option,
        )
        raise SystemExit(1) from error


def _is_no_exit(record: logging.LogRecord) -> bool:
    """Whether it is anything but what a `Tool` says whenever it exits."""
    return not str(record.msg).startswith("Caught SystemExit")


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _by_both_names(classes: Mapping[str, type | None]) -> dict[str, type | None]:
    """The class of each step, by the step's name and by its own."""
    return {found.__name__: found for found in classes.values() if found} | {**classes}


def main() -> None:
    """Run the command."""
    try:
        Pipeline().run()
    except KeyboardInterrupt:
        # Before or after a `Tool` handles it.
        print("ctapipe-pipeline: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        # Else Python looks through all that was imported before it exits, for half a second.
        gc.freeze()
