"""The documented ways to write a step, on every executor."""

import threading
from collections import Counter

import pytest
from common_steps import Pass, SendsInAnotherThread, by_name, collector, numbers
from ctapipe.core import Component
from ctapipe.core.traits import Int, Unicode

from ctapipe.pipeline import StepError, run

Numbers = numbers()


def result_of(*steps, executor, consumer=None):
    """What arrives at the consumer, as a multiset, and the summary."""
    consumer = consumer or collector()
    summary = run([*steps, consumer], executor=executor)
    assert summary["state"] == "finished"
    return Counter(consumer.received), summary


def test_a_producer_may_yield_its_messages(executor):
    received, summary = result_of(Numbers, Pass, executor=executor)
    assert received == Counter(range(20))
    assert by_name(summary)["Numbers"]["done"] == 20
    assert summary["events"] == {"sent": 20, "finished": 20}


def test_a_producer_may_send_its_messages_and_yield_nothing(executor):
    class Producer:
        def run(self):
            for number in range(20):
                self.send_msg(number)
                yield

    received, summary = result_of(Producer, Pass, executor=executor)
    assert received == Counter(range(20))
    assert by_name(summary)["Producer"]["done"] == 20
    assert by_name(summary)["Producer"]["sent"] == 20


def test_a_producer_need_not_be_a_generator(executor):
    class Producer:
        def run(self):
            for number in range(20):
                self.send_msg(number)

    received, summary = result_of(Producer, Pass, executor=executor)
    assert received == Counter(range(20))
    assert by_name(summary)["Producer"]["done"] == 20


@pytest.mark.parametrize("kind", [range, lambda n: list(range(n)), lambda n: iter(range(n))])
def test_a_producer_may_return_something_to_iterate_over(executor, kind):
    class Producer:
        def run(self):
            return kind(20)

    received, _ = result_of(Producer, Pass, executor=executor)
    assert received == Counter(range(20))


@pytest.mark.parametrize("value", ["text", 7, {"a": 1}])
def test_a_producer_that_returns_anything_else_is_told_so(executor, value):
    class Producer:
        def run(self):
            return value

    with pytest.raises(StepError, match="'Producer' raised TypeError") as failure:
        run([Producer, Pass, collector()], executor=executor)
    assert "yields its messages" in str(failure.value.__cause__)


def test_a_producer_may_send_nothing(executor):
    class Producer:
        def run(self):
            return iter(())

    received, summary = result_of(Producer, Pass, executor=executor)
    assert not received
    assert summary["events"] == {"sent": 0, "finished": 0}


def test_a_stage_may_send_none_one_or_many(executor):
    class Stage:
        def run(self, number):
            for copy in range(number % 3):
                self.send_msg((number, copy))

    received, summary = result_of(Numbers, Stage, executor=executor)
    assert received == Counter((n, copy) for n in range(20) for copy in range(n % 3))
    assert summary["events"] == {"sent": 20, "finished": 20}
    assert by_name(summary)["Stage"]["done"] == 20
    assert by_name(summary)["Stage"]["sent"] == sum(received.values())


def test_a_stage_may_return_its_message(executor):
    class Stage:
        def run(self, number):
            return number * 10 if number % 2 else None

    received, _ = result_of(Numbers, Stage, executor=executor)
    assert received == Counter(number * 10 for number in range(1, 20, 2))


def test_a_returned_list_is_one_message(executor):
    class Stage:
        def run(self, number):
            return (number, number)

    received, _ = result_of(Numbers, Stage, executor=executor)
    assert received == Counter((number, number) for number in range(20))


def test_a_stage_may_yield_several_messages(executor):
    class Stage:
        def run(self, number):
            yield number
            yield None
            yield -number

    received, _ = result_of(Numbers, Stage, executor=executor)
    assert received == Counter(range(20)) + Counter(-number for number in range(20))


def test_a_stage_may_pick_one_of_several_next_steps(executor):
    class Sort:
        def run(self, number):
            if number % 2:
                self.send_msg(number, "ODD")
            else:
                self.send_msg(number)

    class Even:
        def run(self, number):
            return ("even", number)

    class Odd:
        def run(self, number):
            return ("odd", number)

    consumer = collector()
    received, summary = result_of(
        Numbers,
        {"class": Sort, "next_steps": "EVEN, ODD"},
        {"name": "EVEN", "class": Even, "next_steps": ["Collect"]},
        {"name": "ODD", "class": Odd, "nb_thread": 2, "next_steps": "Collect"},
        executor=executor,
        consumer=consumer,
    )
    assert received == Counter((("even", "odd")[n % 2], n) for n in range(20))
    assert by_name(summary)["ODD"]["received"] == 10


def test_a_message_may_go_backwards_and_to_a_step_that_is_not_next(executor):
    class First:
        def run(self, number):
            if number > 0:
                self.send_msg(number - 1, "First")
            else:
                self.send_msg("done", "Second")

    class Second:
        def run(self, message):
            self.send_msg(message)

    received, summary = result_of(
        Numbers,
        {"class": First, "queue_limit": 1},
        {"class": Second, "queue_limit": 1},
        executor=executor,
    )
    assert received == Counter({"done": 20})
    assert by_name(summary)["First"]["done"] == sum(range(21))
    assert summary["events"] == {"sent": 20, "finished": 20}


def test_the_consumer_may_send_back(executor):
    class Consumer:
        received: list = []

        def run(self, message):
            if isinstance(message, int):
                self.send_msg(str(message), "Pass")
            else:
                self.received.append(message)

    received, _ = result_of(Numbers, Pass, executor=executor, consumer=Consumer)
    assert received == Counter(str(number) for number in range(20))


def test_what_the_consumer_returns_is_dropped_with_one_warning(executor, caplog):
    class Consumer:
        def run(self, message):
            return message

    run([Numbers, Pass, Consumer], executor=executor)
    warnings = [r.getMessage() for r in caplog.records if "Consumer" in r.getMessage()]
    assert warnings == ["step 'Consumer': it is the consumer: what its run() returns is dropped"]


def test_a_value_is_dropped_with_one_warning_where_send_msg_was_used(executor_here, caplog):
    class Stage:
        def run(self, number):
            self.send_msg(number)
            return number

    received, _ = result_of(Numbers, {"class": Stage, "nb_thread": 3}, executor=executor_here)
    assert received == Counter(range(20))
    warnings = [r.getMessage() for r in caplog.records if "also calls send_msg" in r.getMessage()]
    assert len(warnings) == 1
    assert "'Stage'" in warnings[0]


def test_a_component_has_name_log_and_send_msg_in_init(executor_here):
    seen = {}

    class Stage(Component):
        def init(self):
            seen.update(name=self.name, log=self.log.name, send=self.send_msg, next=self.next_steps)

        def run(self, number):
            return number

    consumer = collector()
    run([Numbers, {"name": "MIDDLE", "class": Stage}, consumer], executor=executor_here)
    assert seen["name"] == "MIDDLE"
    assert seen["log"].startswith("ctapipe.pipeline")
    assert seen["next"] == ("Collect",)
    assert callable(seen["send"])


@pytest.mark.parametrize("call", ["init", "finish"])
def test_sending_outside_of_run_is_an_error(executor, call):
    class Stage:
        def run(self, number):
            return number

    setattr(Stage, call, lambda self: self.send_msg(1))
    with pytest.raises(StepError, match=f"'Stage' raised RuntimeError in {call}") as failure:
        run([Numbers, Stage, collector()], executor=executor)
    assert "in run() only" in str(failure.value.__cause__)


def test_sending_in_another_thread_is_an_error(executor):
    with pytest.raises(StepError, match="'Stage' raised RuntimeError") as failure:
        run(
            [Numbers, {"name": "Stage", "class": SendsInAnotherThread}, collector()],
            executor=executor,
        )
    assert "another thread" in str(failure.value.__cause__)


@pytest.mark.parametrize(
    ("target", "message"),
    [("Pas", "did you mean 'Pass'"), ("Numbers", "sends to the producer 'Numbers'")],
)
def test_a_wrong_target_is_an_error(executor, target, message):
    class Stage:
        def run(self, number):
            self.send_msg(number, target)

    with pytest.raises(StepError, match="'Stage' raised ValueError") as failure:
        run([Numbers, Stage, Pass, collector()], executor=executor)
    assert message in str(failure.value.__cause__)


def test_a_stage_with_no_next_step_may_not_return_a_value(executor):
    with pytest.raises(StepError, match="'Pass' raised ValueError") as failure:
        run(
            [
                {"class": Numbers, "next_steps": "Pass, Collect"},
                {"class": Pass, "next_steps": []},
                collector(),
            ],
            executor=executor,
        )
    assert "no next step" in str(failure.value.__cause__)


def test_every_worker_has_an_instance_and_its_calls_come_from_one_thread():
    calls = []

    class Stage:
        def init(self):
            calls.append((id(self), "init", threading.get_ident()))

        def run(self, number):
            calls.append((id(self), "run", threading.get_ident()))
            return number

        def finish(self):
            calls.append((id(self), "finish", threading.get_ident()))

    run([Numbers, {"class": Stage, "nb_thread": 3}, collector()])
    instances = {instance for instance, _, _ in calls}
    assert len(instances) == 3
    for instance in instances:
        own = [(call, thread) for other, call, thread in calls if other == instance]
        assert len({thread for _, thread in own}) == 1
        names = [call for call, _ in own]
        assert names[0] == "init"
        assert names[-1] == "finish"
        assert set(names[1:-1]) <= {"run"}


def test_steps_finish_in_the_order_of_the_graph(executor_here):
    finished = []

    def step(name, run):
        return type(name, (), {"run": run, "finish": lambda self: finished.append(self.name)})

    run(
        [
            step("One", lambda self: iter(range(3))),
            {"class": step("Two", lambda self, x: x), "nb_thread": 2},
            step("Three", lambda self, x: x),
            step("Four", lambda self, x: None),
        ],
        executor=executor_here,
    )
    assert list(dict.fromkeys(finished)) == ["One", "Two", "Three", "Four"]


class Scale(Component):
    """Multiplies."""

    factor = Int(1, help="What to multiply with").tag(config=True)
    label = Unicode("").tag(config=True)

    def run(self, number):
        return (number * self.factor, self.label)


def test_options_come_from_the_section_of_the_class_or_of_the_step(executor):
    consumer = collector()
    configuration = {
        "Pipeline": {
            "producer_conf": {"name": "NUMBERS", "class": Numbers, "next_steps": "a,B"},
            "stagers_conf": [
                {"name": "a", "class": Scale, "next_steps": "END"},
                {"name": "B", "class": Scale, "next_steps": "END"},
            ],
            "consumer_conf": {"name": "END", "class": consumer},
        },
        "Scale": {"factor": 2, "label": "class"},
        "a": {"factor": 3},
    }
    run(configuration, executor=executor)
    assert Counter(consumer.received) == Counter((3 * n, "class") for n in range(20))
    configuration["Pipeline"]["producer_conf"]["next_steps"] = "B, a"
    consumer.received.clear()
    run(configuration, executor=executor)
    assert Counter(consumer.received) == Counter((2 * n, "class") for n in range(20))


def test_messages_on_threads_are_copies():
    """What a step does to its message does not change the sender's."""
    sent = [[number] for number in range(5)]

    class Producer:
        def run(self):
            for message in sent:
                self.send_msg(message)

    class Stage:
        def run(self, message):
            message.append("changed")
            return tuple(message)

    received, _ = result_of(Producer, Stage, executor="threads")
    assert sent == [[number] for number in range(5)]
    assert received == Counter((number, "changed") for number in range(5))


def test_a_queue_never_grows_over_its_limit():
    class Producer:
        def run(self):
            yield from range(5000)

    received, summary = result_of(
        Producer,
        {"class": Pass, "nb_thread": 4, "queue_limit": 3},
        executor="threads",
    )
    assert received == Counter(range(5000))
    assert by_name(summary)["Pass"]["queue_peak"] <= 3


def test_memory_does_not_grow_with_what_the_producer_could_send():
    """A producer waits for a slow consumer: few of its messages exist at a time."""
    produced = 0
    most_ahead = 0

    class Producer:
        def run(self):
            nonlocal produced
            for number in range(2000):
                produced += 1
                yield number

    class Consumer:
        done = 0

        def run(self, number):
            nonlocal most_ahead
            self.done += 1
            most_ahead = max(most_ahead, produced - self.done)

    run(
        [Producer, {"class": Pass, "queue_limit": 2}, {"class": Consumer, "queue_limit": 2}],
        executor="threads",
    )
    # For each of two steps at most 2 under way to its queue and one parked, 2 queued, and
    # 2 with its worker; and the one that the producer holds.
    assert most_ahead <= 2 * (2 + 1 + 2 + 2) + 1
