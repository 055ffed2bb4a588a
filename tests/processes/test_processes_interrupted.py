"""Ctrl-C, and the death of what processes need, on programs that run without end."""

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest
from common_steps import collector, numbers
from worker_processes import Square, is_alive, run_processes, wait_for_end

pytestmark = pytest.mark.usefixtures("nothing_is_left")

SCRIPT = """
import os, signal, sys, time
from ctapipe.pipeline import run

class Endless:
    def run(self):
        number = 0
        while True:
            yield number
            number += 1

class Stage:
    def run(self, number):
        if number > 1000:
            time.sleep(float(sys.argv[1]))
        return number, os.getpid()

class Consumer:
    def run(self, message):
        number, pid = message
        if number == 1000:
            print(pid, flush=True)

if __name__ == "__main__":
    run([Endless, {"class": Stage, "nb_process": 2}, Consumer], executor="processes")
"""


@pytest.fixture
def endless(tmp_path, request):
    """A program that runs a pipeline without end, and the process of one of its workers."""
    job_s = getattr(request, "param", 0)
    script = tmp_path / "endless.py"
    script.write_text(textwrap.dedent(SCRIPT))
    with subprocess.Popen(
        [sys.executable, script, str(job_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        pid = int(process.stdout.readline())
        yield process, pid
        process.kill()


def test_an_interrupt_lets_what_was_sent_run_out(endless):
    process, _ = endless
    # As a terminal does: all processes get it.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert "killed" not in errors


@pytest.mark.parametrize("endless", [1000], indirect=True)
def test_a_second_interrupt_ends_processes_in_the_middle_of_a_job(endless):
    process, worker = endless
    process.send_signal(signal.SIGINT)
    assert "no more events are read" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert not is_alive(worker)


def test_the_end_of_what_workers_are_forked_from_ends_the_run(endless):
    process, worker = endless
    server = psutil.Process(worker).parent()
    assert server.ppid() == process.pid
    server.kill()
    _, errors = process.communicate(timeout=60)
    assert "the process that worker processes are forked from has died" in errors
    wait_for_end(worker)


def test_workers_end_with_the_main_process_and_the_next_run_tidies_up(endless):
    process, worker = endless
    process.kill()
    process.wait()
    # Its end closes what they read from.
    wait_for_end(worker)
    collect = collector()
    run_processes(numbers(10), Square, collect)
    assert len(collect.received) == 10
