"""Which processes there are (Linux)."""

import contextlib
import ctypes
import os
import signal
from pathlib import Path

__all__ = ["adopt_orphans", "children", "command", "descendants", "describe", "kill_all", "reap"]

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Let orphans among the descendants become children of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def stat(pid):
    """The state of a process, and its parent's pid; None if it is not there."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return after_name[0], int(after_name[1])


def parents():
    """The parent of every process that is not a zombie."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (entry := stat(int(name))) and entry[0] not in "ZX":
            found[int(name)] = entry[1]
    return found


def children(pid):
    """Those of one process."""
    return [child for child, parent in parents().items() if parent == pid]


def descendants(pid):
    """Those of one process, and theirs."""
    all_parents = parents()
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in all_parents.items() if parent == ancestor]
    return found[1:]


def command(pid):
    """The command line of a process; empty if it is not there."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def describe(pid):
    """What a process is, for a report."""
    words = command(pid).replace(b"\0", b" ").decode(errors="replace")[:200]
    letter, parent = stat(pid) or ("gone", 0)
    return f"process {pid} ({letter}, child of {parent}): {words}"


def kill_all(pid):
    """Kill all descendants of a process, until there are none."""
    while found := descendants(pid):
        for child in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        reap()


def reap():
    """Take note of the children of this process that have ended; their statuses by pid."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended
