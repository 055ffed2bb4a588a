"""Runs that cannot go on, and that no step is to blame for: they end, and say why."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from worker_processes import is_alive

pytestmark = pytest.mark.usefixtures("nothing_is_left")

STEPS = """
import os, shutil, signal, sys, tempfile, time
from pathlib import Path

IN_SERVER = "ctapipe.pipeline.processes.fork_server" in str(sys.modules["__main__"].__spec__)

def note(what):
    with open("notes", "a") as file:
        file.write(what + "\\n")

class Endless:
    def run(self):
        number = 0
        while True:
            yield number
            number += 1

    def finish(self):
        note("Endless")

class Few:
    def run(self):
        yield from range(10)

    def finish(self):
        note("Few")

class Stage:
    def run(self, number):
        return number

    def finish(self):
        note("Stage")

class Consumer:
    def run(self, number):
        pass

    def finish(self):
        note("Consumer")
"""
RUN = """
import sys
import steps
from ctapipe.pipeline import run

stage = {{{stage}, "nb_process": 2, "queue_limit": 3}}
run([steps.{producer}, stage, steps.Consumer], executor="{executor}")
"""


@pytest.fixture
def end(tmp_path):
    """Runs a pipeline, and returns what it says at its end, and whose ``finish`` was called."""

    def call(
        more_of_steps="",
        producer="Endless",
        stage='"class": steps.Stage',
        executor="processes",
        returncode=1,
    ):
        (tmp_path / "steps.py").write_text(STEPS + textwrap.dedent(more_of_steps))
        script = tmp_path / "script.py"
        script.write_text(RUN.format(producer=producer, stage=stage, executor=executor))
        result = subprocess.run(
            [sys.executable, script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )
        assert result.returncode == returncode, result.stderr
        notes = tmp_path / "notes"
        return result.stderr, sorted(notes.read_text().split()) if notes.exists() else []

    return call


def test_the_router_fails_when_a_worker_is_to_be_replaced(end):
    errors, finished = end("""
    def run(self, number):
        if number == 100:
            (directory,) = Path(tempfile.gettempdir()).glob("ctapipe-pipeline-*")
            shutil.rmtree(directory)
            os.kill(os.getpid(), signal.SIGKILL)
    Stage.run = run
    """)
    assert "RunError: the router cannot go on: " in errors
    assert finished == ["Consumer", "Endless"]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_worker_fails_before_it_can_take_a_message(end, executor):
    errors, finished = end(
        """
    from ctapipe.pipeline.workers.worker import Worker
    def fail(self):
        raise AssertionError("cannot work")
    Worker._process = fail
    """,
        executor=executor,
    )
    assert "RunError: a worker of step '" in errors
    assert "AssertionError: cannot work" in errors
    assert {"Consumer", "Endless"} <= set(finished)


def test_a_worker_is_killed_when_its_work_is_done_but_not_finished(end):
    errors, finished = end(
        """
    from ctapipe.pipeline.workers.worker import Worker
    process = Worker._process
    def process_and_die(self):
        process(self)
        if self.steps[0].name == "Stage":
            os.kill(os.getpid(), signal.SIGKILL)
    Worker._process = process_and_die
    """,
        producer="Few",
    )
    assert "StepError: step 'Stage' lost its worker process in finish()" in errors
    assert "takes its place" not in errors
    assert finished == ["Consumer", "Few"]


@pytest.mark.parametrize("when", ["init", "run", "finish"])
@pytest.mark.parametrize("status", [0, 3])
def test_a_worker_ends_by_itself(end, when, status):
    call = "os._exit(STATUS)" if when != "run" else "number == 5 and os._exit(STATUS)"
    arguments = "self, number" if when == "run" else "self"
    errors, finished = end(
        f"""
    STATUS = {status}
    def call({arguments}):
        {call}
    Stage.{when} = call
    """,
        producer="Few",
    )
    what = "worker processes to one message" if when == "run" else f"worker process in {when}()"
    assert f"StepError: step 'Stage' lost {'3 ' if when == 'run' else 'its '}{what}" in errors
    assert "Few" in finished


IMPORTED_BEFORE = '"name": "Stage", "class": "Stage", "module": "steps"'
IMPORTED_WITH_THE_STEPS = '"class": steps.Stage'


@pytest.mark.parametrize("stage", [IMPORTED_BEFORE, IMPORTED_WITH_THE_STEPS])
def test_what_workers_are_forked_from_is_killed(end, stage):
    errors, finished = end(
        """
    if IN_SERVER:
        os.kill(os.getpid(), signal.SIGKILL)
    """,
        stage=stage,
    )
    assert "RunError: the process that worker processes are forked from has died" in errors
    assert finished == ["Endless"]


def test_steps_that_cannot_be_made_in_a_worker_process(end):
    errors, finished = end("""
    if IN_SERVER:
        raise ValueError("not here")
    """)
    assert "ConfigurationError: the steps cannot be made in worker processes: " in errors
    assert "not here" in errors
    assert finished == ["Endless"]


@pytest.mark.parametrize("when", ["init", "run", "finish"])
def test_an_exception_that_ends_what_reads_it(end, when):
    arguments = "self, number" if when == "run" else "self"
    errors, finished = end(
        f"""
    class Deadly(Exception):
        def __reduce__(self):
            return sys.exit, ("read",)
    def call({arguments}):
        raise Deadly("one")
    Stage.{when} = call
    """,
        producer="Few",
    )
    assert f"StepError: step 'Stage' raised Deadly in {when}()" in errors
    assert "Deadly: one" in errors
    assert "Few" in finished


def test_the_socket_of_the_router_is_removed(end):
    errors, finished = end("""
    def init(self):
        (directory,) = Path(tempfile.gettempdir()).glob("ctapipe-pipeline-*")
        for path in directory.iterdir():
            path.unlink(missing_ok=True)
    Endless.init = init
    """)
    assert "RunError: a worker of step 'Stage' cannot go on: " in errors
    assert "somebody has removed the router's socket" in errors
    assert finished == ["Endless"]


@pytest.mark.parametrize("step", ["Few", "Consumer"])
@pytest.mark.parametrize("returncode", [0, 1])
def test_a_step_here_forks_what_lives_longer_than_the_run(end, step, returncode):
    """It has all file descriptors that the main process has."""
    _, notes = end(
        f"""
    def init(self):
        self.pid = os.fork()
        if self.pid == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            time.sleep(1000)
        note(str(self.pid))
    {step}.init = init
    if {returncode}:
        Stage.run = lambda self, number: 1 / 0
    """,
        producer="Few",
        returncode=returncode,
    )
    (pid,) = [int(note) for note in notes if note.isdigit()]
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


POOL = "multiprocessing.Pool(2)"
FORKSERVER_POOL = 'multiprocessing.get_context("forkserver").Pool(2)'
EXECUTOR = "concurrent.futures.ProcessPoolExecutor(2)"


def test_the_directory_of_a_pool_that_a_step_has_closed_is_removed(end):
    end(
        f"""
    import multiprocessing
    def run(self, number):
        if number == 5:
            with {FORKSERVER_POOL} as pool:
                pool.map(abs, [number])
        return number
    Stage.run = run
    """,
        producer="Few",
        returncode=0,
    )


@pytest.mark.parametrize(
    ("kind", "is_global"),
    [
        (POOL, False),
        (POOL, True),
        (FORKSERVER_POOL, False),
        (FORKSERVER_POOL, True),
        (EXECUTOR, False),
        (EXECUTOR, True),
        ("multiprocessing.Manager()", False),
        ("multiprocessing.Manager()", True),
    ],
)
def test_what_a_step_leaves_open_ends_with_its_worker(end, kind, is_global):
    _, notes = end(
        f"""
    import concurrent.futures, multiprocessing
    kept = []
    def init(self):
        self.it = {kind}
        if isinstance(self.it, concurrent.futures.Executor):
            self.it.submit(abs, 1).result()
        if {is_global}:
            kept.append(self.it)
        for child in multiprocessing.active_children():
            note(str(child.pid))
    Stage.init = init
    """,
        producer="Few",
        returncode=0,
    )
    pids = [int(note) for note in notes if note.isdigit()]
    assert pids
    assert not any(map(is_alive, pids))
