"""`Pipeline.on_error`: a message that fails is skipped, and the run goes on."""

import json
import logging
import re

import pytest
from common_steps import CannotBeLoaded, Pass, by_name, collector, numbers

from ctapipe.pipeline import ConfigurationError, StepError, run

Numbers = numbers()


def bad(name="BAD", divisor=5, **keys):
    """A stage that fails with each number that can be divided."""

    class Bad:
        def run(self, number):
            if number % divisor == 0:
                raise ValueError(f"cannot take {number}")
            return number

    return {"name": name, "class": Bad, **keys}


def skip(*steps, executor, collect, max_errors=None, producer=Numbers, on_error="skip"):
    section = {
        "producer_conf": {"name": "P", "class": producer},
        "stagers_conf": list(steps),
        "consumer_conf": {"name": "END", "class": collect},
        "on_error": on_error,
    }
    if max_errors is not None:
        section["max_errors"] = max_errors
    return run({"Pipeline": section}, executor=executor)


def messages(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


@pytest.mark.parametrize("workers", [1, 3])
def test_only_the_message_that_failed_is_lost(executor, caplog, workers):
    collect = collector()
    summary = skip(bad(nb_thread=workers), executor=executor, collect=collect)
    assert sorted(collect.received) == [n for n in range(20) if n % 5]
    assert summary["state"] == "finished"
    assert summary["events"] == {"sent": 20, "finished": 16}
    steps = by_name(summary)
    counters = [steps["BAD"][counter] for counter in ("received", "done", "failed", "sent")]
    assert counters == [20, 16, 4, 16]
    errors = sorted(messages(caplog, logging.ERROR))
    assert len(errors) == 4
    first, *trace = errors[0].splitlines()
    assert first == "step 'BAD' raised ValueError in run() on event 0: its message is skipped"
    assert trace[0] == "Traceback (most recent call last):"
    assert "test_skipping.py" in trace[1]
    assert trace[-1] == "ValueError: cannot take 0"
    assert messages(caplog, logging.WARNING) == [
        "messages that failed and were skipped: 4 in 'BAD'"
    ]


def test_every_message_may_fail(executor, caplog):
    collect = collector()
    summary = skip(bad("A", 2, nb_thread=2), bad("B", 1), executor=executor, collect=collect)
    assert not collect.received
    assert summary["events"] == {"sent": 20, "finished": 0}
    assert messages(caplog, logging.WARNING) == [
        "messages that failed and were skipped: 10 in 'A', 10 in 'B'"
    ]


def test_a_consumer_may_fail(executor):
    class Picky:
        received = []

        def run(self, number):
            if number == 3:
                raise KeyError(number)
            Picky.received.append(number)

    summary = skip({"name": "S", "class": Pass}, executor=executor, collect=Picky)
    assert Picky.received == [n for n in range(20) if n != 3]
    assert by_name(summary)["END"]["failed"] == 1


def test_what_was_sent_before_it_raised_arrives(executor_here):
    class Sends:
        def run(self, number):
            yield f"{number} before"
            if number % 2:
                raise ValueError
            yield f"{number} after"

    collect = collector()
    summary = skip({"name": "S", "class": Sends}, executor=executor_here, collect=collect)
    assert sorted(collect.received) == sorted(
        [f"{n} before" for n in range(20)] + [f"{n} after" for n in range(0, 20, 2)]
    )
    assert by_name(summary)["S"]["failed"] == 10
    # Although the last message of each has not failed.
    assert summary["events"] == {"sent": 20, "finished": 10}


def test_in_a_chain_what_the_steps_before_do_goes_on(executor, caplog):
    class Twice:
        def run(self, number):
            self.send_msg(number)
            self.send_msg(number + 100)

    collect = collector()
    summary = skip(
        {"name": "A", "class": Twice, "nb_thread": 2},
        {"name": "B", "class": Pass, "chained": True},
        bad(chained=True),
        {"name": "D", "class": Pass, "chained": True},
        executor=executor,
        collect=collect,
    )
    both = [*range(20), *range(100, 120)]
    assert sorted(collect.received) == [n for n in both if n % 5]
    assert summary["events"] == {"sent": 20, "finished": 16}
    counted = {
        name: [step[counter] for counter in ("received", "done", "failed", "sent")]
        for name, step in by_name(summary).items()
    }
    assert counted["A"] == [20, 20, 0, 40]
    assert counted["B"] == [40, 40, 0, 40]
    assert counted["BAD"] == [40, 32, 8, 32]
    assert counted["D"] == [32, 32, 0, 32]
    errors = messages(caplog, logging.ERROR)
    assert len(errors) == 8
    assert all(error.startswith("step 'BAD' raised ValueError in run() on ") for error in errors)
    assert "_runner.pyx" not in errors[0]


def test_in_a_chain_the_head_and_what_it_hands_to_may_fail_with_one_message(executor_here):
    class Head:
        def run(self, number):
            self.send_msg(number)
            if number % 2 == 0:
                raise KeyError(number)

    collect = collector()
    summary = skip(
        {"name": "A", "class": Head},
        bad(chained=True),
        executor=executor_here,
        collect=collect,
    )
    assert collect.received == [n for n in range(20) if n % 5]
    steps = by_name(summary)
    assert (steps["A"]["done"], steps["A"]["failed"], steps["BAD"]["failed"]) == (10, 10, 4)
    assert summary["events"] == {"sent": 20, "finished": sum(n % 5 and n % 2 for n in range(20))}


def test_a_message_that_cannot_be_unpickled_is_skipped(caplog):
    class Producer:
        def run(self):
            yield [CannotBeLoaded()]
            yield 1

    for keys in ({}, {"chained": True}):
        caplog.clear()
        collect = collector()
        summary = skip(
            {"name": "S", "class": Pass},
            {"name": "T", "class": Pass, **keys},
            executor="threads",
            collect=collect,
            producer=Producer,
        )
        assert collect.received == [1]
        step = by_name(summary)["S"]
        assert (step["received"], step["done"], step["failed"]) == (2, 1, 1)
        (error,) = messages(caplog, logging.ERROR)
        assert error.startswith(
            "step 'S' could not receive a message (ValueError) on event 0: its message is skipped"
        )


def test_a_message_that_cannot_be_pickled_is_its_senders_failure():
    class Sends:
        def run(self, number):
            return (lambda: None) if number == 7 else number

    collect = collector()
    summary = skip({"name": "S", "class": Sends}, executor="threads", collect=collect)
    assert collect.received == [n for n in range(20) if n != 7]
    assert by_name(summary)["S"]["failed"] == 1


def test_a_producer_that_raises_stops_the_run(executor):
    class Producer:
        def run(self):
            yield 1
            raise OSError("disk")

    with pytest.raises(StepError, match=r"'P' raised OSError in run\(\)"):
        skip(bad(), executor=executor, collect=collector(), producer=Producer)


@pytest.mark.parametrize("call", ["init", "finish"])
def test_a_step_that_raises_elsewhere_stops_the_run(executor, call):
    def fail(self):
        raise OSError("disk")

    stage = type("Stage", (), {"run": Pass.run, call: fail})
    with pytest.raises(StepError, match=f"'S' raised OSError in {call}"):
        skip({"name": "S", "class": stage}, executor=executor, collect=collector())


@pytest.mark.parametrize("keys", [{}, {"nb_thread": 3}, {"chained": True}])
def test_a_run_that_fails_more_often_than_it_may_is_stopped(executor, caplog, keys):
    class Endless:
        def run(self):
            number = 0
            while True:
                number += 1
                yield number

    collect = collector()
    with pytest.raises(StepError, match="'BAD' raised ValueError") as failure:
        skip(
            {"name": "S", "class": Pass},
            bad(**keys),
            executor=executor,
            collect=collect,
            producer=Endless,
            max_errors=3,
        )
    assert failure.value.__notes__[0] == "4 messages have failed; Pipeline.max_errors is 3"
    assert len(messages(caplog, logging.ERROR)) == 3
    if executor == "sequential":
        assert failure.value.event == 19


def test_as_many_failures_as_there_may_be_do_not_stop_a_run(executor):
    summary = skip(bad(), executor=executor, collect=collector(), max_errors=4)
    assert summary["state"] == "finished"
    assert by_name(summary)["BAD"]["failed"] == 4


def test_none_may_fail(executor):
    with pytest.raises(StepError, match="on event 0"):
        skip(bad(), executor=executor, collect=collector(), max_errors=0)


def test_stop_is_the_default_and_can_be_said(executor):
    with pytest.raises(StepError) as failure:
        skip(bad(), executor=executor, collect=collector(), on_error="stop", max_errors=100)
    assert not hasattr(failure.value, "__notes__")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"on_error": "skp"}, r"Pipeline: option 'on_error': .*'stop'.*'skip'.*the str 'skp'"),
        ({"max_errors": -1}, r"Pipeline: option 'max_errors': .*should not be less than 0"),
        ({"max_errors": "many"}, r"Pipeline: option 'max_errors': .*an int.*the str 'many'"),
    ],
)
def test_a_wrong_value_is_a_mistake_in_the_configuration(executor, keys, message):
    with pytest.raises(ConfigurationError) as failure:
        skip(bad(), executor=executor, collect=collector(), **keys)
    (error,) = failure.value.errors
    assert re.search(message, error)


def test_an_ordered_step_does_not_wait_for_a_message_that_failed():
    collect = collector()
    skip(
        bad("S", 3, nb_thread=3),
        {"name": "T", "class": Pass, "ordered": True},
        executor="threads",
        collect=collect,
    )
    assert collect.received == [n for n in range(20) if n % 3]


STEPS = """
class Numbers:
    def run(self):
        yield from range(10)

class Fails:
    def run(self, number):
        return 1 / (number % 4)

class End:
    def run(self, number):
        pass
"""


@pytest.fixture
def configuration(tmp_path, command):
    (tmp_path / "steps.py").write_text(STEPS)
    section = {
        "producer_conf": {"name": "P", "module": "steps", "class": "Numbers"},
        "stagers_conf": [{"name": "S", "module": "steps", "class": "Fails"}],
        "consumer_conf": {"name": "C", "module": "steps", "class": "End"},
    }
    (tmp_path / "conf.json").write_text(json.dumps({"Pipeline": section}))
    return "--config=conf.json"


def test_the_command_succeeds_and_says_what_failed(command, configuration, executor, tmp_path):
    done = command(
        configuration,
        f"--executor={executor}",
        "--Pipeline.on_error=skip",
        "--summary=summary.json",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Traceback") == 3
    assert done.stderr.count("step 'S' raised ZeroDivisionError in run() on event 4: its mess") == 1
    for hidden in ("worker.py", "sequential.py", "_runner.pyx"):
        assert hidden not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.endswith("messages that failed and were skipped: 3 in 'S'")
    assert "WARNING" in last
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "finished"
    assert by_name(summary)["S"]["failed"] == 3


def test_the_command_fails_when_too_much_does(command, configuration, executor, tmp_path):
    done = command(
        configuration,
        f"--executor={executor}",
        "--Pipeline.on_error=skip",
        "--Pipeline.max_errors=1",
        "--summary=summary.json",
    )
    assert done.returncode == 1
    assert "2 messages have failed; Pipeline.max_errors is 1" in done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "failed"
    assert by_name(summary)["S"]["failed"] == 2
