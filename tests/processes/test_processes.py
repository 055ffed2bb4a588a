"""Worker processes: the same pipelines, processes that die, and what is left of them."""

import logging
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from common_steps import collector, numbers
from worker_processes import Square, run_processes

from ctapipe.pipeline import ConfigurationError, StepError, run

pytestmark = pytest.mark.usefixtures("nothing_is_left")

N = 2000


def test_every_message_once_in_processes_of_their_own():
    class Where:
        def run(self, number):
            return number, os.getpid()

    collect = collector()
    summary = run_processes(numbers(N), {"class": Where, "nb_process": 2}, collect)
    assert [number for number, _ in collect.received] == list(range(N))
    pids = {pid for _, pid in collect.received}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert summary["events"] == {"sent": N, "finished": N}
    assert [step["done"] for step in summary["steps"]] == [N, N, N]


def test_workers_give_way_to_the_main_process():
    collect = collector()

    class Niceness:
        def run(self, number):
            return os.nice(0)

    run_processes(numbers(1), Niceness, collect)
    assert collect.received[0] > os.nice(0)


def test_both_kinds_of_workers_in_one_pipeline():
    class Tag:
        def run(self, message):
            number, pids = message
            return number, (*pids, os.getpid())

    producer = type("P", (), {"run": lambda self: iter([(i, ()) for i in range(200)])})
    collect = collector()
    run(
        [
            producer,
            {"class": Tag, "name": "A", "executor": "processes", "nb_thread": 2},
            {"class": Tag, "name": "B", "nb_thread": 2},
            {"class": Tag, "name": "C", "executor": "processes"},
            {"class": collect, "ordered": True},
        ]
    )
    assert [number for number, _ in collect.received] == list(range(200))
    for _, (first, second, third) in collect.received:
        assert second == os.getpid()
        assert len({first, second, third}) == 3


@pytest.mark.parametrize("memory_mb", [1, 64])
@pytest.mark.parametrize("size", [10, 2000, 50_000, 200_000])
def test_arrays_arrive_as_they_were_and_can_be_kept_and_changed(size, memory_mb):
    """In shared memory, and where there is no room in it."""
    n = 20

    class Arrays:
        def run(self):
            for i in range(n):
                yield np.full(size, i, dtype=np.int64)

    class Negative:
        def init(self):
            self.kept = []

        def run(self, array):
            array *= -1
            self.kept.append(array)
            for i, kept in enumerate(self.kept):
                assert (kept == kept[0]).all(), i
            return array

    collect = collector()
    run_processes(Arrays, Negative, collect, shared_memory_mb=memory_mb)
    for i, array in enumerate(collect.received):
        assert array.flags.writeable
        np.testing.assert_array_equal(array, np.full(size, -i))
        array += 1
    for i, array in enumerate(collect.received):
        np.testing.assert_array_equal(array, np.full(size, -i + 1))


def test_chained_stages_in_a_process():
    class Add:
        def run(self, message):
            return (*message, os.getpid())

    producer = type("P", (), {"run": lambda self: iter([(i,) for i in range(100)])})
    collect = collector()
    summary = run_processes(
        producer,
        {"class": Add, "name": "A", "nb_thread": 2},
        {"class": Add, "name": "B", "chained": True},
        collect,
    )
    assert [message[0] for message in collect.received] == list(range(100))
    assert all(first == second for _, first, second in collect.received)
    assert [step["done"] for step in summary["steps"]] == [100] * 4
    assert [step["received"] for step in summary["steps"][1:]] == [100] * 3


class BadNumber(Exception):
    def __init__(self, number, why):
        super().__init__(f"{number}: {why}")


@pytest.mark.parametrize("kind", [ValueError, BadNumber])
def test_what_a_step_raises_comes_with_its_traceback(kind):
    class Fails:
        def run(self, number):
            if number == 7:
                raise kind(number, "odd")
            return number

    with pytest.raises(StepError, match=r"step 'Stage0' raised .* in run\(\) on event 7") as info:
        run_processes(numbers(N), Fails, collector())
    assert str(kind(7, "odd")) in str(info.value.__cause__)
    frames = []
    trace = info.value.__cause__.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] == "run"


@pytest.mark.parametrize("call", ["init", "finish"])
def test_what_init_and_finish_raise(call):
    def fail(self):
        raise OSError("no disk")

    stage = type("Stage", (Square,), {call: fail})
    with pytest.raises(StepError, match=rf"step 'Stage0' raised OSError in {call}\(\)"):
        run_processes(numbers(10), {"class": stage, "nb_process": 2}, collector())


def test_a_class_that_cannot_be_made_in_a_process():
    lock = __import__("threading").Lock()
    stage = type("Stage", (), {"run": lambda self, number: lock})
    with pytest.raises(ConfigurationError, match="cannot be sent to a worker process"):
        run_processes(numbers(N), stage, collector())


def test_what_is_logged_and_printed_arrives(caplog, capfd):
    class Talks:
        def run(self, number):
            logging.getLogger("ctapipe.pipeline").warning("number %d", number)
            print("printed", number)
            return number

    run_processes(numbers(2), Talks, collector())
    assert [r.getMessage() for r in caplog.records if "number" in r.getMessage()] == [
        "number 0",
        "number 1",
    ]
    assert capfd.readouterr().out == "printed 0\nprinted 1\n"


def test_a_warning_that_every_worker_gives_is_shown_once(capfd, caplog):
    class Warns:
        def init(self):
            warnings.warn("it is old", stacklevel=1)

        def run(self, number):
            return number

    run_processes(numbers(9), {"class": Warns, "nb_process": 3}, collector())
    shown = [record for record in caplog.records if "it is old" in record.getMessage()]
    assert [record.name for record in shown] == ["py.warnings", "ctapipe.pipeline"]
    assert shown[1].getMessage().startswith("given 3 times by worker processes: ")
    assert "it is old" not in "".join(capfd.readouterr())


def test_other_logs_have_the_level_that_they_have_here(caplog):
    class Talks:
        def run(self, number):
            for name in ("shown", "shown.below", "hidden", "hidden.below"):
                logging.getLogger(name).info("%s %d", name, number)
            return number

    caplog.set_level(logging.ERROR, "hidden")
    caplog.set_level(logging.INFO, "shown")
    run_processes(numbers(1), Talks, collector())
    told = [r.getMessage() for r in caplog.records if r.name.startswith(("shown", "hidden"))]
    assert told == ["shown 0", "shown.below 0"]


# ------------------------------------------------------------ processes that die


def kills_itself(directory, when):
    """A stage whose process dies with some numbers, each once."""

    class Dies:
        def run(self, number):
            marker = Path(directory) / str(number)
            if when(number) and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield number
            yield -number

    return Dies


@pytest.mark.parametrize("limit", [1, 100])
def test_messages_of_a_dead_process_go_to_another_one(tmp_path, caplog, limit):
    collect = collector()
    dies = kills_itself(tmp_path, lambda number: number % 250 == 100)
    summary = run_processes(
        numbers(N),
        {"class": dies, "nb_process": 2, "queue_limit": limit},
        {"class": Square, "nb_process": 2},
        collect,
    )
    assert collect.received == [number**2 for number in range(N) for _ in range(2)]
    assert summary["events"] == {"sent": N, "finished": N}
    assert [step["done"] for step in summary["steps"]] == [N, N, 2 * N, 2 * N]
    deaths = [r for r in caplog.records if "was killed by SIGKILL" in r.getMessage()]
    assert len(deaths) == 8


def test_what_a_dead_process_had_changed_does_not_reach_the_next(tmp_path):
    class Arrays:
        def run(self):
            for i in range(50):
                yield np.full(100_000, i)

    class ChangesAndDies:
        def run(self, array):
            number = int(array[0])
            array += 1
            marker = Path(tmp_path) / str(number)
            if number % 10 == 5 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return array

    collect = collector()
    run_processes(Arrays, {"class": ChangesAndDies, "nb_process": 2}, collect)
    for i, array in enumerate(collect.received):
        np.testing.assert_array_equal(array, np.full(100_000, i + 1))


class Poison:
    def run(self, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number


@pytest.mark.parametrize("retries", [0, 2])
def test_a_message_that_kills_every_process_is_given_up(retries):
    what = r"step 'Stage0' lost (a|3) worker process(es)? to one message on event 3"
    with pytest.raises(StepError, match=what):
        run_processes(numbers(N), {"class": Poison, "nb_process": 2}, collector(), retries=retries)


@pytest.mark.timeout(150)
def test_every_message_once_whoever_is_killed():
    soak = Path(__file__).with_name("soak.py")
    command = [sys.executable, soak, "--messages=20000", "--pause=0.05"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "20000 messages arrived, 20000 of them different, in order" in result.stdout
    assert " 0 processes killed" not in result.stdout


def test_a_message_that_kills_every_process_can_be_skipped():
    collect = collector()
    summary = run_processes(
        numbers(100), {"class": Poison, "nb_process": 2}, collect, on_error="skip"
    )
    assert collect.received == [number for number in range(100) if number != 3]
    assert summary["steps"][1]["failed"] == 1
    assert summary["steps"][1]["done"] == 99
    assert summary["events"] == {"sent": 100, "finished": 99}


def test_an_event_of_which_a_message_was_given_up_is_not_finished():
    class Twice:
        def run(self, number):
            yield number
            yield -number

    class Poison3:
        def run(self, number):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

    collect = collector()
    summary = run_processes(numbers(10), Twice, Poison3, collect, on_error="skip", retries=0)
    expected = [number * sign for number in range(10) for sign in (1, -1)]
    expected.remove(3)
    assert sorted(collect.received) == sorted(expected)
    assert summary["events"] == {"sent": 10, "finished": 9}


def test_what_a_failed_job_had_sent_is_dropped():
    class SendsAndFails:
        def run(self, number):
            yield number
            if number % 10 == 3:
                raise ValueError(number)

    collect = collector()
    summary = run_processes(
        numbers(100), {"class": SendsAndFails, "nb_process": 2}, collect, on_error="skip"
    )
    assert collect.received == [number for number in range(100) if number % 10 != 3]
    assert summary["steps"][1]["failed"] == 10


def test_a_run_that_does_not_begin_leaves_nothing():
    with pytest.raises(ConfigurationError, match="gui_address"):
        run([numbers(N), Square, collector()], executor="processes", gui_address="nowhere")


def test_without_room_for_shared_memory_it_is_one_line():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(ConfigurationError, match="shared_memory_mb: there cannot be 1024 MB"):
            run_processes(numbers(N), Square, collector())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_process_that_dies_in_init():
    stage = type("Stage", (Square,), {"init": lambda self: os.kill(os.getpid(), signal.SIGKILL)})
    with pytest.raises(StepError, match=r"lost its worker process in init\(\): .* by SIGKILL"):
        run_processes(numbers(N), stage, collector())
