"""A tool on many files: by this package, and by what a shell has for it.

Run as a script it prints what it takes to process many small files, and one large one of as many
events: the time, and the memory of the command with all its processes.

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
        seconds = seconds_of(command, output, input="\n".join(map(str, files)), text=True)
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
        seconds = seconds_of(many_files_command(files, n_processes, output), output)
        assert len(list(Path(output).glob("*.dl1.h5"))) == len(files)
        return seconds


def seconds_of(command, directory, **options):
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=directory, **options)
    return time.perf_counter() - began


def added_memory_mb(files, n_workers):
    """The memory that each worker process takes but for the first, in MB.

    Parameters
    ----------
    files : list of pathlib.Path
        The inputs, at least one for each worker.
    n_workers : int
        How many.
    """
    peaks = []
    for n in (1, n_workers):
        with tempfile.TemporaryDirectory() as output:
            peaks.append(peak_memory_mb(many_files_command(files, n, output), output))
    return (peaks[1] - peaks[0]) / (n_workers - 1)


def peak_memory_mb(command, directory):
    """The most memory that a command and its processes have together, PSS in MB."""
    with psutil.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory
    ) as process:
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


def many_files_command(files, n_processes, output):
    directory, _ = os.path.split(files[0])
    return [
        *(PROGRAMS / "ctapipe-pipeline", f"--config={EXAMPLES / 'many_files.yaml'}"),
        *(f"--input={directory}/run*.simtel.zst", f"--output-dir={output}", f"-j{n_processes}"),
        *OPTIONS,
    ]


def one_file_command(path, n_processes, output):
    return [
        *(PROGRAMS / "ctapipe-pipeline", f"--config={EXAMPLES / 'dl1.yaml'}"),
        *(f"--input={path}", f"--output={output}/events.dl1.h5", f"-j{n_processes}"),
        *OPTIONS,
    ]


def main(n_files=16, n_events=300):
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        files = make_files(Path(directory, "files"), n_files, n_events)
        large = Path(directory, "large.simtel.zst")
        write_toy_data(large, n_files * n_events, 1)
        print(f"workers  {n_files} files of {n_events} events  one of {n_files * n_events}")
        for n in (1, 2, 4, 8):
            cells = []
            for command, what in ((many_files_command, files), (one_file_command, large)):
                with tempfile.TemporaryDirectory() as output:
                    seconds = seconds_of(command(what, n, output), output)
                with tempfile.TemporaryDirectory() as output:
                    memory_mb = peak_memory_mb(command(what, n, output), output)
                cells.append(f"{seconds:12.1f} s {memory_mb:6.0f} MB")
            print(f"{n:7}  {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
