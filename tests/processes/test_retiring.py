"""Worker processes that are replaced after so many jobs."""

import os

import pytest
from common_steps import collector, numbers
from worker_processes import run_processes

from ctapipe.pipeline import StepError

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def stage_that_notes(path):
    class Stage:
        def note(self, what):
            with open(path, "a") as file:
                file.write(f"{what} {os.getpid()}\n")

        def init(self):
            self.note("init")

        def run(self, number):
            self.note("run")
            return number

        def finish(self):
            self.note("finish")

    return Stage


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("most", [1, 7])
def test_no_worker_does_more_and_nothing_is_lost(tmp_path, n_workers, most):
    path = tmp_path / "notes"
    collect = collector()
    stage = {
        "class": stage_that_notes(path),
        "nb_process": n_workers,
        "max_jobs_per_worker": most,
    }
    summary = run_processes(numbers(30), stage, collect)
    assert collect.received == list(range(30))
    assert summary["events"] == {"sent": 30, "finished": 30}
    assert [step["done"] for step in summary["steps"]] == [30] * 3
    calls = {}
    for line in path.read_text().splitlines():
        what, pid = line.split()
        calls.setdefault(pid, []).append(what)
    for each in calls.values():
        assert each[0] == "init"
        assert each[-1] == "finish"
        assert len(each) <= most + 2
    assert sum(len(each) - 2 for each in calls.values()) == 30


def test_a_finish_that_fails_ends_the_run():
    class Stage:
        def run(self, number):
            return number

        def finish(self):
            raise ValueError("not finished")

    stage = {"class": Stage, "max_jobs_per_worker": 3}
    with pytest.raises(StepError, match=r"raised ValueError in finish\(\)"):
        run_processes(numbers(30), stage, collector())


def test_a_worker_that_dies_before_it_has_finished():
    class Stage:
        def run(self, number):
            return number

        def finish(self):
            os._exit(3)

    stage = {"class": Stage, "max_jobs_per_worker": 3}
    with pytest.raises(StepError, match=r"lost its worker process in finish\(\)"):
        run_processes(numbers(30), stage, collector())


def test_arrays_that_a_retired_worker_has_sent_arrive():
    import numpy as np

    class Arrays:
        def run(self, number):
            return np.full(20_000, number)

    collect = collector()
    stage = {"class": Arrays, "max_jobs_per_worker": 2}
    run_processes(numbers(20), stage, collect)
    for number, array in enumerate(collect.received):
        assert (array == number).all()
