"""Makes trials one after the other, each in a fork of a process that has imported everything.

Started by run.py; it writes a line of JSON for each trial.
"""

import argparse
import contextlib
import gc
import importlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Before NumPy is imported: threads would not be there in a fork.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import faulty_steps  # noqa: E402, F401
import process_table  # noqa: E402
from astropy.time import Time  # noqa: E402
from checks import failures  # noqa: E402
from conduct import conduct  # noqa: E402
from ctapipe.core import provenance  # noqa: E402
from mounts import get_own_mounts  # noqa: E402
from trials import COMBINATIONS, left_out, make_trial  # noqa: E402

from ctapipe.pipeline import Pipeline  # noqa: E402

KEPT = ("stderr", "records", "conf.json", "trial.json", "summary.json", "stacks")


def main():
    """Make those trials whose numbers are read from standard input, a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--bound", type=float, required=True)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    process_table.adopt_orphans()
    keep = open_directory(arguments.keep)
    own_mounts = get_own_mounts()
    base = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    server = os.getpid()
    results = os.dup(1)
    try:
        import_what_runs_import(base / "first", own_mounts)
        for line in sys.stdin:
            trial = make_trial(arguments.seed, int(line), arguments.fresh)
            result = make(trial, base / line.strip(), arguments.bound, own_mounts, keep)
            os.write(results, (json.dumps(result) + "\n").encode())
    finally:
        # A trial's process comes by here as well, on its way out.
        if os.getpid() == server:
            process_table.kill_all(server)
            shutil.rmtree(base, ignore_errors=True)


def import_what_runs_import(directory, own_mounts):
    """Import all that a run imports while it goes, so that no trial has to."""
    number = [(fault.window, executor) for fault, executor in COMBINATIONS].index(
        ("reads", "threads")
    )
    evidence = conduct(make_trial(0, number), directory, 600, own_mounts)
    for module in evidence.after["modules"]:
        if module != "__main__":
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    # ctapipe would list all that is installed, four fifths of the time of a trial.
    provenance.distributions = list
    # Astropy reads its leap seconds at the first difference.
    Time.now() - Time.now()
    # Not to be looked through again, nor copied, in each trial.
    gc.collect()
    gc.freeze()


def open_directory(path):
    """A descriptor, because the path may soon be hidden by another file system."""
    if path is None:
        return None
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def make(trial, directory, bound_s, own_mounts, keep):
    """Make one trial, and say what came of it."""
    result = {"number": trial.number, "fault": trial.fault.name, "executor": trial.executor}
    reason = left_out(trial, own_mounts, hasattr(Pipeline, "job_timeout"))
    if reason:
        return {**result, "left_out": reason}
    if trial.max_jobs and hasattr(Pipeline, "max_jobs_per_worker"):
        trial.options["max_jobs_per_worker"] = trial.max_jobs
    evidence = conduct(trial, directory, bound_s, own_mounts)
    found = failures(trial, evidence)
    result |= {
        "code": evidence.code,
        "state": evidence.summary and evidence.summary["state"],
        "seconds": round(evidence.seconds, 3),
        "is_hung": evidence.is_hung,
        "failures": found,
    }
    if found:
        result["act"] = trial.act and str(trial.act)
        result["stderr"] = evidence.stderr[-3000:]
        if keep is not None:
            keep_files(directory, trial.number, keep, evidence)
    shutil.rmtree(directory, ignore_errors=True)
    return result


def keep_files(directory, number, keep, evidence):
    os.makedirs(f"/proc/self/fd/{keep}/{number}", exist_ok=True)
    for name in KEPT:
        if (directory / name).exists():
            shutil.copy(directory / name, f"/proc/self/fd/{keep}/{number}/{name}")
    Path(f"/proc/self/fd/{keep}/{number}/stacks").write_text(evidence.stacks)


if __name__ == "__main__":
    main()
