"""What a run would do, without one: is the input there, and which options does each step have?"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from traitlets.config import Config, Configurable
from traitlets.config.loader import DeferredConfig

from .closed_output import ending_quietly
from .configuration.graph import Graph, StepSpec
from .errors import StepError, describe
from .workers.step import create_steps

__all__ = ["Source", "show_run"]

OF_THE_GRAPH = ("producer_conf", "stagers_conf", "consumer_conf", "config_files", "dry_run")


class Source(NamedTuple):
    """Where options come from.

    Parameters
    ----------
    name : str
        A file, or the command line.
    config : traitlets.config.Config
        What it says.
    """

    name: str
    config: Config


class Option(NamedTuple):
    """An option, its value, and where that comes from."""

    name: str
    value: str
    origin: str


def show_run(graph: Graph, log: logging.Logger, executor: str, sources: Sequence[Source]) -> None:
    """Open the input, and write what would be run to the standard output.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    log : logging.Logger
        The pipeline's log.
    executor : str
        The name of the executor.
    sources : sequence of Source
        All that options come from; a later one wins.

    Raises
    ------
    ConfigurationError
        If the input is not there.
    SystemExit
        If the producer fails.
    """
    try:
        n_messages = check_input(graph, log)
    except StepError as error:
        log.error("%s", describe(error))
        raise SystemExit(1) from error
    with ending_quietly():
        print(describe_run(graph, executor, n_messages, sources))


def check_input(graph: Graph, log: logging.Logger) -> int | None:
    """Make the producer, let it open its input, and close it.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    log : logging.Logger
        The pipeline's log.

    Returns
    -------
    int or None
        How many messages it would send, if it knows.

    Raises
    ------
    ConfigurationError, StepError
        If it fails, as in a run.
    """
    (producer,) = create_steps(graph, [(graph.steps[0], _send_nothing)], log)
    n_messages, failures = None, []
    try:
        producer.init()
        n_messages = producer.n_messages(0)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failures.append(producer.failure("init", error))
    try:
        producer.finish()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failures.append(producer.failure("finish", error))
    for failure in failures:
        raise failure
    return n_messages


def _send_nothing(target: int, message: Any) -> None:
    """For what its `init` sends."""


def describe_run(
    graph: Graph, executor: str, n_messages: int | None, sources: Sequence[Source]
) -> str:
    """The steps as a tree, each with its options, and what else is set.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    executor : str
        The name of the executor.
    n_messages : int, optional
        How many the producer would send, if that is known.
    sources : sequence of Source
        All that options come from; a later one wins.
    """
    lines: list[str] = []
    shown: set[str] = set()
    # Steps that are to come, the next one last, with what is before their names.
    to_come = [(graph.steps[0].name, "", "")]
    while to_come:
        name, before, indent = to_come.pop()
        index = graph.index(name)
        spec = graph.steps[index]
        if name in shown:
            lines.append(f"{before}{name} (above)")
            continue
        shown.add(name)
        details = [spec.step_class.__name__, spec.role, *_details(graph, index, executor)]
        if index == 0 and n_messages is not None:
            details.append(f"{n_messages} messages")
        lines.append(f"{before}{name}: {', '.join(details)}")
        below = f"{indent}{'│' if spec.next_steps else ' '}     "
        lines += _aligned(_options_of_step(spec, sources), below)
        for i, following in enumerate(reversed(spec.next_steps)):
            branch, rest = ("├─ ", "│  ") if i else ("└─ ", "   ")
            to_come.append((following, indent + branch, indent + rest))
    others = list(_other_options(graph, sources))
    if others:
        lines += ["", "Also set:", *_aligned(others, "      ")]
    return "\n".join(lines)


def _details(graph: Graph, index: int, executor: str) -> Iterator[str]:
    spec = graph.steps[index]
    if executor == "sequential":
        yield "in the main thread"
        return
    if spec.chained:
        yield f"in the workers of {graph.steps[graph.head_of(index)].name}"
        return
    yield spec.describe_workers(executor)
    if spec.role != "producer":
        yield f"queue_limit {spec.queue_limit}"
    if spec.ordered:
        yield "ordered"
    if spec.serialization != "pickle":
        yield f"serialization {spec.serialization}"
    for limit in ("prefetch", "job_timeout", "max_jobs_per_worker"):
        value = getattr(spec, limit)
        if value is not None and spec.role != "producer":
            yield f"{limit} {value}"


def _options_of_step(spec: StepSpec, sources: Sequence[Source]) -> Iterator[Option]:
    step_class: Any = spec.step_class
    if not issubclass(step_class, Configurable):
        return
    bases = step_class.__mro__
    names = [base.__name__ for base in bases if issubclass(base, Configurable)]
    for option, trait in sorted(step_class.class_traits(config=True).items()):
        yield _option(spec, option, trait, names, sources)
    yield from _nested(spec, sources)


def _option(
    spec: StepSpec, option: str, trait: Any, names: Sequence[str], sources: Sequence[Source]
) -> Option:
    """As traitlets finds it: in the section of the class before those of what it inherits."""
    within = spec.config.get("Pipeline", Config())
    for outer, path in ((within, ("Pipeline",)), (spec.config, ())):
        for name in names:
            if option in outer.get(name, {}):
                value = outer[name][option]
                if isinstance(value, DeferredConfig):
                    value = value.get_value(trait)
                sections = [(*path, name)]
                if name == spec.step_class.__name__ and not path:
                    sections.append((spec.name,))
                return Option(option, repr(value), _origin(sections, option, sources))
    return Option(option, trait.default_value_repr(), "default")


def _origin(sections: Sequence[tuple[str, ...]], option: str, sources: Sequence[Source]) -> str:
    for source in reversed(sources):
        for section in sections:
            found: Any = source.config
            for name in section:
                found = found.get(name, {})
            if option in found:
                return source.name
    return "default"


def _nested(spec: StepSpec, sources: Sequence[Source]) -> Iterator[Option]:
    """The options of sections within that of a step."""
    own = dict.fromkeys([spec.step_class.__name__, spec.name])
    merged: dict[str, Option] = {}
    for source in sources:
        for name in own:
            section = source.config.get(name, {})
            for option in _flattened(section, source.name):
                if "." in option.name:
                    merged[option.name] = option
    yield from merged.values()


def _other_options(graph: Graph, sources: Sequence[Source]) -> Iterator[Option]:
    """What is set for no step itself: of the pipeline, and of what the steps are made of."""
    of_steps = {"version"}
    for spec in graph.steps:
        of_steps |= {spec.name, spec.step_class.__name__}
    merged: dict[str, Option] = {}
    for source in sources:
        for name, section in source.config.items():
            if name in of_steps or not isinstance(section, Config):
                continue
            for option in _flattened(section, source.name):
                if option.name not in OF_THE_GRAPH:
                    merged[f"{name}.{option.name}"] = option._replace(name=f"{name}.{option.name}")
    yield from merged.values()


def _flattened(section: Any, origin: str, path: str = "") -> Iterator[Option]:
    for key, value in section.items():
        if isinstance(value, Config):
            yield from _flattened(value, origin, f"{path}{key}.")
        else:
            text = str(value) if isinstance(value, DeferredConfig) else repr(value)
            yield Option(path + key, text, origin)


def _aligned(options: Iterator[Option] | list[Option], before: str) -> list[str]:
    rows = [(f"{option.name} = {option.value}", option.origin) for option in options]
    width = min(60, max((len(text) for text, _ in rows), default=0))
    return [f"{before}{text:{width}}  ({origin})" for text, origin in rows]
