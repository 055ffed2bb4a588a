"""What a pipeline says of itself, as it arrives: JSON that anybody may have sent."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["ENDED", "BadSnapshot", "Snapshot", "StepSnapshot", "read_snapshot"]

SCHEMA = 1
MOST_BYTES = 1 << 18
MOST_STEPS = 250
MOST_LINKS = 1000
MOST_WORKERS = 5000
LONGEST_TEXT = 200
LARGEST_NUMBER = 1 << 53

ROLES = ("producer", "stage", "consumer")
WORKER_STATES = ("idle", "busy", "blocked")
ENDED = ("finished", "failed", "interrupted")
STATES = ("starting", "running", "stopping", *ENDED)


class BadSnapshot(ValueError):
    """What arrived is no snapshot, or one that this window does not understand."""


@dataclasses.dataclass(frozen=True, slots=True)
class StepSnapshot:
    """What a step has done.

    Parameters
    ----------
    name, role : str
        Its name; ``producer``, ``stage`` or ``consumer``.
    next_steps : tuple of int
        Those that it sends to, by index.
    chained : bool
        Whether it runs in the workers of the step before it, without a queue.
    worker_states : tuple of str
        Per worker ``idle``, ``busy`` or ``blocked``.
    queue_limit : int
        -1 for none.
    running, queue, received, done, failed, sent : int
        Workers that run; messages.
    busy_s : float
        Time in ``run``, of all workers together, seconds.
    """

    name: str
    role: str
    next_steps: tuple[int, ...]
    chained: bool
    worker_states: tuple[str, ...]
    queue_limit: int
    running: int
    queue: int
    received: int
    done: int
    failed: int
    sent: int
    busy_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a pipeline.

    Parameters
    ----------
    pipeline : str
        Tells the run from all others.
    host, configuration, state, executor : str
        Where it runs, what, and how.
    pid : int
        The number of its process.
    elapsed_s : float
        Since its begin, seconds.
    events_sent, events_finished : int
        How many messages the producer has sent, and how many are done with.
    steps : tuple of StepSnapshot
        In the order of the configuration, the producer first.
    """

    pipeline: str
    host: str
    pid: int
    configuration: str
    state: str
    executor: str
    elapsed_s: float
    events_sent: int
    events_finished: int
    steps: tuple[StepSnapshot, ...]

    @property
    def ended(self) -> bool:
        """Whether it is the last one of its run."""
        return self.state in ENDED


def read_snapshot(content: bytes) -> Snapshot:
    """Read a snapshot, and check all of it.

    Parameters
    ----------
    content : bytes
        JSON; anything at all.

    Raises
    ------
    BadSnapshot
        If it is none.
    """
    if len(content) > MOST_BYTES:
        raise BadSnapshot(f"larger than {MOST_BYTES >> 10} kB")
    try:
        top = json.loads(content.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadSnapshot("not JSON") from error
    if not isinstance(top, dict):
        raise BadSnapshot("not an object")
    if top.get("schema") != SCHEMA:
        raise BadSnapshot(f"its schema is not {SCHEMA}: another version sent it")
    events = _get(top, "events", dict)
    return Snapshot(
        pipeline=_text(top, "pipeline"),
        host=_text(top, "host"),
        pid=_count(top, "pid"),
        configuration=_text(top, "configuration"),
        state=_word(top, "state", STATES),
        executor=_text(top, "executor"),
        elapsed_s=_seconds(top, "elapsed_s"),
        events_sent=_count(events, "sent"),
        events_finished=_count(events, "finished"),
        steps=_steps(_get(top, "steps", list)),
    )


def _steps(contents: list[Any]) -> tuple[StepSnapshot, ...]:
    if not 0 < len(contents) <= MOST_STEPS:
        raise BadSnapshot(f"not 1 to {MOST_STEPS} steps")
    if not all(isinstance(content, dict) for content in contents):
        raise BadSnapshot("a step is not an object")
    indices = {_text(content, "name"): i for i, content in enumerate(contents)}
    if len(indices) < len(contents):
        raise BadSnapshot("two steps have the same name")
    steps = tuple(_step(content, indices) for content in contents)
    if sum(len(step.next_steps) for step in steps) > MOST_LINKS:
        raise BadSnapshot(f"more than {MOST_LINKS} next_steps")
    if sum(len(step.worker_states) for step in steps) > MOST_WORKERS:
        raise BadSnapshot(f"more than {MOST_WORKERS} workers")
    return steps


def _step(content: Mapping[str, Any], indices: Mapping[str, int]) -> StepSnapshot:
    next_steps = _get(content, "next_steps", list)
    if not all(isinstance(name, str) and name in indices for name in next_steps):
        raise BadSnapshot("next_steps names a step that there is not")
    states = _get(content, "worker_states", list)
    if not all(state in WORKER_STATES for state in states):
        raise BadSnapshot("worker_states: a word that is not known")
    if len(states) != _count(content, "workers"):
        raise BadSnapshot("workers and worker_states do not agree")
    return StepSnapshot(
        name=_text(content, "name"),
        role=_word(content, "role", ROLES),
        next_steps=tuple(dict.fromkeys(indices[name] for name in next_steps)),
        chained=_get(content, "chained", bool),
        worker_states=tuple(states),
        queue_limit=_count(content, "queue_limit", least=-1),
        busy_s=_seconds(content, "busy_s"),
        running=_count(content, "running"),
        queue=_count(content, "queue"),
        received=_count(content, "received"),
        done=_count(content, "done"),
        failed=_count(content, "failed"),
        sent=_count(content, "sent"),
    )


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _get(content: Mapping[str, Any], key: str, kind: type) -> Any:
    value = content.get(key)
    if type(value) is not kind:
        raise BadSnapshot(f"{key} is missing or of another type")
    return value


def _count(content: Mapping[str, Any], key: str, least: int = 0) -> int:
    value = _get(content, key, int)
    if not least <= value <= LARGEST_NUMBER:
        raise BadSnapshot(f"{key} is out of range")
    return value


def _seconds(content: Mapping[str, Any], key: str) -> float:
    value = content.get(key)
    if type(value) is not int and type(value) is not float:
        raise BadSnapshot(f"{key} is missing or of another type")
    # Not so of NaN.
    if not 0 <= value <= LARGEST_NUMBER:
        raise BadSnapshot(f"{key} is out of range")
    return float(value)


def _word(content: Mapping[str, Any], key: str, words: tuple[str, ...]) -> str:
    value = _get(content, key, str)
    if value not in words:
        raise BadSnapshot(f"{key} is not one of {', '.join(words)}")
    return value


def _text(content: Mapping[str, Any], key: str) -> str:
    value = _get(content, key, str)
    if len(value) > LONGEST_TEXT:
        raise BadSnapshot(f"{key} is longer than {LONGEST_TEXT} characters")
    if value.isprintable():
        return value
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in value)
