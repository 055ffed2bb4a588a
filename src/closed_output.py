"""What if nobody reads the standard output any more, as behind ``| head``?"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ending_quietly"]


@contextmanager
def ending_quietly() -> Iterator[None]:
    """While entered, that is no error, but the end of it.

    Raises
    ------
    SystemExit
        With the code 0, if it was so.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Else Python would try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
