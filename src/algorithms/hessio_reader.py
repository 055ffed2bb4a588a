"""A producer of the events of a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctapipe.containers import ArrayEventContainer
from ctapipe.core import Component, ToolConfigurationError
from ctapipe.core.traits import Int, Unicode
from ctapipe.io import EventSource
from ctapipe.utils import get_dataset_path

from ._how_far import fraction_read, n_events
from ._input import cannot_read, is_damage, reading


class HessioReader(Component):
    """Producer of the events of a file, of any format that `ctapipe.io.EventSource` reads.

    What is sent is the whole event, a `ctapipe.containers.ArrayEventContainer`. The options of the
    event source (``EventSource``, ``SimTelEventSource``, ...) are taken from the configuration.
    """

    filename = Unicode(
        "gamma_test_large.simtel.gz",
        help=(
            "Path of the event file, or the name of one of ctapipe's public test files,"
            " which is downloaded when it is first used"
        ),
    ).tag(config=True)
    max_events = Int(
        None, allow_none=True, min=1, help="Number of events to read; all when not given"
    ).tag(config=True)

    _source: Any = None

    def init(self) -> None:
        """Find and open the file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no such file, or no event source can read it.
        StepError
            If it is damaged.
        """
        option = f"{type(self).__name__}.filename"
        location = self._locate(option)
        # Passed only when it is given, as it would override EventSource.max_events.
        limit: dict[str, Any] = {} if self.max_events is None else {"max_events": self.max_events}
        try:
            self._source = EventSource(input_url=location, parent=self, **limit)
        except Exception as error:
            if is_damage(error, location):
                raise cannot_read(self, location, "the beginning", error) from None
            if isinstance(error, ValueError):
                raise ToolConfigurationError(
                    f"{option}: no event source of ctapipe can read '{location}'; is it an event "
                    "file? 'ctapipe-info --event-sources' lists the installed sources"
                ) from error
            reason = str(error).partition("\n")[0]
            raise ToolConfigurationError(
                f"{option}: cannot read events from '{location}': {reason}"
            ) from error

    def run(self) -> Iterator[ArrayEventContainer]:
        """Yield the events of the file.

        Yields
        ------
        ctapipe.containers.ArrayEventContainer
            An event, in the order of the file.

        Raises
        ------
        StepError
            If the file is damaged, after all events before that.
        """
        yield from reading(self, self._source.input_url, self._source)

    @property
    def n_messages(self) -> int | None:
        """How many messages it sends in all, if that can be told."""
        return n_events(self._source)

    @property
    def fraction_done(self) -> float | None:
        """How much of the file has been read, from 0 to 1, if that can be told."""
        return fraction_read(self._source)

    def finish(self) -> None:
        """Close the file."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _locate(self, option: str) -> str | Path:
        path = Path(self.filename).expanduser()
        if path.exists():
            return path
        if "://" in self.filename:  # the event source fetches URLs, also dataset://NAME
            return self.filename

        advice = f"give the path of an event file, --{option}=FILE"
        if path.name != self.filename:
            raise ToolConfigurationError(f"{option}: there is no file '{self.filename}'; {advice}")
        try:
            return get_dataset_path(self.filename)
        except Exception as error:
            raise ToolConfigurationError(
                f"{option}: there is no file '{self.filename}' here, and ctapipe could not download"
                f" a test file of that name ({type(error).__name__}); {advice}"
            ) from error
