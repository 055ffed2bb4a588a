"""Jobs that take too long, and what is said when nothing moves."""

import subprocess
import sys
import threading
import time

import pytest
from common_steps import Consumer, Pass, by_name, collector, numbers

from ctapipe.pipeline import ConfigurationError, StepError, run


class Stuck:
    """Does not come back from one message, and can be woken in its thread."""

    def run(self, number):
        while number == 3:
            time.sleep(0.01)
        return number


def pipeline(stage, consumer, **options):
    return {
        "Pipeline": {
            "producer_conf": {"name": "P", "class": numbers(20)},
            "stagers_conf": [{"name": "S", "class": stage, "nb_thread": 2, "job_timeout": 0.5}],
            "consumer_conf": {"name": "C", "class": consumer},
            **options,
        }
    }


def test_a_job_that_takes_too_long_ends_the_run_with_where_it_was():
    with pytest.raises(StepError, match="'S' has taken longer than its job_timeout") as failure:
        run(pipeline(Stuck, Consumer), executor="processes")
    assert failure.value.event == 3
    assert (
        "while number == 3" in failure.value.__notes__[0]
        or "time.sleep" in (failure.value.__notes__[0])
    )


def test_in_a_process_only_its_message_is_lost():
    collect = collector()
    summary = run(pipeline(Stuck, collect, on_error="skip", retries=5), executor="processes")
    assert sorted(collect.received) == [number for number in range(20) if number != 3]
    assert by_name(summary)["S"]["failed"] == 1
    assert summary["events"] == {"sent": 20, "finished": 19}


def test_a_thread_is_left_behind_and_all_others_finish():
    before = set(threading.enumerate())
    released = threading.Event()
    finished = []

    class StuckHere:
        def run(self, number):
            if number == 3:
                released.wait()
            return number

    class Finishes(Consumer):
        def finish(self):
            finished.append(self.name)

    with pytest.raises(StepError, match="'S' has taken longer than its job_timeout") as failure:
        run(pipeline(StuckHere, Finishes, on_error="skip"), executor="threads")
    assert failure.value.event == 3
    assert "released.wait()" in failure.value.__notes__[0]
    assert finished == ["C"]
    released.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


def test_the_time_in_which_a_step_waits_for_room_is_not_counted():
    class Two:
        def run(self, number):
            yield number
            yield number

    class Slow:
        def run(self, number):
            time.sleep(0.05)

    configuration = pipeline(Two, Slow)
    configuration["Pipeline"]["consumer_conf"]["queue_limit"] = 1
    assert run(configuration, executor="threads")["state"] == "finished"


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("job_timeout", 0, "'job_timeout' must be a time above 0, in seconds, not 0"),
        ("job_timeout", "long", "'job_timeout' must be a time above 0, in seconds, not 'long'"),
        (
            "max_jobs_per_worker",
            0,
            "'max_jobs_per_worker' must be a whole number from 1 to .*, not 0",
        ),
    ],
)
def test_wrong_values(key, value, what):
    with pytest.raises(ConfigurationError, match=f"step 'S': {what}"):
        run([numbers(), {"name": "S", "class": Pass, key: value}, Consumer])


@pytest.mark.parametrize("option", ["job_timeout", "max_jobs_per_worker"])
def test_wrong_values_for_all_steps(option):
    with pytest.raises(ConfigurationError, match=f"option '{option}'"):
        run(pipeline(Pass, Consumer, **{option: 0}))


SLOW_IMPORT = """
import logging, sys, time
from pathlib import Path
from ctapipe.pipeline import run
from ctapipe.pipeline.executors import watchdog
from steps import Numbers, Stage, Consumer

class UntilItIsSaid(logging.Handler):
    def emit(self, record):
        if "to be imported" in record.getMessage():
            Path("said").touch()

logging.basicConfig()
logging.getLogger("ctapipe.pipeline").addHandler(UntilItIsSaid())
watchdog.PATIENCE_S = 0.5
run([Numbers, Stage, Consumer], executor="processes")
"""
STEPS = """
import sys, time
from pathlib import Path

while "fork_server" in str(sys.modules["__main__"].__spec__) and not Path("said").exists():
    time.sleep(0.01)

class Numbers:
    def run(self):
        yield from range(20)

class Stage:
    def run(self, number):
        return number

class Consumer:
    def run(self, number):
        pass
"""


def test_a_slow_import_for_worker_processes_is_said(tmp_path):
    (tmp_path / "steps.py").write_text(STEPS)
    script = tmp_path / "script.py"
    script.write_text(SLOW_IMPORT)
    result = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "the run waits for the modules of the steps to be imported" in result.stderr


QUIET = """
import threading, time
from ctapipe.pipeline import run
from ctapipe.pipeline.executors import watchdog
import logging

logging.basicConfig()
watchdog.PATIENCE_S = 0.5

class Numbers:
    def run(self):
        yield from range(20)

class Stage:
    def run(self, number):
        yield number
        while number == 3:
            time.sleep(0.01)  # here

class Consumer:
    def run(self, number):
        pass

run([Numbers, {"class": Stage, "job_timeout": 4}, Consumer], executor=EXECUTOR)
"""


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_when_nothing_moves_it_is_said_who_waits_for_whom(tmp_path, executor):
    script = tmp_path / "quiet.py"
    script.write_text(QUIET.replace("EXECUTOR", repr(executor)))
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "nothing has moved for" in result.stderr
    assert "a worker of step 'Stage' is in run() on event 3, for" in result.stderr
    assert "# here" in result.stderr
    assert "messages wait for step 'Stage'" in result.stderr
