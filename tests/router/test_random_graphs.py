"""Whole pipelines over random graphs: every message once, no queue over its limit, an end.

With chained stages, and stages that fail with some of their messages.
"""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from random_stages import PREFETCHES, QUEUE_LIMITS, random_stages

from ctapipe.pipeline import run

OPTIONS = st.fixed_dictionaries(
    {"nb_thread": st.integers(1, 4), "queue_limit": QUEUE_LIMITS},
    optional={"prefetch": PREFETCHES},
)


@st.composite
def graphs(draw):
    """Who sends to whom, with which limits, and which stages are chained.

    ``back`` sends a message back once, ``fails`` raises with some, having sent a part.
    """
    stages = draw(random_stages(OPTIONS))
    # By name, from any step: those that are not chained.
    reachable = []
    for stage in stages:
        if "chained" not in stage:
            reachable.append(stage["name"])
        stage["serialization"] = draw(st.sampled_from(["pickle", "none"]))
        stage["copies"] = draw(st.integers(0, 2))
        stage["fails"] = draw(st.none() | st.integers(2, 7))
        stage["back"] = draw(st.none() | st.sampled_from(reachable))
    return {
        "stages": draw(st.permutations(stages)),
        "limit": draw(st.sampled_from([1, 3, 100])),
        "n_events": draw(st.integers(0, 60)),
        "next": stages[0]["name"],
    }


def stage_class(plan):
    class Stage:
        def run(self, message):
            path, sent_back = message
            if plan["back"] and not sent_back:
                self.send_msg((path, True), plan["back"])
                return
            for i, follower in enumerate(plan["next_steps"]):
                if plan["fails"] and (path[0] + len(path) + i) % plan["fails"] == 0:
                    raise ValueError(path)
                for copy in range(plan["copies"] or 1):
                    self.send_msg(((*path, (self.name, copy)), sent_back), follower)

    return Stage


def run_graph(graph, executor):
    arrived = []

    class Producer:
        def run(self):
            for number in range(graph["n_events"]):
                yield ((number,), False)

    class Consumer:
        def run(self, message):
            arrived.append(message)

    keys = (
        "name",
        "next_steps",
        "nb_thread",
        "queue_limit",
        "serialization",
        "prefetch",
        "chained",
    )
    summary = run(
        {
            "Pipeline": {
                "producer_conf": {
                    "name": "START",
                    "class": Producer,
                    "next_steps": graph["next"],
                },
                "stagers_conf": [
                    {"class": stage_class(plan), **{key: plan[key] for key in keys if key in plan}}
                    for plan in graph["stages"]
                ],
                "consumer_conf": {
                    "name": "END",
                    "class": Consumer,
                    "queue_limit": graph["limit"],
                },
                "on_error": "skip",
            }
        },
        executor=executor,
    )
    return sorted(arrived), summary


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_threads_do_what_one_thread_does(graph):
    arrived, summary = run_graph(graph, "threads")
    expected, baseline = run_graph(graph, "sequential")
    assert arrived == expected
    assert summary["events"] == baseline["events"]
    if not any(plan["fails"] for plan in graph["stages"]):
        assert summary["events"] == {"sent": graph["n_events"], "finished": graph["n_events"]}
    backwards = {plan["back"] for plan in graph["stages"]}
    limits = {plan["name"]: plan.get("queue_limit", 0) for plan in graph["stages"]}
    limits["END"] = graph["limit"]
    for step, same in zip(summary["steps"], baseline["steps"], strict=True):
        for counter in ("received", "done", "failed", "sent"):
            assert step[counter] == same[counter]
        if limits.get(step["name"], -1) >= 0 and step["name"] not in backwards:
            assert step["queue_peak"] <= limits[step["name"]]


@pytest.mark.parametrize("limit", [1, 10])
def test_a_long_run_loses_and_doubles_nothing(limit):
    n = 300_000

    class Producer:
        def run(self):
            yield from range(n)

    class Stage:
        def run(self, number):
            return number

    class Consumer:
        seen = bytearray(n)

        def run(self, number):
            self.seen[number] += 1

    summary = run(
        [
            Producer,
            {"class": Stage, "nb_thread": 4, "queue_limit": limit},
            {"class": Consumer, "queue_limit": limit},
        ]
    )
    assert Consumer.seen == b"\1" * n
    assert summary["events"] == {"sent": n, "finished": n}
    assert all(step["queue_peak"] <= limit for step in summary["steps"])
