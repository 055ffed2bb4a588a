"""An ordered step: it receives messages in the order in which the producer sent their events."""

import itertools
import threading
import time
import zlib

import hypothesis.strategies as st
import pytest
from common_steps import collector, numbers
from hypothesis import given, settings
from random_stages import PREFETCHES, QUEUE_LIMITS, random_stages

from ctapipe.pipeline import run


@pytest.mark.parametrize("ordered", [False, True])
def test_the_order_of_the_producer(ordered):
    overtaken = threading.Event()
    received = []

    class Later:
        """Lets the first event pass only after the second has, without a clock."""

        def run(self, number):
            if number == 0:
                overtaken.wait(10)
            yield number
            if number == 1 and ordered:
                overtaken.set()

    class Collect:
        def run(self, number):
            received.append(number)
            if number == 1:
                overtaken.set()

    run(
        [
            numbers(20),
            {"class": Later, "nb_thread": 2, "prefetch": 1},
            {"class": Collect, "ordered": ordered},
        ]
    )
    assert sorted(received) == list(range(20))
    assert (received == list(range(20))) is ordered


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_what_quick_jobs_made_is_not_held_up_by_a_slow_one(executor, ordered, tmp_path):
    """Although the worker has the slow job in hand before the quick ones end."""
    arrived, n_quick = tmp_path / "arrived", 200

    class Quick:
        def run(self, number):
            deadline = time.monotonic() + 10
            while number == n_quick and not arrived.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("the quick ones have not arrived")
                time.sleep(0.001)
            return number

    class Collect:
        def run(self, number):
            if number == n_quick - 1:
                arrived.touch()

    run(
        [
            numbers(n_quick + 1),
            {"class": Quick, "prefetch": 100},
            {"class": Collect, "ordered": ordered},
        ],
        executor=executor,
    )


@pytest.mark.parametrize("limit", [1, 2, 100, -1])
def test_the_producer_waits_while_many_wait_for_their_turn(limit):
    """Not a worker, because it could be the one that has the first event."""
    n = 1000
    n_passed = itertools.count(1)
    many_passed = threading.Event()

    class Pass:
        def run(self, number):
            if number == 0:
                many_passed.wait(10)
            elif next(n_passed) == (limit if limit > 0 else 500):
                many_passed.set()
            return number

    collect = collector()
    summary = run(
        [
            numbers(n),
            {"class": Pass, "nb_thread": 4, "queue_limit": 5, "prefetch": 1},
            {"class": collect, "queue_limit": limit, "ordered": True},
        ]
    )
    assert many_passed.is_set()
    assert collect.received == list(range(n))
    assert summary["events"]["finished"] == n
    if limit > 0:
        # Besides, what was on the way to the stage, waiting for it, and at its workers.
        assert summary["steps"][2]["queue_peak"] <= limit + 20


def pseudo_random(*seed):
    return zlib.crc32(repr(seed).encode()) % 1000


OPTIONS = st.fixed_dictionaries(
    {"nb_thread": st.integers(1, 3), "queue_limit": QUEUE_LIMITS, "ordered": st.booleans()},
    optional={"prefetch": PREFETCHES},
)


@st.composite
def graphs(draw):
    consumer = {
        "name": "END",
        "queue_limit": draw(st.sampled_from([1, 3, 100])),
        "ordered": draw(st.booleans()),
    }
    return {
        "stages": draw(random_stages(OPTIONS)),
        "consumer": consumer,
        "n_events": draw(st.integers(0, 60)),
        "seed": draw(st.integers(0, 1000)),
        "fails_per_mille": draw(st.sampled_from([0, 100])),
    }


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_random_graphs_keep_the_order_and_end(graph):
    check(graph, "threads")


@settings(max_examples=10, deadline=None)
@given(graphs())
def test_random_graphs_of_processes_keep_the_order_and_end(graph):
    check(graph, "processes")


def check(graph, executor):
    stages, consumer, seed = graph["stages"], graph["consumer"], graph["seed"]
    arrived = {conf["name"]: [] for conf in [*stages, consumer]}

    def receive(step, message):
        arrived[step].append(message)

    class Producer:
        def run(self):
            yield from ((number,) for number in range(graph["n_events"]))

    class Stage:
        def run(self, message):
            receive(self.name, message)
            if pseudo_random(seed, self.name, message) < graph["fails_per_mille"]:
                raise ValueError(message)
            if pseudo_random(seed, message, self.name) < 100:
                time.sleep(0.0005)
            for follower in self.next_steps:
                # None, one, or two.
                for copy in range(pseudo_random(seed, message, self.name, follower) % 3):
                    self.send_msg((*message, copy), follower)

    class Consumer:
        def run(self, message):
            receive("END", message)

    def run_graph(executor):
        for messages in arrived.values():
            messages.clear()
        summary = run(
            {
                "Pipeline": {
                    "producer_conf": {"name": "START", "class": Producer, "next_steps": "S0"},
                    "stagers_conf": [{"class": Stage, **conf} for conf in stages],
                    "consumer_conf": {"class": Consumer, **consumer},
                    "on_error": "skip",
                }
            },
            executor=executor,
        )
        return {step: sorted(messages) for step, messages in arrived.items()}, summary

    expected, baseline = run_graph("sequential")
    received, summary = run_graph(executor)
    assert summary["events"] == baseline["events"]
    for step, same in zip(summary["steps"], baseline["steps"], strict=True):
        for counter in ("received", "done", "failed", "sent"):
            assert step[counter] == same[counter]
    # What the stages in other processes receive is not noted here.
    seen = [consumer] if executor == "processes" else [*stages, consumer]
    for conf in seen:
        assert received[conf["name"]] == expected[conf["name"]]
        # Several workers receive in order, but note it in any.
        if conf.get("ordered") and conf.get("nb_thread", 1) == 1:
            events = [message[0] for message in arrived[conf["name"]]]
            assert events == sorted(events)


@pytest.mark.parametrize("executor", ["threads", "sequential"])
def test_a_message_that_is_sent_back_before_the_step_is_waited_for(executor):
    class Twice:
        def run(self, message):
            number, again = message
            if number % 3 == 0 and not again:
                self.send_msg((number, True), "Twice")
            else:
                self.send_msg(message)

    producer = type("P", (), {"run": lambda self: iter([(i, False) for i in range(50)])})
    collect = collector()
    run(
        [
            producer,
            {"class": Twice, "nb_thread": 2},
            {"class": collect, "ordered": True, "queue_limit": 1},
        ],
        executor=executor,
    )
    assert [number for number, _ in collect.received] == list(range(50))
