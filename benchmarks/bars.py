"""The bars that the benchmarks hold, read from ``bars.toml``."""

import dataclasses
import tomllib
from pathlib import Path

__all__ = ["BARS", "Bar"]


@dataclasses.dataclass(frozen=True)
class Bar:
    """What must hold of a ratio.

    Parameters
    ----------
    name : str
        ``ROW.NAME``.
    ratio : str
        What is compared with what.
    guard : float
        What must hold even on a busy machine: less than the bar.
    at_least, at_most : float, optional
        The bar: one of the two.
    """

    name: str
    ratio: str
    guard: float
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self):
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"the bar {self.name} needs one of at_least and at_most")

    def __str__(self):
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}"

    def holds(self, ratio):
        """Whether a measured ratio is within the bar."""
        if self.at_least is not None:
            return ratio >= self.at_least
        return ratio <= self.at_most

    def is_guarded(self, ratio):
        """Whether a measured ratio is within the guard."""
        return ratio >= self.guard if self.at_least is not None else ratio <= self.guard

    def best(self, ratios):
        """The one of the ratios that is the furthest on the right side."""
        return max(ratios) if self.at_least is not None else min(ratios)


def _read(path):
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    bars = [
        Bar(f"{row}.{name}", **bar) for row, of_row in rows.items() for name, bar in of_row.items()
    ]
    return {bar.name: bar for bar in bars}


BARS = _read(Path(__file__).with_name("bars.toml"))
