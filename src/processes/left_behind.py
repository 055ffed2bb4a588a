"""What steps leave behind in a worker process."""

import gc
import multiprocessing
import multiprocessing.util
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.managers import BaseManager
from multiprocessing.pool import Pool

__all__ = ["end_children"]

# How long a process may take to end after it was asked to.
PATIENCE_S = 1.0


def end_children() -> None:
    """End the processes of `multiprocessing`, as Python does at the end of a program."""
    if multiprocessing.active_children():
        _end_active_children()
    # Its directories and semaphores go with this; there is no public way, and they are all that
    # would be left without it.
    end_of_program = getattr(multiprocessing.util, "_exit_function", None)
    if end_of_program is not None:
        end_of_program()


def _end_active_children() -> None:
    # First those who look after processes: a pool would start others.
    gc.unfreeze()
    for kept in gc.get_objects():
        # Not isinstance, which asks an object that may pretend to be another.
        kind = type(kept)
        if issubclass(kind, Pool):
            kept.terminate()
        elif issubclass(kind, ProcessPoolExecutor):
            kept.shutdown(wait=False, cancel_futures=True)
        elif issubclass(kind, BaseManager) and hasattr(kept, "shutdown"):
            kept.shutdown()
    for child in multiprocessing.active_children():
        child.terminate()
    for child in multiprocessing.active_children():
        child.join(PATIENCE_S)
        if child.is_alive():
            child.kill()
            child.join()
