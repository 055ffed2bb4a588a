"""What a configuration says, validated: the steps, and who sends to whom."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from traitlets.config import Config

from ..errors import ConfigurationError
from .files import pipeline_section
from .options import check_options, config_of_step
from .step_class import load_class
from .suggestions import did_you_mean

__all__ = ["DEFAULT_QUEUE_LIMIT", "UNLIMITED", "Graph", "StepSpec"]

Role = Literal["producer", "stage", "consumer"]
Serialization = Literal["pickle", "none"]
WorkerKind = Literal["threads", "processes"]

DEFAULT_QUEUE_LIMIT = 100
UNLIMITED = -1
MOST_PREFETCH = 10_000
WORKER_KINDS: tuple[WorkerKind, ...] = ("threads", "processes")
SERIALIZATIONS: tuple[Serialization, ...] = ("pickle", "none")

STEP_KEYS = (
    *("name", "class", "module", "next_steps"),
    *("nb_thread", "nb_process", "executor"),
    *("queue_limit", "prefetch", "serialization", "ordered", "chained"),
)
GRAPH_KEYS = ("producer_conf", "stagers_conf", "consumer_conf")
RESERVED_NAMES = ("Pipeline", "Tool", "Application", "version")
NOT_FOR = {
    ("nb_thread", "producer"): "each of several producers would send everything again; "
    "move the work that takes time to a stage",
    ("nb_thread", "consumer"): "the consumer collects the results in one place; "
    "move the work that takes time to a stage",
    ("nb_process", "producer"): "each of several producers would send everything again; "
    "move the work that takes time to a stage",
    ("nb_process", "consumer"): "the consumer collects the results in one place; "
    "move the work that takes time to a stage",
    ("executor", "producer"): "the producer runs in the main process; "
    "move the work that takes time to a stage",
    ("executor", "consumer"): "the consumer runs in the main process; "
    "move the work that takes time to a stage",
    ("queue_limit", "producer"): "nothing is sent to the producer; "
    "set it on the steps that it sends to",
    ("prefetch", "producer"): "nothing is sent to the producer; "
    "set it on the steps that it sends to",
    ("ordered", "producer"): "nothing is sent to the producer; "
    "set it on the steps that it sends to",
    ("next_steps", "consumer"): "the consumer is the last step",
    ("chained", "producer"): "a chained step runs in the workers of the step before it, "
    "and there is none",
    ("chained", "consumer"): "the consumer collects the results of all workers in one place; "
    "chain the stages before it",
}
NOT_FOR_CHAINED = {
    "nb_thread": "it runs in the workers of the step before it and has as many",
    "nb_process": "it runs in the workers of the step before it and has as many",
    "executor": "it runs in the workers of the step before it; set it on the first step of "
    "the chain",
    "queue_limit": "no message waits for it: the step before it hands them over one by one",
    "prefetch": "it gets its messages one by one from the step before it",
    "ordered": "it gets its messages in the order in which the step before it makes them; "
    "set it on the first step of the chain",
}


@dataclasses.dataclass(frozen=True)
class StepSpec:
    """One step, as configured.

    Parameters
    ----------
    name : str
        Unique in its pipeline.
    step_class : type
        The user's class.
    role : {"producer", "stage", "consumer"}
        Its place in the pipeline.
    next_steps : tuple of str
        The steps it sends to; the first is the default.
    workers : int
        How many run at the same time, each with an instance of its own.
    queue_limit : int
        How many messages may wait for it; -1 for no limit.
    prefetch : int, optional
        How many messages each worker may hold, the one it works on included; chosen from
        the time its jobs take, if None.
    serialization : {"pickle", "none"}
        How what it sends is handed over, where the receiver is in the same process; with
        ``none`` the receiver gets the very object.
    executor : {"threads", "processes"}, optional
        What its workers are; what the pipeline's executor makes them, if None.
    ordered : bool
        Whether it receives messages in the order in which the producer sent their events.
    chained : bool
        Whether it runs in the workers of the step before it, which hands its messages over
        within the job. It has no queue.
    config : traitlets.config.Config
        The options of its class, and of what it creates.
    """

    name: str
    step_class: type
    role: Role
    next_steps: tuple[str, ...] = ()
    workers: int = 1
    queue_limit: int = DEFAULT_QUEUE_LIMIT
    prefetch: int | None = None
    serialization: Serialization = "pickle"
    executor: WorkerKind | None = None
    ordered: bool = False
    chained: bool = False
    config: Config = dataclasses.field(default_factory=Config)


@dataclasses.dataclass(frozen=True)
class Graph:
    """The steps of a pipeline: the producer, the stages as listed, the consumer.

    All that an executor knows of a configuration.

    Parameters
    ----------
    steps : tuple of StepSpec
        In the order of the configuration.
    """

    steps: tuple[StepSpec, ...]

    @classmethod
    def from_config(cls, config: Config, command_line: Config | None = None) -> "Graph":
        """Read and check a configuration.

        Parameters
        ----------
        config : traitlets.config.Config
            What the configuration files say: the section ``Pipeline`` and those of the
            steps' options.
        command_line : traitlets.config.Config, optional
            Options of the steps that win over those in `config`.

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
        for source in (config, command_line):
            errors += check_options(source, classes, names)
        if errors:
            raise ConfigurationError(errors)
        graph = cls(
            tuple(
                StepSpec(
                    name=draft.name,
                    step_class=draft.step_class,
                    role=draft.role,
                    next_steps=tuple(draft.next_steps),
                    workers=draft.conf.get("nb_thread", draft.conf.get("nb_process", 1)),
                    queue_limit=draft.conf.get("queue_limit", DEFAULT_QUEUE_LIMIT),
                    prefetch=draft.conf.get("prefetch"),
                    serialization=draft.conf.get("serialization", reader.serialization),
                    executor=draft.conf.get("executor"),
                    ordered=draft.conf.get("ordered", False),
                    chained=draft.conf.get("chained", False),
                    config=config_of_step(config, command_line, draft.name, draft.step_class),
                )
                for draft in reader.drafts
            )
        )
        return cls(
            tuple(
                dataclasses.replace(
                    spec, workers=graph.steps[graph.head_of(i)].workers, queue_limit=UNLIMITED
                )
                if spec.chained
                else spec
                for i, spec in enumerate(graph.steps)
            )
        )

    def index(self, name: str) -> int:
        """The position of a step in `steps`.

        Raises
        ------
        ValueError
            If there is no such step, with the nearest name.
        """
        for i, step in enumerate(self.steps):
            if step.name == name:
                return i
        raise ValueError(
            f"there is no step {name!r}{did_you_mean(name, (step.name for step in self.steps))}"
        )

    def step_before(self, index: int) -> int:
        """The one step that a chained step comes after."""
        name = self.steps[index].name
        return next(i for i, spec in enumerate(self.steps) if name in spec.next_steps)

    def head_of(self, index: int) -> int:
        """The step in whose workers a step runs: the first of its chain, or itself."""
        while self.steps[index].chained:
            index = self.step_before(index)
        return index

    def chains(self) -> dict[int, tuple[int, ...]]:
        """The steps that run in the same workers, the head first, by their head.

        A step that nothing is chained to is the head and all of its chain.
        """
        chains: dict[int, tuple[int, ...]]
        chains = {i: (i,) for i, spec in enumerate(self.steps) if not spec.chained}
        for i, spec in enumerate(self.steps):
            if spec.chained:
                chains[self.head_of(i)] += (i,)
        return chains

    def ranks(self) -> list[int]:
        """The place of every step in the order of the graph, 0 for the producer.

        A step comes after all that send to it, but for a cycle, which starts where the
        producer's messages first meet it: the reverse of the order in which a
        depth-first search leaves the steps (Tarjan 1976,
        https://doi.org/10.1007/BF00268499).
        """
        left: list[int] = []
        seen: set[int] = set()

        def visit(i: int) -> None:
            seen.add(i)
            # The last next step first, so that the first one ends up before it.
            for name in reversed(self.steps[i].next_steps):
                j = self.index(name)
                if j not in seen:
                    visit(j)
            left.append(i)

        visit(0)
        ranks = [0] * len(self.steps)
        for rank, i in enumerate(reversed(left)):
            ranks[i] = rank
        return ranks

    def steps_before(self, index: int) -> set[int]:
        """The steps from which messages can come to a step, by way of `next_steps`.

        Without the producer, the step itself, and those that come after it in the order of
        the graph, which send to it against that order.
        """
        ranks = self.ranks()
        senders: dict[int, list[int]] = {i: [] for i in range(len(self.steps))}
        for i, spec in enumerate(self.steps):
            for name in spec.next_steps:
                senders[self.index(name)].append(i)
        before: set[int] = set()
        to_visit = [index]
        while to_visit:
            for i in senders[to_visit.pop()]:
                if i not in before and 0 < ranks[i] < ranks[index]:
                    before.add(i)
                    to_visit.append(i)
        return before


def configured_classes(config: Config) -> dict[str, type | None]:
    """The class of each step by the step's name, None for those that cannot be loaded.

    For the help text, which has to work with a configuration that is wrong.
    """
    return {draft.name: draft.step_class for draft in _Reader(config.get("Pipeline")).drafts}


def modules_in_processes(config: Config, executor: str) -> list[str]:
    """The modules of the stages, if any of them is to run in worker processes.

    As far as can be told before they are imported, and of a configuration that may be wrong.

    Parameters
    ----------
    config : traitlets.config.Config
        All of a configuration.
    executor : str
        The executor of the pipeline.
    """
    stages = pipeline_section(config).get("stagers_conf")
    stages = stages if isinstance(stages, list | tuple) else []
    confs = [conf for conf in stages if isinstance(conf, Mapping)]
    kinds = [conf.get("executor", executor) for conf in confs]
    if executor == "sequential" or "processes" not in kinds:
        return []
    return [conf["module"] for conf in confs if isinstance(conf.get("module"), str)]


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
                f"Pipeline.stagers_conf must be a list of steps, not {_describe(stagers)}"
            )
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

    def _read_step(self, key: str, conf: Any, role: Role) -> None:
        if conf is None:
            self.errors.append(f"Pipeline.{key} is missing: a pipeline needs one {role}")
            return
        if not isinstance(conf, Mapping):
            self.errors.append(
                f"Pipeline.{key} must be one step, with name, class and module, "
                f"not {_describe(conf)}"
            )
            return
        name = conf.get("name")
        where = f"step {name!r}" if isinstance(name, str) and name else f"Pipeline.{key}"
        for required in ("name", "class"):
            if required not in conf:
                self.errors.append(f"{where}: the key {required!r} is missing")
        for unknown in conf:
            if unknown not in STEP_KEYS:
                self.errors.append(
                    f"{where}: unknown key {unknown!r}{did_you_mean(str(unknown), STEP_KEYS)}"
                )
            elif (unknown, role) in NOT_FOR:
                self.errors.append(
                    f"{where}: {unknown!r} is not for the {role}: {NOT_FOR[unknown, role]}"
                )
        if "name" in conf and not (isinstance(name, str) and name and "," not in name):
            self.errors.append(
                f"{where}: 'name' must be a text without a comma, not {_describe(name)}"
            )
        if name in RESERVED_NAMES:
            self.errors.append(
                f"{where}: this name is taken by a section of the configuration; choose another"
            )
        for key in ("nb_thread", "nb_process"):
            workers = conf.get(key, 1)
            if not _is_int(workers) or workers < 1:
                self.errors.append(
                    f"{where}: {key!r} must be a whole number from 1, not {_describe(workers)}"
                )
        if "nb_thread" in conf and "nb_process" in conf:
            self.errors.append(
                f"{where}: 'nb_thread' and 'nb_process' both say how many workers it has; "
                "leave one out"
            )
        kind = conf.get("executor", "threads")
        if kind not in WORKER_KINDS:
            self.errors.append(
                f"{where}: 'executor' must be one of {', '.join(map(repr, WORKER_KINDS))}, "
                f"not {_describe(kind)}"
            )
        limit = conf.get("queue_limit", DEFAULT_QUEUE_LIMIT)
        if not _is_int(limit) or (limit < 1 and limit != UNLIMITED):
            self.errors.append(
                f"{where}: 'queue_limit' must be a whole number from 1, or {UNLIMITED} for no "
                f"limit, not {_describe(limit)}"
            )
        prefetch = conf.get("prefetch", 1)
        if not _is_int(prefetch) or not 1 <= prefetch <= MOST_PREFETCH:
            self.errors.append(
                f"{where}: 'prefetch' must be a whole number from 1 to {MOST_PREFETCH}, "
                f"not {_describe(prefetch)}"
            )
        serialization = conf.get("serialization", "pickle")
        if serialization not in SERIALIZATIONS:
            self.errors.append(
                f"{where}: 'serialization' must be one of {', '.join(map(repr, SERIALIZATIONS))}, "
                f"not {_describe(serialization)}"
            )
        ordered = conf.get("ordered", False)
        if not isinstance(ordered, bool):
            self.errors.append(
                f"{where}: 'ordered' must be true or false, not {_describe(ordered)}"
            )
        chained = conf.get("chained", False)
        if not isinstance(chained, bool):
            self.errors.append(
                f"{where}: 'chained' must be true or false, not {_describe(chained)}"
            )
        elif chained and role == "stage":
            for key_of_head, why in NOT_FOR_CHAINED.items():
                if key_of_head in conf:
                    self.errors.append(f"{where}: {key_of_head!r} is not for a chained step: {why}")
        draft = _Draft(name if isinstance(name, str) else key, role, conf)
        if "class" in conf:
            try:
                draft.step_class = load_class(conf["class"], conf.get("module"))
            except ConfigurationError as error:
                self.errors += [f"{where}: {line}" for line in error.errors]
            else:
                if draft.step_class.__name__ in RESERVED_NAMES:
                    self.errors.append(
                        f"{where}: the class {draft.step_class.__name__!r} has the name of a "
                        "section of the configuration; give it another"
                    )
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
                    f"list of names, not {_describe(next_steps)}"
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


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _describe(value: Any) -> str:
    """A value that a user wrote, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
