"""Where a thread is in its code."""

import sys
import threading
import traceback

__all__ = ["stack_of"]

MOST_FRAMES = 10


def stack_of(thread: threading.Thread) -> str:
    """The last calls of a thread, as a traceback shows them; empty if it has ended."""
    frame = sys._current_frames().get(thread.ident or 0)
    lines = traceback.format_stack(frame) if frame is not None else []
    return "".join(lines[-MOST_FRAMES:]).rstrip()
