"""What of a run is drawn: how far it is, and a table of its steps."""

from typing import TextIO

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..status import wording
from ..status.recent import Recent
from ..status.snapshot import Snapshot, StepSnapshot
from .bottom_lines import size_of

__all__ = ["Drawing"]

BOTTLENECK = "▲ "
QUEUE_WIDTH = 8
LONGEST_BAR = 20
STATE_STYLES = {"finished": "green", "failed": "bold red", "interrupted": "yellow"}
# Of the lines that are no steps: that above the table, its heading, what is left out.
OTHER_LINES = 3


class Drawing:
    """Draws a run.

    Parameters
    ----------
    terminal : typing.TextIO
        Where it is shown; how wide it is is looked up each time.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._console = Console(file=terminal, highlight=False, emoji=False, markup=False)
        self._has_unicode = self._console.encoding.startswith("utf")

    def fitting(self, snapshot: Snapshot, recent: Recent, total: int | None) -> list[str]:
        """As many lines as there is room for.

        Parameters
        ----------
        snapshot : Snapshot
            The last one.
        recent : Recent
            That and those before it.
        total : int, optional
            How many events there will be, if that is known.
        """
        self._console.size = size_of(self._terminal)
        room = max(1, self._console.height - 1)
        n_steps = len(snapshot.steps)
        n_shown = n_steps if n_steps < room - 1 else max(0, room - OTHER_LINES)
        return self._lines(snapshot, recent, total, n_shown)[:room]

    def complete(self, snapshot: Snapshot, recent: Recent) -> list[str]:
        """All lines, to be left on the terminal."""
        self._console.size = size_of(self._terminal)
        return self._lines(snapshot, recent, None, len(snapshot.steps))

    def _lines(
        self, snapshot: Snapshot, recent: Recent, total: int | None, n_shown: int
    ) -> list[str]:
        with self._console.capture() as capture:
            self._console.print(self._heading(snapshot, total))
            self._console.print(self._table(snapshot, recent, n_shown))
            n_left_out = len(snapshot.steps) - n_shown
            if n_left_out:
                self._console.print(f"... and {n_left_out} more steps", overflow="ellipsis")
        text = capture.get()
        if not self._has_unicode:
            text = text.replace(wording.SPACE, " ").replace("µ", "u").replace(BOTTLENECK, "^ ")
        return text.splitlines()

    def _heading(self, snapshot: Snapshot, total: int | None) -> Table:
        finished = snapshot.events.finished
        line = Table.grid(padding=(0, 2, 0, 0))
        parts: list[Text | ProgressBar] = [
            Text(snapshot.configuration, style="bold"),
            Text(snapshot.state, style=STATE_STYLES.get(snapshot.state, "")),
            Text(wording.elapsed(snapshot.elapsed_s)),
        ]
        if total:
            done = min(finished, total)
            parts += [
                ProgressBar(total=total, completed=done),
                Text(f"{wording.count(finished)} / {wording.count(total)} events"),
            ]
        else:
            parts.append(Text(f"{wording.count(finished)} events"))
        if snapshot.elapsed_s:
            parts.append(Text(f"{wording.rate(finished / snapshot.elapsed_s)}/s"))
        if total and finished and not snapshot.ended:
            left_s = snapshot.elapsed_s * max(0, total - finished) / finished
            parts.append(Text(f"{wording.elapsed(left_s)} left"))
        for part in parts:
            if isinstance(part, ProgressBar):
                # The one that gets shorter where there is little room.
                line.add_column(max_width=LONGEST_BAR)
            else:
                line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(*parts)
        return line

    def _table(self, snapshot: Snapshot, recent: Recent, n_shown: int) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("  Step", overflow="ellipsis", no_wrap=True)
        table.add_column("Busy", justify="right", no_wrap=True)
        table.add_column("Queue", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        for title in ("Done", "Failed", "Events/s"):
            table.add_column(title, justify="right", no_wrap=True)
        bottlenecks = recent.bottlenecks()
        rates, fills = recent.rates(), recent.fills
        for i, step in enumerate(snapshot.steps[:n_shown]):
            is_bottleneck = i in bottlenecks
            sign = BOTTLENECK if is_bottleneck else "  "
            table.add_row(
                Text(sign + step.name, style="bold yellow" if is_bottleneck else ""),
                f"{step.running}/{step.workers}",
                *self._queue(step, fills[i]),
                wording.count(step.done),
                Text(wording.count(step.failed), style="bold red" if step.failed else ""),
                wording.rate(rates[i]),
            )
        return table

    def _queue(self, step: StepSnapshot, fill: float) -> tuple[ProgressBar | str, str]:
        if not step.has_queue:
            return "", "-"
        bar = ProgressBar(total=1.0, completed=fill, width=QUEUE_WIDTH)
        if step.queue_limit < 0:
            return bar, wording.count(step.queue)
        return bar, f"{wording.count(step.queue)}/{wording.count(step.queue_limit)}"
