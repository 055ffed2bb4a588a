"""How numbers and times are written."""

import math

from .snapshot import Percentiles

__all__ = ["count", "duration", "elapsed", "percentiles", "rate", "short_count"]

# A narrow space that no line breaks at.
SPACE = "\u202f"
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


def count(number: int) -> str:
    """A number of messages, in groups of three digits."""
    return f"{number:,}".replace(",", SPACE)


def short_count(number: int) -> str:
    """A number of messages, in little room."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= 10 * size:
            return (
                f"{number / size:.0f}{unit}"
                if number >= 100 * size
                else f"{number / size:.1f}{unit}"
            )
    return str(number)


def rate(per_s: float) -> str:
    """A number per second, with three digits where there are so many."""
    if per_s == 0:
        return "0"
    if per_s < 9.995:
        return f"{per_s:.2f}"
    if per_s < 99.95:
        return f"{per_s:.1f}"
    return count(round(per_s))


def duration(seconds: float) -> str:
    """A short time, with its unit; a dash for none."""
    if not math.isfinite(seconds):
        return "-"
    unit, size = next(((unit, size) for unit, size in UNITS if seconds >= 0.9995 * size), UNITS[-1])
    value = seconds / size
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def percentiles(times: Percentiles | None) -> str:
    """The median and the 99th percentile of times; a dash for none."""
    if times is None:
        return "-"
    first, last = duration(times.p50_s), duration(times.p99_s)
    number, unit = first.split()
    return f"{number if last.endswith(f' {unit}') else first} / {last}"


def elapsed(seconds: float) -> str:
    """A time since the begin: minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
