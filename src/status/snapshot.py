"""What a pipeline says of itself: the format that it sends, and that anybody may have sent."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "ENDED",
    "LONGEST_TEXT",
    "MOST_BYTES",
    "SCHEMA",
    "BadSnapshot",
    "EventCounts",
    "Percentiles",
    "Snapshot",
    "State",
    "StepSnapshot",
    "WorkerState",
    "printable",
    "read_snapshot",
]

SCHEMA = 1
MOST_BYTES = 1 << 18
MOST_STEPS = 250
MOST_LINKS = 1000
MOST_WORKERS = 5000
LONGEST_TEXT = 200
LARGEST_NUMBER = 1 << 53

Role = Literal["producer", "stage", "consumer"]
WorkerState = Literal["idle", "busy", "blocked"]
Ended = Literal["finished", "failed", "interrupted"]
State = Literal["starting", "running", "stopping", Ended]
ENDED: tuple[Ended, ...] = get_args(Ended)

Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]
Limit = Annotated[int, Meta(ge=-1, le=LARGEST_NUMBER)]
Seconds = Annotated[float, Meta(ge=0, le=LARGEST_NUMBER)]


class BadSnapshot(ValueError):
    """What arrived is no snapshot, or one that this window does not understand."""


class Percentiles(Struct, frozen=True, kw_only=True):
    """Of times.

    Parameters
    ----------
    p50_s, p99_s : float
        The median and the 99th percentile, seconds.
    """

    p50_s: Seconds
    p99_s: Seconds


class StepSnapshot(Struct, frozen=True, kw_only=True):
    """What a step has done.

    Parameters
    ----------
    name, role : str
        Its name; ``producer``, ``stage`` or ``consumer``.
    next_steps : tuple of str
        The names of those that it sends to.
    chained : bool
        Whether it runs in the workers of the step before it, without a queue.
    workers : int
        How many it has.
    worker_states : tuple of str
        Per worker ``idle``, ``busy`` or ``blocked``.
    queue_limit : int
        -1 for none.
    running, queue, received, done, failed, sent : int
        Workers that run; messages.
    busy_s : float
        Time in ``run``, of all workers together, seconds.
    wait : Percentiles, optional
        How long messages have waited in its queue.
    """

    name: Text
    role: Role
    next_steps: Annotated[tuple[Text, ...], Meta(max_length=MOST_LINKS)]
    chained: bool
    workers: Count
    worker_states: Annotated[tuple[WorkerState, ...], Meta(max_length=MOST_WORKERS)]
    queue_limit: Limit
    running: Count
    queue: Count
    received: Count
    done: Count
    failed: Count
    sent: Count
    busy_s: Seconds
    wait: Percentiles | None

    @property
    def has_queue(self) -> bool:
        """Whether messages wait for it in the router."""
        return not (self.chained or self.role == "producer")


class EventCounts(Struct, frozen=True, kw_only=True):
    """How far a run is.

    Parameters
    ----------
    sent, finished : int
        How many messages the producer has sent, and how many are done with.
    """

    sent: Count
    finished: Count


class Snapshot(Struct, frozen=True, kw_only=True):
    """The state of a pipeline.

    Parameters
    ----------
    schema : int
        The version of the format.
    pipeline : str
        Tells the run from all others.
    host, configuration, state, executor : str
        Where it runs, what, and how.
    pid : int
        The number of its process.
    elapsed_s : float
        Since its begin, seconds.
    events : EventCounts
        How many messages the producer has sent, and how many are done with.
    age : Percentiles, optional
        How long events took, from their sending to their end.
    steps : tuple of StepSnapshot
        In the order of the configuration, the producer first.
    """

    schema: Count
    pipeline: Text
    host: Text
    pid: Count
    configuration: Text
    state: State
    executor: Text
    elapsed_s: Seconds
    events: EventCounts
    age: Percentiles | None
    steps: Annotated[tuple[StepSnapshot, ...], Meta(min_length=1, max_length=MOST_STEPS)]

    @property
    def ended(self) -> bool:
        """Whether it is the last one of its run."""
        return self.state in ENDED

    def successors(self) -> list[list[int]]:
        """Per step, the indices of those that it sends to."""
        indices = {step.name: i for i, step in enumerate(self.steps)}
        return [list(dict.fromkeys(map(indices.__getitem__, s.next_steps))) for s in self.steps]


DECODER = msgspec.json.Decoder(Snapshot)
OTHER_SCHEMA = f"its schema is not {SCHEMA}: another version sent it"


def read_snapshot(content: bytes) -> Snapshot:
    """Read a snapshot, and check all of it.

    Parameters
    ----------
    content : bytes
        JSON; anything at all.

    Raises
    ------
    BadSnapshot
        If it is none. Its text is one of few: nothing of what arrived is in it.
    """
    if len(content) > MOST_BYTES:
        raise BadSnapshot(f"larger than {MOST_BYTES >> 10} kB")
    try:
        snapshot = DECODER.decode(content)
    except msgspec.ValidationError as error:
        raise BadSnapshot(_what_is_wrong(content)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadSnapshot("not JSON") from error
    if snapshot.schema != SCHEMA:
        raise BadSnapshot(OTHER_SCHEMA)
    snapshot = _printable(snapshot)
    _check(snapshot.steps)
    return snapshot


def _check(steps: tuple[StepSnapshot, ...]) -> None:
    """What their types cannot say."""
    names = {step.name for step in steps}
    if len(names) < len(steps):
        raise BadSnapshot("two steps have the same name")
    if not all(names.issuperset(step.next_steps) for step in steps):
        raise BadSnapshot("next_steps names a step that there is not")
    if any(len(step.worker_states) != step.workers for step in steps):
        raise BadSnapshot("workers and worker_states do not agree")
    if sum(len(step.next_steps) for step in steps) > MOST_LINKS:
        raise BadSnapshot(f"more than {MOST_LINKS} next_steps")
    if sum(step.workers for step in steps) > MOST_WORKERS:
        raise BadSnapshot(f"more than {MOST_WORKERS} workers")


def _printable(snapshot: Snapshot) -> Snapshot:
    """The same, without letters that would change how others are shown."""
    own = ("pipeline", "host", "configuration", "executor")
    texts = [getattr(snapshot, key) for key in own]
    for step in snapshot.steps:
        texts += (step.name, *step.next_steps)
    if "".join(texts).isprintable():
        return snapshot
    return msgspec.structs.replace(
        snapshot,
        **{key: printable(getattr(snapshot, key)) for key in own},
        steps=tuple(
            msgspec.structs.replace(
                step, name=printable(step.name), next_steps=tuple(map(printable, step.next_steps))
            )
            for step in snapshot.steps
        ),
    )


def printable(text: str) -> str:
    """A text without letters that would change how others are shown, or cannot be sent."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _what_is_wrong(content: bytes) -> str:
    """Why JSON is no snapshot, in words of which none has been sent."""
    try:
        top = msgspec.json.decode(content)
        if isinstance(top, dict) and top.get("schema") != SCHEMA:
            return OTHER_SCHEMA
        return _wrong_in(top, Snapshot) or "a key is there twice"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not JSON"


def _wrong_in(content: Any, kind: type[Struct]) -> str:
    """The first key of a struct that is missing, or whose value is wrong."""
    if not isinstance(content, Mapping):
        return "not an object"
    for field in msgspec.structs.fields(kind):
        key = field.name
        if key not in content:
            return f"{key} is missing"
        value = content[key]
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            parts: Iterable[str] = ()
            if key == "events":
                parts = [_wrong_in(value, EventCounts)]
            elif key == "steps" and isinstance(value, list):
                parts = (_wrong_in(step, StepSnapshot) for step in value)
            problem = next(
                filter(None, parts), "is not of the type, or not in the range, that it must be"
            )
            return f"{key}: {problem}"
    return ""
