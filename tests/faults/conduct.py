"""A trial from its start to its end, and what was seen of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import process_table
import windows
from blows import Blows
from mounts import mounted
from records import STACKS, read_records
from trial_main import become

from ctapipe.pipeline.processes.private_directory import PrivateDirectory

__all__ = ["Evidence", "conduct"]

# How soon all other processes have to end after the main process.
GRACE_S = 10.0
POLL_S = 0.002


@dataclass
class Evidence:
    """What was seen of a trial."""

    main: int
    code: int | None = None
    seconds: float = 0.0
    is_hung: bool = False
    records: list = field(default_factory=list)
    summary: dict | None = None
    stderr: str = ""
    # Of the main process at its end: descriptors and threads.
    after: dict | None = None
    # What outlived the main process, as text.
    processes: list = field(default_factory=list)
    files: list = field(default_factory=list)
    files_after_next: list = field(default_factory=list)
    shared_memory: list = field(default_factory=list)
    stacks: str = ""
    n_before: int | None = None
    n_after: int | None = None
    hit: list = field(default_factory=list)
    companion_code: int = 0


def conduct(trial, directory, bound_s, own_mounts):
    """Make a trial, in a new directory."""
    (directory / "t").mkdir(parents=True)
    window = None
    if trial.fault.window:
        window, port = windows.open_window(trial.fault.window, trial.seed + trial.number)
        trial.options["gui_address"] = f"127.0.0.1:{port}"
    shm_before = set(os.listdir("/dev/shm"))
    tmp_before = left_files("/tmp") if "/tmp" in own_mounts else []
    with mounted(trial.fault.around, directory):
        evidence = watch(trial, directory, bound_s, window)
        evidence.files = left_files(directory / "t")
        if "/tmp" in own_mounts:
            evidence.files += sorted(set(left_files("/tmp")) - set(tmp_before))
        if "/dev/shm" in own_mounts:
            evidence.shared_memory = sorted(set(os.listdir("/dev/shm")) - shm_before)
        if evidence.files:
            clean_up_as_next_run(directory)
            evidence.files_after_next = left_files(directory / "t")
    if window is not None:
        os.kill(window, signal.SIGKILL)
        os.waitpid(window, 0)
    evidence.records = read_records(directory)
    evidence.stderr = read(directory / "stderr")
    evidence.stacks += read(directory / STACKS)
    with contextlib.suppress(OSError, ValueError):
        evidence.summary = json.loads((directory / "summary.json").read_text())
    with contextlib.suppress(OSError, ValueError):
        evidence.after = json.loads((directory / "after.json").read_text())
    return evidence


def watch(trial, directory, bound_s, window):
    """Start the main process, send signals, and wait until nothing of it is left."""
    began = time.monotonic()
    main = start(trial, directory)
    companion = None
    if trial.fault.around == "two_runs":
        companion_directory = directory.with_name(f"{directory.name}c")
        (companion_directory / "t").mkdir(parents=True)
        companion = start(trial, companion_directory, directory / "t")
    evidence = Evidence(main)
    blows = Blows(trial, main)
    statuses = {}
    while main not in statuses or (companion and companion not in statuses):
        if time.monotonic() - began > bound_s:
            evidence.is_hung = True
            evidence.stacks = dump_stacks(set(process_table.descendants(os.getpid())) - {window})
            break
        blows.send_due(lambda: read_records(directory))
        time.sleep(POLL_S)
        statuses.update(process_table.reap())
    blows.resume()
    ended = time.monotonic()
    lasting = {record.number for record in read_records(directory) if record.what == "lasts"}
    while not evidence.is_hung:
        left = set(process_table.descendants(os.getpid())) - {window}
        if left <= lasting:
            break
        if time.monotonic() - ended > GRACE_S:
            evidence.processes = [process_table.describe(pid) for pid in sorted(left - lasting)]
            evidence.stacks = dump_stacks(left - lasting)
            break
        time.sleep(POLL_S)
        statuses.update(process_table.reap())
    evidence.seconds = time.monotonic() - began
    for pid in process_table.descendants(os.getpid()):
        if pid != window:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    while set(process_table.descendants(os.getpid())) - {window}:
        statuses.update(process_table.reap())
        time.sleep(POLL_S)
    statuses.update(process_table.reap())
    evidence.code = statuses.get(main)
    if companion:
        evidence.companion_code = statuses.get(companion)
        shutil.rmtree(companion_directory, ignore_errors=True)
    evidence.n_before, evidence.n_after, evidence.hit = blows.n_before, blows.n_after, blows.hit
    return evidence


def start(trial, directory, temporary=None):
    """Fork the main process of a run."""
    pid = os.fork()
    if pid == 0:
        if temporary is not None:
            (directory / "t").rmdir()
            (directory / "t").symlink_to(temporary)
        # It leaves by SystemExit, so that Python ends as it does after a command.
        become(trial, directory)
    return pid


def dump_stacks(pids):
    """What all threads of these processes are doing, if py-spy is there; else on their own."""
    py_spy = shutil.which("py-spy", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    texts = []
    for pid in sorted(pids):
        texts.append(process_table.describe(pid))
        if py_spy:
            done = subprocess.run(
                [py_spy, "dump", "--pid", str(pid)], capture_output=True, text=True, check=False
            )
            texts.append(done.stdout + done.stderr)
        elif b"python" in process_table.command(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
                time.sleep(0.2)
    return "\n".join(texts) + "\n"


def clean_up_as_next_run(directory):
    """What a run that starts does with what others have left behind some time ago."""
    for left in left_files(directory / "t"):
        os.utime(left, (0, 0))
    pid = os.fork()
    if pid == 0:
        try:
            tempfile.tempdir = str(directory / "t")
            PrivateDirectory().close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def left_files(path):
    """The names of what runs have left there."""
    with contextlib.suppress(OSError):
        return sorted(str(left) for left in Path(path).rglob("ctapipe-pipeline-*"))
    return []


def read(path):
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""
