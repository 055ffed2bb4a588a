"""Make a `Graph` of a configuration, or say everything that is wrong with it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from traitlets.config import Config

from ..errors import ConfigurationError
from .cores import usable_cores
from .graph import DEFAULT_QUEUE_LIMIT, UNLIMITED, Graph, Role, Serialization, StepSpec
from .options import check_options, config_of_step, options_from_elsewhere
from .step_class import load_class
from .step_keys import AUTO, RESERVED_NAMES, describe_value, mistakes_in_keys
from .suggestions import did_you_mean

__all__ = ["configured_classes", "read_graph"]

# A message's header has 16 bits for its step; and there are a producer and a consumer.
MOST_STAGES = 65_534
GRAPH_KEYS = ("producer_conf", "stagers_conf", "consumer_conf")


def read_graph(config: Config, command_line: Config | None = None) -> Graph:
    """Read and check a configuration.

    Parameters
    ----------
    config : traitlets.config.Config
        What the configuration files say: the section ``Pipeline`` and those of the steps'
        options.
    command_line : traitlets.config.Config, optional
        Options of the steps that win over those in `config`.

    Returns
    -------
    Graph
        The steps, their classes loaded, and who sends to whom.

    Raises
    ------
    ConfigurationError
        With every mistake that was found.
    """
    command_line = command_line or Config()
    reader = _Reader(config.get("Pipeline"), command_line.get("Pipeline"))
    errors = list(reader.errors)
    classes = {draft.name: draft.step_class for draft in reader.drafts if draft.step_class}
    names = [draft.name for draft in reader.drafts]
    # The sections of what it finds are known then.
    errors += options_from_elsewhere(config, command_line, classes)[1]
    for source in (config, command_line):
        errors += check_options(source, classes, names)
    if errors:
        raise ConfigurationError(errors)
    graph = Graph(
        tuple(
            StepSpec(
                name=draft.name,
                step_class=draft.step_class,
                role=draft.role,
                next_steps=tuple(draft.next_steps),
                workers=reader.workers_of(draft),
                queue_limit=draft.conf.get("queue_limit", DEFAULT_QUEUE_LIMIT),
                prefetch=draft.conf.get("prefetch"),
                serialization=draft.conf.get("serialization", reader.serialization),
                executor=draft.conf.get("executor"),
                ordered=draft.conf.get("ordered", False),
                chained=draft.conf.get("chained", False),
                job_timeout=draft.conf.get("job_timeout", reader.job_timeout),
                max_jobs_per_worker=draft.conf.get(
                    "max_jobs_per_worker", reader.max_jobs_per_worker
                ),
                config=config_of_step(config, command_line, draft.name, draft.step_class),
            )
            for draft in reader.drafts
        )
    )
    return _with_workers_of_heads(graph)


def _with_workers_of_heads(graph: Graph) -> Graph:
    """A chained step runs in the workers of the head of its chain, and has no queue."""
    return Graph(
        tuple(
            dataclasses.replace(
                spec, workers=graph.steps[graph.head_of(i)].workers, queue_limit=UNLIMITED
            )
            if spec.chained
            else spec
            for i, spec in enumerate(graph.steps)
        )
    )


def configured_classes(config: Config) -> dict[str, type | None]:
    """The class of each step by the step's name, None for those that cannot be loaded.

    For the help text, which has to work with a configuration that is wrong.
    """
    return {draft.name: draft.step_class for draft in _Reader(config.get("Pipeline")).drafts}


@dataclasses.dataclass
class _Draft:
    """A step while its configuration is being read."""

    name: str
    role: Role
    conf: Mapping[str, Any]
    step_class: Any = None
    next_steps: list[str] = dataclasses.field(default_factory=list)


class _Reader:
    """Reads the section ``Pipeline`` and notes every mistake."""

    def __init__(self, section: Any, command_line: Mapping[str, Any] | None = None) -> None:
        self.errors: list[str] = []
        self.drafts: list[_Draft] = []
        section = {**(section if isinstance(section, Mapping) else {}), **(command_line or {})}
        # What is wrong with it is found with the other options of the pipeline.
        self.serialization: Serialization = section.get("serialization", "pickle")
        self.job_timeout: float | None = section.get("job_timeout")
        self.max_jobs_per_worker: int | None = section.get("max_jobs_per_worker")
        self.executor = section.get("executor", "threads")
        self.jobs: int | None = section.get("jobs")
        if not any(key in section for key in GRAPH_KEYS):
            self.errors.append(
                "no pipeline is configured: give a file with a section 'Pipeline' that has "
                "producer_conf, stagers_conf and consumer_conf (--config=FILE)"
            )
            return
        self._read_step("producer_conf", section.get("producer_conf"), "producer")
        stagers = section.get("stagers_conf")
        if stagers is None or stagers == []:
            self.errors.append("Pipeline.stagers_conf is missing: a list of at least one step")
        elif not isinstance(stagers, list | tuple):
            self.errors.append(
                f"Pipeline.stagers_conf must be a list of steps, not {describe_value(stagers)}"
            )
        elif len(stagers) > MOST_STAGES:
            self.errors.append(
                f"Pipeline.stagers_conf has {len(stagers)} steps; {MOST_STAGES} is the most"
            )
            return
        else:
            for i, conf in enumerate(stagers):
                self._read_step(f"stagers_conf[{i}]", conf, "stage")
        self._read_step("consumer_conf", section.get("consumer_conf"), "consumer")
        self._check_names()
        self._link()
        self._check_chains()
        # Who reaches whom cannot be said of a configuration that is wrong elsewhere.
        if not self.errors:
            self._check_reached()
            self._check_jobs()

    def workers_of(self, draft: _Draft) -> int:
        """How many workers a step has, but for a chained one."""
        number: int | str | None = draft.conf.get("nb_thread", draft.conf.get("nb_process"))
        if isinstance(number, int):
            return number
        if self._jobs_are_for(draft):
            return self.jobs or usable_cores()
        return usable_cores() if number == AUTO else 1

    def _jobs_are_for(self, draft: _Draft) -> bool:
        if self.jobs is None or draft.role != "stage" or draft.conf.get("chained", False):
            return False
        if "nb_thread" in draft.conf or "nb_process" in draft.conf:
            return draft.conf.get("nb_process") == AUTO
        return draft.conf.get("executor", self.executor) == "processes"

    def _read_step(self, key: str, conf: Any, role: Role) -> None:
        if conf is None:
            self.errors.append(f"Pipeline.{key} is missing: a pipeline needs one {role}")
            return
        if not isinstance(conf, Mapping):
            self.errors.append(
                f"Pipeline.{key} must be one step, with name, class and module, "
                f"not {describe_value(conf)}"
            )
            return
        name = conf.get("name")
        where = f"step {name!r}" if isinstance(name, str) and name else f"Pipeline.{key}"
        draft = _Draft(name if isinstance(name, str) else key, role, conf)
        mistakes = list(mistakes_in_keys(conf, role))
        if "class" in conf:
            try:
                draft.step_class = load_class(conf["class"], conf.get("module"))
            except ConfigurationError as error:
                mistakes += error.errors
            else:
                if draft.step_class.__name__ in RESERVED_NAMES:
                    mistakes.append(
                        f"the class {draft.step_class.__name__!r} has the name of a section of "
                        "the configuration; give it another"
                    )
        self.errors += [f"{where}: {mistake}" for mistake in mistakes]
        self.drafts.append(draft)

    def _check_names(self) -> None:
        seen: dict[str, str] = {}
        for draft in self.drafts:
            if draft.name in seen:
                self.errors.append(
                    f"step {draft.name!r}: the name is used twice, for a {seen[draft.name]} "
                    f"and a {draft.role}; every step needs a name of its own"
                )
            seen.setdefault(draft.name, draft.role)

    def _link(self) -> None:
        names = [draft.name for draft in self.drafts]
        producers = {draft.name for draft in self.drafts if draft.role == "producer"}
        for draft, following in zip(self.drafts, [*names, None][1:], strict=True):
            if draft.role == "consumer":
                continue
            next_steps = draft.conf.get("next_steps")
            if next_steps is None:
                draft.next_steps = [following] if following else []
                continue
            if isinstance(next_steps, str):
                next_steps = [name.strip() for name in next_steps.split(",") if name.strip()]
            if not isinstance(next_steps, list | tuple) or not all(
                isinstance(name, str) for name in next_steps
            ):
                self.errors.append(
                    f"step {draft.name!r}: 'next_steps' must be names separated by commas, or a "
                    f"list of names, not {describe_value(next_steps)}"
                )
                continue
            for name in next_steps:
                if name not in names:
                    self.errors.append(
                        f"step {draft.name!r}: 'next_steps' names {name!r}, which is no step"
                        + did_you_mean(name, names)
                    )
                elif name in producers:
                    self.errors.append(
                        f"step {draft.name!r}: 'next_steps' names {name!r}, but nothing can be "
                        "sent to the producer"
                    )
            draft.next_steps = list(dict.fromkeys(next_steps))

    def _check_chains(self) -> None:
        for draft in self.drafts:
            if draft.role != "stage" or draft.conf.get("chained") is not True:
                continue
            before = [other for other in self.drafts if draft.name in other.next_steps]
            if len(before) > 1:
                names = ", ".join(repr(other.name) for other in before)
                self.errors.append(
                    f"step {draft.name!r}: 'chained' is for a step that comes after one other, "
                    f"to run in its workers; it is in the 'next_steps' of {names}"
                )
            elif before and before[0].role == "producer":
                self.errors.append(
                    f"step {draft.name!r}: 'chained' is for a stage that comes after a stage; it "
                    f"comes after the producer {before[0].name!r}, which reads the next event "
                    "while others work"
                )

    def _check_jobs(self) -> None:
        if self.jobs is None or self.executor == "sequential":
            return
        if any(self._jobs_are_for(draft) for draft in self.drafts):
            return
        self.errors.append(
            f"Pipeline.jobs: no stage has this number of workers (-j {self.jobs}): it is for those "
            "in processes that say no other; run them in processes, --executor=processes, and "
            f"let 'nb_thread' and 'nb_process' out, or write 'nb_process': {AUTO!r}"
        )

    def _check_reached(self) -> None:
        followers = {draft.name: draft.next_steps for draft in self.drafts}
        reached: set[str] = set()
        to_visit = [draft.name for draft in self.drafts if draft.role == "producer"]
        while to_visit:
            name = to_visit.pop()
            if name not in reached:
                reached.add(name)
                to_visit += followers[name]
        for draft in self.drafts:
            if draft.name not in reached:
                self.errors.append(
                    f"step {draft.name!r}: nothing reaches the {draft.role}; add it to the "
                    "'next_steps' of a step before it"
                )
