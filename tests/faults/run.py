"""Tries to break the pipeline with injected faults, and writes a table of what came of it.

    python tests/faults/run.py --trials 10000 --seed 1 --jobs 2 --table docs/reliability_table.txt

Each fault is tried with each executor in turn, at random moments of random pipelines. A seed and
the number of a trial are enough to repeat it:

    python tests/faults/run.py --seed 1 --only-trial 17

It ends with 0 if everything held in all trials, and after Ctrl-C with the table of those that were
made. On Linux only.
"""

import argparse
import contextlib
import json
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from table import make_table

HERE = Path(__file__).parent
BOUND_S = 60.0


def main(argv=None):
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="how many at the same time")
    parser.add_argument("--only-trial", type=int, nargs="+", help="only those with these numbers")
    parser.add_argument("--only-fault", help="only faults with this in their name")
    parser.add_argument("--only-executor", help="only those with this executor")
    parser.add_argument("--bound", type=float, default=BOUND_S, help="a trial's longest time, s")
    parser.add_argument("--fresh", action="store_true", help="every fork server is a new Python")
    parser.add_argument("--keep", type=Path, help="directory for the files of trials that failed")
    parser.add_argument("--table", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    numbers = arguments.only_trial or chosen(arguments)
    began = time.monotonic()
    results = run_trials(numbers, arguments)
    command = ["python", "tests/faults/run.py", *(sys.argv[1:] if argv is None else argv)]
    text = make_table(results, len(numbers), shlex.join(command), time.monotonic() - began)
    print(text)
    if arguments.table:
        arguments.table.write_text(text)
    return 1 if any(result.get("failures") for result in results) else 0


def chosen(arguments):
    """The numbers of the trials to be made."""
    sys.path.insert(0, str(HERE))
    from trials import COMBINATIONS

    return [
        number
        for number in range(arguments.trials)
        for fault, executor in [COMBINATIONS[number % len(COMBINATIONS)]]
        if (arguments.only_fault or "") in fault.name
        and arguments.only_executor in (None, executor)
    ]


def run_trials(numbers, arguments, report=print):
    """Make these trials, several at a time; what came of each."""
    waiting = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    results = []
    threads = [
        # Daemons, so that Ctrl-C ends the program, and with it the servers.
        threading.Thread(target=work, args=(waiting, results, arguments, report), daemon=True)
        for _ in range(min(arguments.jobs, len(numbers)))
    ]
    for thread in threads:
        thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        for thread in threads:
            thread.join()
    return sorted(results, key=lambda result: result["number"])


def work(waiting, results, arguments, report):
    """Let a process make trials as long as there are any; another one, if it ends."""
    while (number := next_of(waiting)) is not None:
        with subprocess.Popen(
            server_command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            while number is not None:
                server.stdin.write(f"{number}\n")
                server.stdin.flush()
                line = server.stdout.readline()
                result = json.loads(line) if line else without_answer(number)
                results.append(result)
                if result.get("failures"):
                    report(failure_text(result, arguments))
                if not line:
                    break
                number = next_of(waiting)


def next_of(waiting):
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


def server_command(arguments):
    command = [sys.executable, str(HERE / "server.py"), f"--seed={arguments.seed}"]
    command += [f"--bound={arguments.bound}"]
    command += [f"--keep={arguments.keep.resolve()}"] if arguments.keep else []
    return command + (["--fresh"] if arguments.fresh else [])


def without_answer(number):
    """The result of a trial that has ended what makes the trials."""
    return {
        "number": number,
        "fault": "(the harness)",
        "executor": "",
        "code": None,
        "seconds": 0.0,
        "act": "",
        "failures": ["what makes the trials has ended"],
    }


def failure_text(result, arguments):
    lines = [
        f"trial {result['number']}: {result['fault']!r} with {result['executor']}, "
        f"exit code {result['code']} after {result['seconds']:.1f} s",
        *(f"  - {failure}" for failure in result["failures"]),
        f"  {result['act']}" if result["act"] else "",
        f"  repeat: python tests/faults/run.py --seed {arguments.seed} "
        f"--only-trial {result['number']}" + (" --fresh" if arguments.fresh else ""),
    ]
    return "\n".join(filter(None, lines))


if __name__ == "__main__":
    sys.exit(main())
