"""Allocations of the compiled core that fail, where failing_allocations.c is preloaded."""

import ctypes
import errno
import gc
import os
import subprocess
from pathlib import Path

import ctapipe.pipeline

__all__ = ["fail_each", "preloaded", "try_again"]

SOURCE = Path(__file__).with_suffix(".c")
ALL = 1 << 30


def preloaded(directory):
    """The environment of a process in which allocations are to fail.

    It needs glibc and a C compiler.
    """
    library = directory / "failing_allocations.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-g", "-o", library, SOURCE, "-ldl"], check=True
    )
    others = os.environ.get("LD_PRELOAD", "")
    core = str(Path(ctapipe.pipeline.__file__).parent)
    return {**os.environ, "LD_PRELOAD": f"{library} {others}", "FAILING_ALLOCATIONS": core}


def fail_each(run):
    """Call a function while each allocation fails in turn, alone and with all after it.

    Parameters
    ----------
    run : callable
        Raises no other error than that there is no memory, and leaves nothing open.

    Returns
    -------
    int
        How many allocations it makes.
    """
    library = ctypes.CDLL(None)
    library.fail_allocation.argtypes = [ctypes.c_long, ctypes.c_long]
    library.allocations.restype = ctypes.c_long
    # What is loaded at the first call stays.
    run()
    gc.collect()
    gc.freeze()
    before = _descriptors()
    library.fail_allocation(ALL, 0)
    run()
    n_allocations = library.allocations()
    for how_many in (1, ALL):
        for n in range(1, n_allocations + 1):
            library.fail_allocation(n, how_many)
            try:
                run()
            except MemoryError:
                pass
            except OSError as error:
                if error.errno != errno.ENOMEM:
                    raise
            except BaseException as error:
                error.add_note(f"allocation {n} of {n_allocations} has failed")
                raise
            finally:
                library.fail_allocation(0, 0)
            gc.collect()
            assert _descriptors() == before, f"open after allocation {n} has failed"
    return n_allocations


def _descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def try_again(call, *arguments, **options):
    """Make a call of a worker, and once more if there was no memory: nothing is lost."""
    try:
        return call(*arguments, **options)
    except BlockingIOError:
        raise
    except (MemoryError, OSError):
        return call(*arguments, **options)
