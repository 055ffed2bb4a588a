"""Which events of a producer: those that did not make it, and those that a later run takes."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import ConfigurationError

__all__ = ["ALL_EVENTS", "EventSelection", "send_only"]

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class EventSelection:
    """Some of the events that a producer sends, by their number, from 0.

    Parameters
    ----------
    events : frozenset of int
        Single ones.
    onwards : int, optional
        Besides, all from this one on.
    """

    events: frozenset[int]
    onwards: int | None

    def __contains__(self, event: int) -> bool:
        return event in self.events or (self.onwards is not None and event >= self.onwards)

    def remaining(self, unfinished: Iterable[int], onwards: int | None) -> "EventSelection":
        """What is left of it.

        Parameters
        ----------
        unfinished : iterable of int
            Events that were sent and did not make it.
        onwards : int, optional
            The first that was not sent, if the producer did not come to its end.
        """
        events = set(unfinished)
        if onwards is None:
            return EventSelection(frozenset(events), None)
        events.update(event for event in self.events if event >= onwards)
        if self.onwards is None:
            return EventSelection(frozenset(events), None)
        return EventSelection(frozenset(events), max(onwards, self.onwards))

    def to_json(self) -> str:
        """What `read` reads from a file."""
        what = {"schema": SCHEMA, "events": sorted(self.events), "onwards": self.onwards}
        return json.dumps(what)

    @classmethod
    def read(cls, path: Path) -> "EventSelection":
        """Read a file with what `to_json` returns.

        Raises
        ------
        ConfigurationError
            If the file is another one.
        """
        try:
            what = json.loads(path.read_text())
            events, onwards = what["events"], what["onwards"]
            is_right = what["schema"] == SCHEMA and all(
                isinstance(number, int) and number >= 0
                for number in [*events, 0 if onwards is None else onwards]
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError([f"Pipeline.only: {str(path)!r} {_why(error)}"]) from None
        if not is_right:
            raise ConfigurationError([f"Pipeline.only: {str(path)!r} {_why(ValueError())}"])
        return cls(frozenset(events), onwards)


def send_only(
    selection: EventSelection, send: Callable[[int, Any], None], leave_out: Callable[[], None]
) -> Callable[[int, Any], None]:
    """What a producer sends with, of which only some events are worked on.

    Parameters
    ----------
    selection : EventSelection
        Which.
    send : callable
        Takes the index of a step and a message for it.
    leave_out : callable
        Is called for the others.
    """
    numbers = itertools.count()

    def send_some(target: int, message: Any) -> None:
        if next(numbers) in selection:
            send(target, message)
        else:
            leave_out()

    return send_some


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return "is no file that Pipeline.failed has written"


ALL_EVENTS = EventSelection(frozenset(), 0)
