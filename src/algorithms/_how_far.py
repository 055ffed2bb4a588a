"""How many events a file has, or how much of it is read: what the progress display goes by."""

import os
from typing import Any

# What reads it reads ahead: of a smaller file nothing can be told by that.
SMALLEST_BYTES = 20 << 20


def n_events(source: Any) -> int:
    """How many events an event source yields, or at most.

    Parameters
    ----------
    source : ctapipe.io.EventSource
        The source.

    Raises
    ------
    TypeError
        If it cannot tell.
    """
    try:
        return len(source)
    except TypeError:
        if source.max_events is None:
            raise
        return int(source.max_events)


def fraction_read(source: Any) -> float | None:
    """How much of its file a source has read, from 0 to 1, where the system tells it: on Linux.

    Parameters
    ----------
    source : ctapipe.io.EventSource
        The source.
    """
    path = os.path.realpath(source.input_url)
    n_bytes = os.path.getsize(path)
    if source.max_events is not None or n_bytes < SMALLEST_BYTES:
        return None
    positions = [0]
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") == path:
                with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
                    positions.append(int(info.readline().removeprefix("pos:")))
        except OSError:
            # It has been closed meanwhile.
            continue
    return max(positions) / n_bytes
