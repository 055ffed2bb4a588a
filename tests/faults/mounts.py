"""File systems that a run finds, where it takes root to make them."""

import contextlib
import ctypes
import os
import sys

import ctapipe.pipeline

__all__ = ["get_own_mounts", "mounted"]

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REC, MS_PRIVATE = 1, 0x4000, 0x40000
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def get_own_mounts():
    """Give this process ``/tmp`` and ``/dev/shm`` of its own, if it may; say which it has."""
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS):
        return []
    # Not where Python or the package are.
    needed = [os.path.realpath(path) for path in (sys.prefix, *ctapipe.pipeline.__path__, __file__)]
    has_own = []
    try:
        mount(None, "/", None, MS_REC | MS_PRIVATE, None)
        for path in ("/tmp", "/dev/shm"):
            if not any(other.startswith(f"{path}/") for other in needed):
                mount("tmpfs", path, "tmpfs", 0, "size=2g,mode=1777")
                has_own.append(path)
    except OSError:
        pass
    return has_own


@contextlib.contextmanager
def mounted(name, directory):
    """While entered, there is the file system of this name; nothing, if there is none."""
    what = {
        "temporary_directory_full": (directory / "t", 0, "size=4k,nr_inodes=2"),
        "temporary_directory_read_only": (directory / "t", MS_RDONLY, "size=4k"),
        "shared_memory_directory_full": ("/dev/shm", 0, "size=4k,nr_inodes=1"),
    }.get(name)
    if what is None:
        yield
        return
    path, flags, options = what
    mount("tmpfs", path, "tmpfs", flags, options)
    owner = os.getpid()
    try:
        yield
    finally:
        # Not in the trial's process, which leaves this by its exit.
        if os.getpid() == owner:
            libc.umount2(os.fsencode(path), MNT_DETACH)


def mount(source, path, kind, flags, options):
    arguments = [None if text is None else os.fsencode(text) for text in (source, path, kind)]
    data = None if options is None else options.encode()
    if libc.mount(*arguments, ctypes.c_ulong(flags), data):
        raise OSError(ctypes.get_errno(), f"cannot mount {path}")
