"""What happens when a step fails: everything stops, everything is finished, once."""

import contextlib
import errno
import itertools
import logging
import os
import resource
import subprocess
import sys
import threading
import time

import pytest
from common_steps import CannotBeLoaded, Consumer, Pass, collector, numbers
from ctapipe.core import Component, ToolConfigurationError
from ctapipe.core.traits import Int
from traitlets.config import Config

from ctapipe.pipeline import ConfigurationError, RunError, StepError, run
from ctapipe.pipeline._router import Router
from ctapipe.pipeline.configuration.reader import read_graph
from ctapipe.pipeline.executors import EXECUTORS, parallel


@pytest.fixture
def executor(executor_here):
    return executor_here


class Forever:
    """A producer that only the pipeline's end stops."""

    def run(self):
        number = 0
        while True:
            yield number
            number += 1


class Calls:
    """Steps that write down when they are called."""

    def __init__(self):
        self.made = []
        self.lock = threading.Lock()

    def note(self, step, call):
        with self.lock:
            self.made.append((step.name, id(step), call))

    def step(self, name, run, **methods):
        calls = self

        def init(self):
            calls.note(self, "init")
            return methods["init"](self) if "init" in methods else None

        def finish(self):
            calls.note(self, "finish")
            if "finish" in methods:
                methods["finish"](self)

        return type(name, (), {"run": run, "init": init, "finish": finish})

    def of(self, call):
        return sorted(name for name, _, made in self.made if made == call)

    def assert_each_finished_once(self):
        initialized = [(name, step) for name, step, call in self.made if call == "init"]
        finished = [(name, step) for name, step, call in self.made if call == "finish"]
        assert sorted(initialized) == sorted(finished)
        assert len(set(finished)) == len(finished)


def failing_on(bad):
    def run(self, number):
        if number == bad:
            raise ValueError(f"cannot take {number}")
        return number

    return run


def test_a_step_that_raises_stops_the_pipeline(executor):
    calls = Calls()
    steps = [
        calls.step("Producer", Forever.run),
        {"class": calls.step("Bad", failing_on(30)), "nb_thread": 3},
        calls.step("Consumer", lambda self, number: None),
    ]
    with pytest.raises(StepError) as failure:
        run(steps, executor=executor)
    assert failure.value.step == "Bad"
    assert failure.value.event == 30
    assert str(failure.value) == "step 'Bad' raised ValueError in run() on event 30"
    assert str(failure.value.__cause__) == "cannot take 30"
    calls.assert_each_finished_once()
    assert calls.of("finish").count("Bad") == (3 if executor == "threads" else 1)


def test_a_producer_that_raises_stops_the_pipeline(executor):
    calls = Calls()

    def produce(self):
        yield 1
        raise OSError("no such event")

    with pytest.raises(StepError, match=r"'Producer' raised OSError in run\(\)") as failure:
        run(
            [
                calls.step("Producer", produce),
                calls.step("Stage", Pass.run),
                calls.step("Consumer", lambda self, number: None),
            ],
            executor=executor,
        )
    assert isinstance(failure.value.__cause__, OSError)
    calls.assert_each_finished_once()


@pytest.mark.parametrize("executor", ["threads", "processes", "sequential"])
def test_what_a_producer_sent_before_it_raised_runs_to_its_end(executor):
    class Producer:
        def run(self):
            yield from range(500)
            raise OSError("no such event")

    collect = collector()
    with pytest.raises(StepError, match="'P' raised OSError"):
        run(
            {
                "Pipeline": {
                    "executor": executor,
                    "producer_conf": {"name": "P", "class": Producer},
                    "stagers_conf": [{"name": "S", "class": Pass, "queue_limit": -1}],
                    "consumer_conf": {"name": "C", "class": collect, "queue_limit": 1},
                }
            }
        )
    assert sorted(collect.received) == list(range(500))


def test_a_consumer_that_raises_stops_the_pipeline(executor):
    calls = Calls()
    with pytest.raises(StepError, match="'Consumer' raised ValueError"):
        run(
            [
                calls.step("Producer", Forever.run),
                {"class": calls.step("Stage", Pass.run), "nb_thread": 2, "queue_limit": 1},
                {"class": calls.step("Consumer", failing_on(5)), "queue_limit": 1},
            ],
            executor=executor,
        )
    calls.assert_each_finished_once()


def test_a_producer_that_catches_exceptions_is_stopped_all_the_same(executor):
    class Stubborn:
        def run(self):
            while True:
                with contextlib.suppress(Exception):
                    self.send_msg(1)

    with pytest.raises(StepError, match="'Bad' raised ValueError"):
        run(
            [Stubborn, {"name": "Bad", "class": type("Bad", (), {"run": failing_on(1)})}, Pass],
            executor=executor,
        )


def test_the_producers_generator_is_closed(executor):
    closed = []

    class Producer:
        def run(self):
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

    with pytest.raises(StepError):
        run([Producer, type("Bad", (), {"run": failing_on(1)}), Pass], executor=executor)
    assert closed == [True]


def test_init_that_returns_false_stops_the_pipeline_before_it_starts(executor):
    calls = Calls()
    ran = []
    with pytest.raises(StepError, match=r"step 'Stage' returned False from init\(\)"):
        run(
            [
                calls.step("Producer", lambda self: ran.append(1)),
                calls.step("Stage", Pass.run, init=lambda self: False),
                calls.step("Consumer", Pass.run),
            ],
            executor=executor,
        )
    assert not ran
    # The consumer comes after the step that refused: its output is not touched.
    assert calls.of("init") == ["Producer", "Stage"]
    calls.assert_each_finished_once()


def test_init_that_raises_stops_the_pipeline_before_it_starts(executor):
    calls = Calls()
    ran = []

    def init(self):
        raise KeyError("pixel")

    with pytest.raises(StepError, match=r"step 'Consumer' raised KeyError in init\(\)"):
        run(
            [
                calls.step("Producer", lambda self: ran.append(1)),
                calls.step("Stage", Pass.run),
                calls.step("Consumer", Pass.run, init=init),
            ],
            executor=executor,
        )
    assert not ran
    calls.assert_each_finished_once()


def test_init_may_report_a_mistake_of_the_user(executor):
    class Reader:
        def init(self):
            raise ToolConfigurationError("filename: there is no file 'events'")

        def run(self):
            return iter(())

    with pytest.raises(ConfigurationError) as failure:
        run([Reader, Pass, Consumer], executor=executor)
    assert str(failure.value) == "step 'Reader': filename: there is no file 'events'"


def test_finish_that_raises_is_reported_and_the_others_are_finished(executor):
    calls = Calls()

    def finish(self):
        raise OSError("disk full")

    with pytest.raises(StepError, match=r"step 'Stage' raised OSError in finish\(\)"):
        run(
            [
                calls.step("Producer", lambda self: iter(range(3))),
                calls.step("Stage", Pass.run, finish=finish),
                calls.step("Consumer", lambda self, message: None),
            ],
            executor=executor,
        )
    calls.assert_each_finished_once()


def test_of_two_errors_the_first_is_raised_and_the_other_is_a_note(executor):
    def finish(self):
        raise OSError("disk full")

    bad = type("Bad", (), {"run": failing_on(0), "finish": finish})
    with pytest.raises(StepError, match="'Bad' raised ValueError") as failure:
        run([Forever, {"class": bad, "nb_thread": 2}, Consumer], executor=executor)
    assert failure.value.__notes__ == ["besides, step 'Bad' raised OSError in finish(): disk full"]


def test_a_message_that_cannot_be_pickled_names_its_type():
    class Producer:
        def run(self):
            yield lambda: None

    with pytest.raises(StepError, match="'Producer' raised") as failure:
        run([Producer, Pass, Consumer])
    assert "while pickling a function" in failure.value.__cause__.__notes__[0]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_router_that_fails_ends_the_run(monkeypatch, executor):
    """For example when memory runs out: no worker waits for it for ever."""

    class Failing(Router):
        def run(self):
            raise OSError(errno.ENOMEM, "out of memory")

    monkeypatch.setattr(parallel, "Router", Failing)
    calls = Calls()
    stage = calls.step("Stage", Pass.run) if executor == "threads" else Pass
    with pytest.raises(RunError, match="the router cannot go on: .*out of memory"):
        run(
            [
                calls.step("Producer", Forever.run),
                {"class": stage, "nb_thread": 3},
                calls.step("Consumer", lambda self, message: None),
            ],
            executor=executor,
        )
    calls.assert_each_finished_once()


@pytest.mark.parametrize(("executor", "more"), [("threads", 40), ("processes", 230)])
def test_too_many_workers_for_the_file_descriptors_there_are(executor, more):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(int(name) for name in os.listdir("/dev/fd")) + 1
    before = os.listdir("/dev/fd")
    # So that the limit is met in the middle of a worker's four sockets, too.
    for limit in range(in_use + more, in_use + more + 4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            with pytest.raises(ConfigurationError, match="102 workers need more file descriptors"):
                run([Forever, {"class": Pass, "nb_thread": 100}, Consumer], executor=executor)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir("/dev/fd") == before


@pytest.mark.parametrize("n_free", range(1, 30, 4))
def test_too_few_file_descriptors_for_any_pipeline(executor, n_free):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = os.listdir("/dev/fd")
    free = (number for number in range(soft) if str(number) not in before)
    limit = next(itertools.islice(free, n_free, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        with pytest.raises(ConfigurationError, match="file descriptors"):
            run([Forever, Pass, Consumer], executor=executor)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir("/dev/fd") == before


WITHOUT_ADDRESS_SPACE = """
import resource

from ctapipe.pipeline import ConfigurationError, run


class Producer:
    def run(self):
        yield 1


class Stage:
    def run(self, message):
        pass


class Consumer(Stage):
    pass


with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
least = pages * resource.getpagesize() + (1 << 20)
resource.setrlimit(resource.RLIMIT_AS, (least, least))
try:
    run([Producer, Stage, Consumer])
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the size of the address space is in /proc")
def test_no_memory_for_any_thread(tmp_path):
    (tmp_path / "starts.py").write_text(WITHOUT_ADDRESS_SPACE)
    command = [sys.executable, tmp_path / "starts.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "can't start new thread" in done.stdout


def test_the_time_of_a_producer_that_fails_is_counted_once(executor):
    class Producer:
        def run(self):
            began = time.monotonic()
            while time.monotonic() - began < 0.05:
                pass
            raise ValueError

    graph = read_graph(
        Config(
            {
                "Pipeline": {
                    "producer_conf": {"name": "P", "class": Producer},
                    "stagers_conf": [{"name": "S", "class": Pass}],
                    "consumer_conf": {"name": "C", "class": Pass},
                }
            }
        )
    )
    runner = EXECUTORS[executor](graph, logging.getLogger("ctapipe.pipeline"))
    with pytest.raises(StepError):
        runner.run()
    counters = runner.counters()[0]
    assert 0.05 <= counters["busy_s"] <= runner.elapsed_s
    assert counters["failed"] == 1
    assert counters["running"] == 0


def test_a_message_that_cannot_be_unpickled_is_its_receivers_failure():
    class Producer:
        def run(self):
            yield CannotBeLoaded()

    with pytest.raises(StepError, match="'Pass' could not receive a message.*on event 0"):
        run([Producer, Pass, Consumer])


class Picky(Component):
    number = Int(1).tag(config=True)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.number > 5:
            raise ToolConfigurationError(f"number: {self.number} is more than 5")

    def run(self, message):
        return message


def test_classes_that_refuse_their_options_are_reported_together(executor):
    with pytest.raises(ConfigurationError) as failure:
        run(
            {
                "Pipeline": {
                    "producer_conf": {"name": "P", "class": Forever},
                    "stagers_conf": [
                        {"name": "S", "class": Picky, "nb_thread": 2},
                        {"name": "T", "class": Picky},
                    ],
                    "consumer_conf": {"name": "C", "class": Pass},
                },
                "S": {"number": 7},
                "T": {"number": 8},
            },
            executor=executor,
        )
    assert failure.value.errors == (
        "step 'S': number: 7 is more than 5",
        "step 'T': number: 8 is more than 5",
    )


class EndsItsUnpickler(ValueError):
    def __reduce__(self):
        return exit, (3,)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, EndsItsUnpickler])
def test_what_a_class_raises_in_a_worker_process_ends_nothing_else(kind):
    class Bad:
        def __init__(self):
            raise kind

        def run(self, message):
            pass

    with pytest.raises(StepError, match=f"'Bad' raised {kind.__name__} when created"):
        run([Forever, Bad, Consumer], executor="processes")


@pytest.mark.parametrize("kind", [KeyError, SystemExit])
def test_a_class_that_raises_when_created_is_a_failure_of_its_step(executor, kind):
    class Bad:
        def __init__(self):
            raise kind(0)

        def run(self, message):
            pass

    with pytest.raises(StepError, match=f"step 'Bad' raised {kind.__name__} when created"):
        run([Forever, Bad, Pass], executor=executor)


def test_an_exit_in_a_step_is_a_failure(executor):
    class Exits:
        def run(self, message):
            raise SystemExit(0)

    with pytest.raises(StepError, match="'Exits' raised SystemExit"):
        run([Forever, Exits, Consumer], executor=executor)


def test_a_step_raises_what_is_no_exception(executor):
    class Own(BaseException):
        pass

    class Fails:
        def run(self, number):
            if number == 7:
                raise Own
            return number

    with pytest.raises(StepError, match="'Fails' raised Own in run"):
        run([numbers(), Fails, Consumer], executor=executor)
    summary = run(
        {
            "Pipeline": {
                "executor": executor,
                "on_error": "skip",
                "producer_conf": {"name": "P", "class": numbers()},
                "stagers_conf": [
                    {"name": "S", "class": Fails},
                    {"name": "T", "class": Fails, "chained": True},
                ],
                "consumer_conf": {"name": "C", "class": Consumer},
            }
        }
    )
    assert [step["failed"] for step in summary["steps"]] == [0, 1, 0, 0]
    assert summary["steps"][-1]["received"] == 19
