"""Whole pipelines over random graphs: every message once, no queue over its limit, an end.

With chained stages, and stages that fail with some of their messages.
"""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ctapipe.pipeline import run


@st.composite
def graphs(draw):
    """Who sends to whom, with which limits, and which stages are chained.

    ``back`` sends a message back once, ``fails`` raises with some, having sent a part.
    """
    n_stages = draw(st.integers(1, 4))
    names = [f"S{i}" for i in range(n_stages)] + ["END"]
    stages = []
    # By name, from any step: those that are not chained.
    reachable = []
    for i in range(n_stages):
        followers = draw(
            st.lists(st.sampled_from(names[i + 1 :]), min_size=1, max_size=2, unique=True)
        )
        # The chain is kept, so that every stage is reached.
        if names[i + 1] not in followers:
            followers.append(names[i + 1])
        n_before = sum(names[i] in stage["next_steps"] for stage in stages)
        if n_before == 1 and draw(st.booleans()):
            how = {"chained": True}
        else:
            reachable.append(names[i])
            how = {
                "nb_thread": draw(st.integers(1, 4)),
                "queue_limit": draw(st.sampled_from([1, 2, 10, -1])),
                **draw(st.sampled_from([{}, {"prefetch": 1}, {"prefetch": 7}])),
            }
        stages.append(
            {
                "name": names[i],
                "next_steps": followers,
                "serialization": draw(st.sampled_from(["pickle", "none"])),
                **how,
                "copies": draw(st.integers(0, 2)),
                "fails": draw(st.none() | st.integers(2, 7)),
                "back": draw(st.none() | st.sampled_from(reachable)),
            }
        )
    return {
        "stages": draw(st.permutations(stages)),
        "limit": draw(st.sampled_from([1, 3, 100])),
        "n_events": draw(st.integers(0, 60)),
        "next": names[0],
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
