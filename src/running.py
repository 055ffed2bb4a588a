"""Run a pipeline, from Python."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from traitlets.config import Config

from .configuration.files import config_of, importable_from, read_configuration
from .configuration.reader import read_graph
from .configuration.suggestions import did_you_mean
from .configuration.unchecked import modules_in_processes, pipeline_section
from .errors import ConfigurationError
from .executors import DEFAULT_RETRIES, DEFAULT_SHARED_MEMORY_MB, EXECUTORS, Executor
from .interrupts import interruptible
from .processes.fork_server_client import ForkServerClient
from .status.publisher import StatusPublisher
from .summary import summarize

__all__ = ["DEFAULT_GUI_ADDRESS", "execute", "fork_server", "run"]

DEFAULT_GUI_ADDRESS = "localhost:5565"


def execute(executor: Executor, gui_address: str, label: str, gui_server_key: str = "") -> None:
    """Run what an executor is made for, with snapshots to a window, until it ends.

    Parameters
    ----------
    executor : Executor
        What to run.
    gui_address : str
        ``host:port`` of the window; empty for none.
    label : str
        The name of the configuration, for the window.
    gui_server_key : str
        The window's public key, or a file with it.

    Raises
    ------
    ConfigurationError, StepError, RunError, KeyboardInterrupt
        As `Executor.run`.
    """
    publisher: AbstractContextManager[object] = nullcontext()
    if gui_address:
        publisher = StatusPublisher(executor, gui_address, label, gui_server_key)
    with interruptible(executor), publisher:
        executor.run()


def fork_server(config: Config, executor: str) -> AbstractContextManager[ForkServerClient | None]:
    """The process that a run forks its workers from, if it has any.

    To be entered before the steps' modules are imported here: it imports them at the same
    time.

    Parameters
    ----------
    config : traitlets.config.Config
        The configuration, not checked yet.
    executor : str
        The executor of the pipeline.
    """
    modules = modules_in_processes(config, executor)
    return ForkServerClient(modules) if modules else nullcontext()


def run(
    configuration: str | Path | Mapping[str, Any] | Sequence[type | Mapping[str, Any]],
    *,
    executor: str | None = None,
    gui_address: str | None = None,
) -> dict[str, Any]:
    """Run a pipeline to its end.

    Parameters
    ----------
    configuration : path, dict, traitlets.config.Config, or sequence of steps
        A configuration file, what such a file holds, or the steps themselves: the
        producer, at least one stage, and the consumer, each a class or a dictionary with
        the keys of a configuration, whose ``class`` may be the class itself; its ``name``
        is that of the class, if not given.
    executor : {"threads", "processes", "sequential"}, optional
        How to run it; what the configuration says, if not given.
    gui_address : str, optional
        ``host:port`` of the window, empty for none; what the configuration says, if not given.

    Returns
    -------
    dict
        The summary: see `ctapipe.pipeline.summary.summarize`.

    Raises
    ------
    ConfigurationError
        With every mistake in the configuration, or if the ``init`` of a step raised
        `ctapipe.core.ToolConfigurationError`.
    StepError
        If a step failed; its own exception is the ``__cause__``.
    RunError
        If the run could not go on, and no step is at fault.
    KeyboardInterrupt
        If it was interrupted.

    Examples
    --------
    >>> from ctapipe.pipeline import run
    >>> class Numbers:
    ...     def run(self):
    ...         yield from range(1000)
    >>> class Square:
    ...     def run(self, number):
    ...         return number**2
    >>> class Sum:
    ...     total = 0
    ...     def run(self, number):
    ...         Sum.total += number
    >>> summary = run([Numbers, {"class": Square, "nb_thread": 2}, Sum])
    >>> summary["state"], Sum.total
    ('finished', 332833500)
    """
    files: list[str | Path] = []
    if isinstance(configuration, str | Path):
        files = [configuration]
        config = read_configuration(configuration)
        label = Path(configuration).name
    elif isinstance(configuration, Mapping):
        label = "a dictionary"
        config = config_of(configuration, label)
    elif isinstance(configuration, list | tuple):
        config = _config_of_steps(configuration)
        label = "Python"
    else:
        raise ConfigurationError(
            [
                "a pipeline is a configuration file, a dictionary or a list of steps, "
                f"not {configuration!r}"
            ]
        )
    section = pipeline_section(config)
    executor = executor or section.get("executor", "threads")
    if not isinstance(executor, str) or executor not in EXECUTORS:
        raise ConfigurationError(
            [f"there is no executor {executor!r}{did_you_mean(str(executor), EXECUTORS)}"]
        )
    with importable_from(files), fork_server(config, executor) as server:
        graph = read_graph(config, Config({"Pipeline": {"executor": executor}}))
        runner = EXECUTORS[executor](
            graph,
            logging.getLogger("ctapipe.pipeline"),
            section.get("on_error", "stop"),
            section.get("max_errors"),
            section.get("retries", DEFAULT_RETRIES),
            section.get("shared_memory_mb", DEFAULT_SHARED_MEMORY_MB),
            server,
        )
        if gui_address is None:
            gui_address = section.get("gui_address", DEFAULT_GUI_ADDRESS)
        with closing(runner):
            execute(runner, gui_address, label, section.get("gui_server_key", ""))
    return summarize(runner)


def _config_of_steps(steps: Sequence[type | Mapping[str, Any]]) -> Config:
    confs = []
    for step in steps:
        if not isinstance(step, type | Mapping):
            raise ConfigurationError([f"a step is a class or a dictionary, not {step!r}"])
        conf: dict[str, Any] = {"class": step} if isinstance(step, type) else dict(step)
        if isinstance(conf.get("class"), type):
            conf.setdefault("name", conf["class"].__name__)
        confs.append(conf)
    if len(confs) < 3:
        raise ConfigurationError(
            ["a pipeline needs at least three steps: a producer, a stage and a consumer"]
        )
    producer, *stages, consumer = confs
    return Config(
        {
            "Pipeline": {
                "producer_conf": producer,
                "stagers_conf": stages,
                "consumer_conf": consumer,
            }
        }
    )
