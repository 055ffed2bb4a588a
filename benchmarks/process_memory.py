"""How much memory a process has, by the kernel's own account. For Linux only."""

from pathlib import Path

__all__ = ["sizes_mb"]


def sizes_mb(pid):
    """The sizes in ``/proc/PID/smaps_rollup``, in MB, by name.

    ``Pss`` is its own memory and its share of what several processes have.

    Parameters
    ----------
    pid : int
        The process.

    Raises
    ------
    OSError
        If it has ended.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    lines = (line.partition(":") for line in rollup.splitlines()[1:])
    return {name: int(size.split()[0]) / 1024 for name, _, size in lines}
