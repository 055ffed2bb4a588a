"""On how many cores may this process compute?"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["usable_cores"]


def usable_cores(root: Path = Path("/")) -> int:
    """How many cores this process may use, at least 1.

    Its affinity is respected, which batch systems set, and the time that its control groups
    leave to it, with which containers are limited; a part of a core counts as one.

    Parameters
    ----------
    root : pathlib.Path
        Where the file system begins that says what the control groups are.
    """
    return max(1, min([_cores_of_process(), *map(math.ceil, _quotas(root))]))


def _cores_of_process() -> int:
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """How many cores each group that limits them leaves to the process."""
    for group in _groups(root):
        try:
            # Version 2 has both in one file, which says "max" for no limit.
            if (group / "cpu.max").exists():
                quota, period = (group / "cpu.max").read_text().split()
            else:
                quota = (group / "cpu.cfs_quota_us").read_text()
                period = (group / "cpu.cfs_period_us").read_text()
            cores = int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
        # Version 1 says -1 for no limit.
        if cores > 0:
            yield cores


def _groups(root: Path) -> Iterator[Path]:
    """The directories of the groups that limit the cores, with those that they are in."""
    for group, fs_type in _memberships(root):
        for mounted, mount_point in _mounts(root, fs_type):
            directory = mount_point
            # Groups above those that a container sees are beyond what can be looked at.
            if group.is_relative_to(mounted) and ".." not in group.parts:
                directory /= group.relative_to(mounted)
            while directory != mount_point:
                yield directory
                directory = directory.parent
            yield mount_point


def _memberships(root: Path) -> Iterator[tuple[PurePosixPath, str]]:
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            yield PurePosixPath(group), "cgroup2"
        elif "cpu" in controllers.split(","):
            yield PurePosixPath(group), "cgroup"


def _mounts(root: Path, fs_type: str) -> Iterator[tuple[PurePosixPath, Path]]:
    """Which group is the top of each mounted tree of groups, and where it is mounted."""
    for line in _lines(root / "proc/self/mountinfo"):
        # The number of the fields before the dash varies.
        before, _, after = (part.split() for part in line.partition(" - "))
        if len(before) < 5 or len(after) < 3 or after[0] != fs_type:
            continue
        if fs_type == "cgroup2" or "cpu" in after[2].split(","):
            yield PurePosixPath(before[3]), root / before[4].lstrip("/")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
