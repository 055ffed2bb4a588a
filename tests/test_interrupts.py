"""Ctrl-C and SIGTERM, on the real command."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ctapipe.pipeline import Pipeline
from ctapipe.pipeline.tool import main

STEPS = """
import time
from pathlib import Path


class Forever:
    def run(self):
        number = 0
        while True:
            yield number
            number += 1
            if number == 200:
                Path("running").touch()

    def finish(self):
        Path("finished.producer").touch()


class Slow:
    def run(self, number):
        time.sleep(0.001)
        return number

    def finish(self):
        with open("finished.stage", "a") as file:
            file.write("x")


class Stuck:
    def run(self, number):
        Path("running").touch()
        while True:
            # Python handles a signal that comes just before a sleep after it.
            time.sleep(0.01)


class Count:
    n = 0

    def run(self, number):
        self.n += 1

    def finish(self):
        Path("finished.consumer").write_text(str(self.n))
"""


# Whatever runs the tests may have been started with SIGINT ignored, as background jobs are.
COMMAND = """
import signal
from ctapipe.pipeline.tool import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def configuration(stage, n_threads):
    return {
        "Pipeline": {
            "producer_conf": {"name": "FOREVER", "class": "Forever", "module": "steps"},
            "stagers_conf": [
                {"name": "STAGE", "class": stage, "module": "steps", "nb_thread": n_threads}
            ],
            "consumer_conf": {"name": "COUNT", "class": "Count", "module": "steps"},
        }
    }


@pytest.fixture
def start(tmp_path):
    """Starts the command on a pipeline without an end, and waits until it works."""
    processes = []

    def start(stage, n_threads, *arguments):
        (tmp_path / "steps.py").write_text(STEPS)
        (tmp_path / "conf.json").write_text(json.dumps(configuration(stage, n_threads)))
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "--config=conf.json", *arguments],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        while not (tmp_path / "running").exists():
            assert process.poll() is None, process.stderr.read()
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("executor", ["threads", "sequential"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_sent_runs_out_and_everything_is_finished(start, tmp_path, number, executor):
    process = start("Slow", 2, "--summary=summary.json", f"--executor={executor}")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert number.name in errors
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "interrupted"
    sent = summary["events"]["sent"]
    assert sent == summary["events"]["finished"] >= 200
    assert int((tmp_path / "finished.consumer").read_text()) == sent
    assert (tmp_path / "finished.producer").exists()
    workers = 2 if executor == "threads" else 1
    assert (tmp_path / "finished.stage").read_text() == workers * "x"


def test_a_signal_that_another_thread_receives_is_handled(tmp_path):
    """As one that comes just before the main thread waits, it does not end that wait."""
    script = """
import os, signal
from ctapipe.pipeline import run

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

class Forever:
    def run(self):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            yield 1

class Pass:
    def run(self, number):
        return number

class End:
    def run(self, number):
        pass

try:
    run([Forever, Pass, End])
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "interrupted\n", done.stderr


@pytest.mark.parametrize("executor", ["threads", "sequential"])
def test_a_second_signal_aborts_at_once(start, tmp_path, executor):
    process = start("Stuck", 2, "--summary=summary.json", f"--executor={executor}")
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if "a second one aborts at once" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "interrupted"


STARTS = """
import multiprocessing, signal, subprocess, sys, time
from ctapipe.pipeline import run


class Producer:
    def run(self):
        yield 1


class Stage:
    def run(self, number):
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        program.terminate()
        fork = multiprocessing.get_context("fork").Process(target=time.sleep, args=[1000])
        fork.start()
        fork.terminate()
        fork.join()
        return program.wait(), fork.exitcode


class Consumer:
    def run(self, statuses):
        print(*statuses)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run([Producer, Stage, Consumer], executor=sys.argv[1], gui_address="")
"""


@pytest.mark.parametrize("executor", ["threads", "processes", "sequential"])
def test_what_a_step_starts_ends_by_a_signal_as_usual(tmp_path, executor):
    script = tmp_path / "starts.py"
    script.write_text(STARTS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, executor],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["-15", "-15"]


ABORTED_TWICE = """
import logging, os, signal, sys, threading
from ctapipe.pipeline import run

signal.signal(signal.SIGINT, signal.default_int_handler)

class Forever:
    def run(self):
        while True:
            yield 0

class Stuck:
    def run(self, number):
        os.kill(main, signal.SIGINT)
        released.wait()

class Again(logging.Handler):
    def emit(self, record):
        if "a second one aborts" in record.getMessage():
            os.kill(main, signal.SIGINT)

class Count:
    def run(self, number):
        pass

def n_open():
    return len(os.listdir("/dev/fd"))

def abort():
    steps = [Forever, Stuck, Count]
    try:
        run(steps, executor=sys.argv[1], gui_address="")
    except KeyboardInterrupt:
        pass
    else:
        sys.exit("was not aborted")
    released.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    released.clear()

main = os.getpid()
logging.getLogger("ctapipe.pipeline").addHandler(Again())
released = threading.Event()
abort()
before = n_open()
abort()
abort()
print(n_open() - before)
"""


def test_what_was_aborted_is_closed_when_its_jobs_have_ended(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", ABORTED_TWICE, "threads"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "0\n"


# SIGINT comes when something is called, or a module is looked for.
INTERRUPTED_START = """
import os, runpy, signal, sys


class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {where!r}:
            os.kill(os.getpid(), signal.SIGINT)


def interrupt(*arguments):
    os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
if {where!r} == "start_activity":
    from ctapipe.core import Provenance

    Provenance.start_activity = interrupt
sys.meta_path.insert(0, Interrupts())
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("where", ["ctapipe.core", "start_activity"])
@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("ctapipe.pipeline", "ctapipe-pipeline"),
        ("ctapipe.pipeline.gui", "ctapipe-guipipe"),
    ],
)
def test_before_there_is_anything_to_be_ended(tmp_path, module, command, where):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_START.format(module=module, where=where)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stderr == f"{command}: interrupted\n"
    assert done.returncode == 130


def test_before_a_tool_runs(tmp_path, monkeypatch):
    def interrupt(self, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "__init__", interrupt)
    with pytest.raises(SystemExit, match="130"):
        main()


def test_between_the_making_of_an_executor_and_its_run(tmp_path, monkeypatch, executor):
    class InterruptedBeforeItsRun(Pipeline):
        def start(self):
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "conf.json").write_text(json.dumps(configuration("Slow", 2)))
    tool = InterruptedBeforeItsRun()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SystemExit, match="130"):
        tool.run(["--config=conf.json", f"--executor={executor}"])
    assert os.listdir("/proc/self/fd") == before
