"""What the steps of a trial write down, from whatever process, and how it is read."""

import contextlib
import faulthandler
import functools
import json
import os
import signal
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "DIRECTORY",
    "STACKS",
    "Record",
    "claim",
    "read_records",
    "record",
    "show_stacks_on_request",
    "trial",
]

# The environment variable with the directory of the trial.
DIRECTORY = "FAULTS_TRIAL"
RECORDS = "records"
STACKS = "stacks"


class Record(NamedTuple):
    """A line: who does what.

    ``what`` is a call and ``begin`` or ``end``; or ``act``, ``lasts`` (a process that may
    outlive the run), ``kills`` (a process), ``wrong`` (a message that is not what was sent).
    """

    pid: int
    step: str
    instance: str
    what: str
    number: int


@functools.cache
def directory():
    """Where the trial lies; a step may change the environment, and the current directory."""
    return Path(os.environ[DIRECTORY])


@functools.cache
def trial():
    """What the trial says to the steps."""
    return json.loads((directory() / "trial.json").read_text())


def record(step, instance, what, number):
    """Write a line, which nothing else gets into."""
    line = f"{os.getpid()} {step} {instance} {what} {number}\n"
    file = os.open(
        directory() / RECORDS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666
    )
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def claim(name):
    """Whether nobody has claimed this before, in any process."""
    try:
        os.close(os.open(directory() / f"claim.{name}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def read_records(path):
    """All records of the trial in a directory."""
    records = []
    with contextlib.suppress(FileNotFoundError):
        # The last line may just be being written.
        for line in (path / RECORDS).read_text().split("\n")[:-1]:
            pid, step, instance, what, number = line.split(" ")
            records.append(Record(int(pid), step, instance, what, int(number)))
    return records


def show_stacks_on_request():
    """From now on, write the stacks of all threads of this process and its forks on SIGUSR1."""
    file = open(directory() / STACKS, "a")  # noqa: SIM115
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
