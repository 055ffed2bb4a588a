"""What steps leave behind in a worker process."""

import gc
import multiprocessing

__all__ = ["end_children"]

# How long a process may take to end by itself, or after it was asked to.
PATIENCE_S = 1.0


def end_children() -> None:
    """End the processes of `multiprocessing`, as Python does at the end of a program.

    A pool, an executor or a manager ends its own when nobody refers to it any more; what is
    left then is terminated.
    """
    if not multiprocessing.active_children():
        return
    gc.unfreeze()
    gc.collect()
    for child in multiprocessing.active_children():
        child.terminate()
    for child in multiprocessing.active_children():
        child.join(PATIENCE_S)
        if child.is_alive():
            child.kill()
            child.join()
