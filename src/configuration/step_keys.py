"""The keys of a step: which there are, for which roles, and what each may be."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .earlier_names import advice_on
from .graph import UNLIMITED, Role, Serialization, WorkerKind
from .suggestions import did_you_mean

__all__ = [
    "AUTO",
    "HIGHEST_LIMIT",
    "MOST_WORKERS",
    "RESERVED_NAMES",
    "SERIALIZATIONS",
    "describe_value",
    "mistakes_in_keys",
]

WORKER_KINDS: tuple[WorkerKind, ...] = ("threads", "processes")
SERIALIZATIONS: tuple[Serialization, ...] = ("pickle", "none")
MOST_PREFETCH = 10_000
MOST_WORKERS = 10_000
# As many workers as there are cores.
AUTO = "auto"
# More is no limit.
HIGHEST_LIMIT = 1_000_000_000

STEP_KEYS = (
    *("name", "class", "module", "next_steps"),
    *("nb_thread", "nb_process", "executor"),
    *("queue_limit", "prefetch", "serialization", "ordered", "chained"),
    *("job_timeout", "max_jobs_per_worker"),
)
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
    ("job_timeout", "producer"): "nothing is sent to the producer; "
    "set it on the steps that it sends to",
    ("max_jobs_per_worker", "producer"): "the producer runs in the main process",
    ("max_jobs_per_worker", "consumer"): "the consumer runs in the main process",
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
    "job_timeout": "it is a part of the job of the step before it; set it on the first step of "
    "the chain",
    "max_jobs_per_worker": "it runs in the workers of the step before it; set it on the first "
    "step of the chain",
}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 1


def _is_limited_count(value: Any) -> bool:
    return _is_count(value) and value <= HIGHEST_LIMIT


def _is_limit(value: Any) -> bool:
    return _is_limited_count(value) or (_is_int(value) and value == UNLIMITED)


def _is_number_of_workers(value: Any) -> bool:
    return _is_count(value) and value <= MOST_WORKERS


def _is_number_of_processes(value: Any) -> bool:
    return value == AUTO or _is_number_of_workers(value)


def _is_prefetch(value: Any) -> bool:
    return _is_count(value) and value <= MOST_PREFETCH


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(names: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, f"one of {', '.join(map(repr, names))}"


NUMBER_OF_WORKERS = (_is_number_of_workers, f"a whole number from 1 to {MOST_WORKERS}")
TRUE_OR_FALSE = (_is_bool, "true or false")
# What a value must be: the check, and how it is said. The other keys are names of something.
NUMBERS_OF_WORKERS = {
    "nb_thread": NUMBER_OF_WORKERS,
    "nb_process": (
        _is_number_of_processes,
        f"{AUTO!r}, for as many as there are cores, or {NUMBER_OF_WORKERS[1]}",
    ),
}
VALUES = {
    "executor": _one_of(WORKER_KINDS),
    "queue_limit": (
        _is_limit,
        f"a whole number from 1 to {HIGHEST_LIMIT}, or {UNLIMITED} for no limit",
    ),
    "prefetch": (_is_prefetch, f"a whole number from 1 to {MOST_PREFETCH}"),
    "serialization": _one_of(SERIALIZATIONS),
    "ordered": TRUE_OR_FALSE,
    "chained": TRUE_OR_FALSE,
    "job_timeout": (_is_time, "a time above 0, in seconds"),
    "max_jobs_per_worker": (_is_limited_count, f"a whole number from 1 to {HIGHEST_LIMIT}"),
}


def mistakes_in_keys(conf: Mapping[str, Any], role: Role) -> Iterator[str]:
    """What is wrong with a step, as far as can be told from nothing else, one line each.

    Parameters
    ----------
    conf : mapping of str
        What the configuration says of the step.
    role : {"producer", "stage", "consumer"}
        Where it says so.
    """
    yield from _wrong_keys(conf, role)
    yield from _wrong_name(conf)
    yield from _wrong_values(conf, NUMBERS_OF_WORKERS)
    if "nb_thread" in conf and "nb_process" in conf:
        yield "'nb_thread' and 'nb_process' both say how many workers it has; leave one out"
    yield from _wrong_values(conf, VALUES)
    if role == "stage" and conf.get("chained") is True:
        for key, why in NOT_FOR_CHAINED.items():
            if key in conf:
                yield f"{key!r} is not for a chained step: {why}"


def describe_value(value: Any) -> str:
    """A value that a user wrote, short enough for one line."""
    try:
        text = repr(value)
    except ValueError:
        # An integer of more digits than Python writes.
        text = ""
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"


def _wrong_keys(conf: Mapping[str, Any], role: Role) -> Iterator[str]:
    for required in ("name", "class"):
        if required not in conf:
            yield f"the key {required!r} is missing"
    for key in conf:
        if key not in STEP_KEYS:
            nearest = advice_on(str(key)) or did_you_mean(str(key), STEP_KEYS)
            yield f"unknown key {key!r}{nearest}"
        elif (key, role) in NOT_FOR:
            yield f"{key!r} is not for the {role}: {NOT_FOR[key, role]}"


def _wrong_name(conf: Mapping[str, Any]) -> Iterator[str]:
    name = conf.get("name")
    if "name" in conf and not (isinstance(name, str) and name and "," not in name):
        yield f"'name' must be a text without a comma, not {describe_value(name)}"
    if name in RESERVED_NAMES:
        yield "this name is taken by a section of the configuration; choose another"


def _wrong_values(
    conf: Mapping[str, Any], must_be: Mapping[str, tuple[Callable[[Any], bool], str]]
) -> Iterator[str]:
    for key, (is_right, what) in must_be.items():
        if key in conf and not is_right(conf[key]):
            yield f"{key!r} must be {what}, not {describe_value(conf[key])}"
