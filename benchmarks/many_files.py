"""A tool on many files: by this package, and by what a shell has for it.

Run as a script it prints how much memory the worker processes take:

    python benchmarks/many_files.py
"""

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from process_memory import sizes_mb

from ctapipe.pipeline.toy_data import write_toy_data

__all__ = ["added_memory_mb", "make_files", "seconds_with_pipeline", "seconds_with_xargs"]

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = Path(sys.executable).parent
OPTIONS = ["--write-images", "--quiet"]
SAMPLED_EVERY_S = 0.1


def make_files(directory, n_files, n_events, n_telescopes=1):
    """Files of toy data, of two kinds in turn: what is in them does not change the time.

    Parameters
    ----------
    directory : pathlib.Path
        Where.
    n_files, n_events, n_telescopes : int
        How many files, how many events in each, and how many telescopes see them.
    """
    directory.mkdir()
    kinds = [directory / f"kind{k}.simtel.zst" for k in range(2)]
    for seed, path in enumerate(kinds):
        write_toy_data(path, n_events, n_telescopes, seed)
    files = [directory / f"run{i:03}.simtel.zst" for i in range(n_files)]
    for path, kind in zip(files, itertools.cycle(kinds), strict=False):
        os.link(kind, path)
    return files


def seconds_with_xargs(files, n_processes):
    """The wall time of ``xargs -P`` over ``ctapipe-process``.

    Parameters
    ----------
    files : list of pathlib.Path
        The inputs.
    n_processes : int
        How many run at a time.
    """
    with tempfile.TemporaryDirectory() as output:
        one = [str(PROGRAMS / "ctapipe-process"), *OPTIONS, "--input={}"]
        command = ["xargs", f"-P{n_processes}", "-I{}", "sh", "-c"]
        command.append(" ".join([*one, f'--output={output}/"$(basename {{}})".dl1.h5']))
        began = time.perf_counter()
        subprocess.run(
            command,
            input="\n".join(map(str, files)),
            text=True,
            check=True,
            capture_output=True,
            cwd=output,
        )
        seconds = time.perf_counter() - began
        assert len(list(Path(output).glob("*.dl1.h5"))) == len(files)
        return seconds


def seconds_with_pipeline(files, n_processes):
    """The wall time of ``ctapipe-pipeline`` with ``examples/many_files.yaml``.

    Parameters
    ----------
    files : list of pathlib.Path
        The inputs.
    n_processes : int
        How many worker processes.
    """
    with tempfile.TemporaryDirectory() as output:
        command = pipeline_command(files, n_processes, output)
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=output)
        seconds = time.perf_counter() - began
        assert len(list(Path(output).glob("*.dl1.h5"))) == len(files)
        return seconds


def added_memory_mb(files, n_workers):
    """The memory that each worker process takes but for the first, in MB.

    Parameters
    ----------
    files : list of pathlib.Path
        The inputs, at least one for each worker.
    n_workers : int
        How many.
    """
    return (peak_memory_mb(files, n_workers) - peak_memory_mb(files, 1)) / (n_workers - 1)


def peak_memory_mb(files, n_workers):
    """The most memory that the command and its processes have together, PSS in MB."""
    with tempfile.TemporaryDirectory() as output:
        process = psutil.Popen(
            pipeline_command(files, n_workers, output),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=output,
        )
        peak = 0.0
        ended = threading.Event()
        waiting = threading.Thread(target=lambda: (process.wait(), ended.set()))
        waiting.start()
        while not ended.wait(SAMPLED_EVERY_S):
            peak = max(peak, tree_memory_mb(process))
        waiting.join()
        assert process.returncode == 0
        return peak


def tree_memory_mb(process):
    """PSS of a process and all that it has started, in MB."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(OSError):
                total += sizes_mb(member.pid)["Pss"]
    return total


def pipeline_command(files, n_processes, output):
    directory, _ = os.path.split(files[0])
    return [
        *(PROGRAMS / "ctapipe-pipeline", f"--config={EXAMPLES / 'many_files.yaml'}"),
        *(f"--input={directory}/run*.simtel.zst", f"--output-dir={output}", f"-j{n_processes}"),
        *OPTIONS,
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        files = make_files(Path(directory, "files"), 16, 100)
        print("workers  PSS (MB)")
        for n in (1, 2, 4, 8):
            print(f"{n:7}  {peak_memory_mb(files, n):8.0f}")
