"""Chained stages: they run in the workers of the stage before them, and are counted apart."""

import json
import threading
import time
from collections import Counter

import pytest
from common_steps import Pass, SendsInAnotherThread, by_name, collector, numbers

from ctapipe.pipeline import ConfigurationError, StepError, run


class Stamp:
    """Adds its name."""

    def run(self, message):
        path = message if isinstance(message, tuple) else (message,)
        return (*path, self.name)


def stage(name, step_class=Stamp, **keys):
    return {"name": name, "class": step_class, **keys}


def test_a_chain_does_what_its_steps_do_apart(executor):
    collect = collector()
    summary = run(
        [
            numbers(),
            stage("A", nb_thread=3),
            stage("B", chained=True),
            stage("C", chained=True),
            stage("D"),
            collect,
        ],
        executor=executor,
    )
    assert sorted(collect.received) == [(n, "A", "B", "C", "D") for n in range(20)]
    assert summary["events"] == {"sent": 20, "finished": 20}
    steps = by_name(summary)
    n_workers = 1 if executor == "sequential" else 3
    for name in "ABCD":
        counters = [steps[name][counter] for counter in ("received", "done", "failed", "sent")]
        assert counters == [20, 20, 0, 20]
        assert steps[name]["workers"] == (1 if name == "D" else n_workers)
    assert steps["B"]["queue_peak"] == steps["C"]["queue_peak"] == 0


def test_members_run_in_the_thread_of_the_worker_with_an_instance_each():
    seen = set()

    class Note:
        def run(self, ids):
            return (*ids, (self.name, id(self), threading.get_ident()))

    class Collect:
        def run(self, ids):
            seen.add(ids)

    class Producer:
        def run(self):
            for _ in range(300):
                yield ()

    run(
        [
            Producer,
            stage("A", Note, nb_thread=3, prefetch=1),
            stage("B", Note, chained=True),
            Collect,
        ]
    )
    # One pair of instances per worker, in one thread.
    assert len(seen) <= 3
    for (_, _, head_thread), (_, _, thread) in seen:
        assert head_thread == thread
    for position in (0, 1):
        assert len({ids[position] for ids in seen}) == len(seen)


def test_messages_in_a_chain_are_the_very_objects(executor):
    class Make:
        def run(self, number):
            self.made = lambda: number
            return self.made

    class Call:
        def run(self, function):
            return function()

    collect = collector()
    run([numbers(), stage("A", Make), stage("B", Call, chained=True), collect], executor=executor)
    assert collect.received == list(range(20))


@pytest.mark.parametrize("how", ["yield", "send_msg", "by name"])
def test_a_message_is_handed_over_when_it_is_sent(executor_here, how):
    """Depth first: the rest of the sender's run comes after what the next step does."""
    calls = []

    class Twice:
        def run(self, number):
            for copy in "ab":
                calls.append(f"{number}{copy} sent")
                if how == "yield":
                    yield f"{number}{copy}"
                else:
                    self.send_msg(f"{number}{copy}", "B" if how == "by name" else None)

    class Note:
        def run(self, message):
            calls.append(f"{message} in {self.name}")
            return message

    collect = collector()
    run(
        [
            numbers(2),
            stage("A", Twice),
            stage("B", Note, chained=True),
            stage("C", Note, chained=True),
            collect,
        ],
        executor=executor_here,
    )
    assert calls == [
        f"{number}{copy} {what}"
        for number in range(2)
        for copy in "ab"
        for what in ("sent", "in B", "in C")
    ]
    assert collect.received == ["0a", "0b", "1a", "1b"]


def test_a_member_may_send_to_steps_out_of_its_chain(executor):
    """To the head, which has a queue, and past the step that is chained to it."""

    class Head:
        def run(self, message):
            self.send_msg(message, "B" if isinstance(message, int) else "Collect")

    class Member:
        def run(self, number):
            if number % 2:
                self.send_msg(f"{number} again", "A")
            else:
                self.send_msg(f"{number} on", "Collect")
            self.send_msg(number)

    collect = collector()
    summary = run(
        [
            numbers(10),
            stage("A", Head, next_steps="B, Collect", nb_thread=2),
            stage("B", Member, chained=True, next_steps="C, Collect"),
            stage("C", Stamp, chained=True),
            collect,
        ],
        executor=executor,
    )
    assert Counter(collect.received) == Counter(
        [f"{n} {('on', 'again')[n % 2]}" for n in range(10)] + [(n, "C") for n in range(10)]
    )
    steps = by_name(summary)
    assert [(steps[name]["received"], steps[name]["sent"]) for name in "ABC"] == [
        (15, 15),
        (10, 20),
        (10, 10),
    ]


def test_several_steps_may_be_chained_to_one(executor):
    class Sort:
        def run(self, number):
            self.send_msg(number, "EVEN" if number % 2 == 0 else "ODD")

    collect = collector()
    run(
        [
            numbers(10),
            stage("A", Sort, next_steps="EVEN, ODD", nb_thread=2),
            stage("EVEN", chained=True, next_steps="Collect"),
            stage("ODD", chained=True, next_steps="Collect"),
            collect,
        ],
        executor=executor,
    )
    assert sorted(collect.received) == [(n, ("EVEN", "ODD")[n % 2]) for n in range(10)]


def test_a_chain_may_be_listed_in_any_order(executor):
    collect = collector()
    run(
        [
            {"class": numbers(), "next_steps": "A"},
            stage("C", chained=True, next_steps="Collect"),
            stage("B", chained=True, next_steps="C"),
            stage("A", next_steps="B", nb_thread=2),
            collect,
        ],
        executor=executor,
    )
    assert sorted(collect.received) == [(n, "A", "B", "C") for n in range(20)]


@pytest.mark.parametrize("sender", ["OTHER", "C", "B"])
def test_only_the_step_before_it_can_send_to_a_chained_step(executor, sender):
    class Sends:
        def run(self, message):
            self.send_msg(message, "B" if self.name == sender else None)

    with pytest.raises(StepError, match=f"step '{sender}' raised ValueError in run") as failure:
        run(
            [
                numbers(),
                stage("A", Sends),
                stage("B", Sends, chained=True),
                stage("C", Sends, chained=True),
                stage("OTHER", Sends),
                collector(),
            ],
            executor=executor,
        )
    assert str(failure.value.__cause__) == (
        f"step '{sender}' sends to 'B', which is chained: only 'A', the step before it, "
        "can send to it"
    )


def test_init_and_finish_are_called_in_the_order_of_the_graph(executor_here):
    calls = []

    def step(name, run):
        methods = {
            "run": run,
            "init": lambda self: calls.append((self.name, "init", threading.get_ident())),
            "finish": lambda self: calls.append((self.name, "finish", threading.get_ident())),
        }
        return type(name, (), methods)

    run(
        [
            {"class": step("One", lambda self: iter(range(9))), "next_steps": "Two"},
            {"class": step("Two", Pass.run), "nb_thread": 2, "next_steps": "Four"},
            {"class": step("Three", Pass.run), "next_steps": "Five"},
            {"class": step("Four", Pass.run), "chained": True, "next_steps": "Three"},
            step("Five", lambda self, message: None),
        ],
        executor=executor_here,
    )
    names = ["One", "Two", "Three", "Four", "Five"]
    n = 1 if executor_here == "sequential" else 2
    expected = [name for name in names for _ in range(n if name in ("Two", "Four") else 1)]
    for call in ("init", "finish"):
        assert [name for name, made, _ in calls if made == call] == expected
    threads = {name: {thread for other, _, thread in calls if other == name} for name in names}
    assert threads["Two"] == threads["Four"]
    assert len(threads["Two"]) == n


def test_a_member_whose_init_fails_stops_the_pipeline_before_it_starts(executor_here):
    calls = []

    def step(name, run, result=None):
        def init(self):
            calls.append((self.name, "init"))
            return result

        finish = lambda self: calls.append((self.name, "finish"))  # noqa: E731
        return type(name, (), {"run": run, "init": init, "finish": finish})

    with pytest.raises(StepError, match=r"step 'Three' returned False from init\(\)"):
        run(
            [
                step("One", lambda self: calls.append("ran")),
                step("Two", Pass.run),
                {"class": step("Three", Pass.run, False), "chained": True},
                {"class": step("Four", Pass.run), "chained": True},
                step("Five", Pass.run),
            ],
            executor=executor_here,
        )
    assert calls == [
        (name, call) for call in ("init", "finish") for name in ("One", "Two", "Three")
    ]


def fails_on(bad):
    def run(self, number):
        if number == bad:
            raise KeyError(number)
        return number

    return type("Fails", (), {"run": run})


def test_a_failure_is_reported_with_the_name_of_the_member(executor):
    class Catches:
        """The step before the one that fails must not take its exception for its own."""

        def run(self, number):
            try:
                self.send_msg(number)
            except Exception:
                self.send_msg("caught")

    collect = collector()
    with pytest.raises(StepError) as failure:
        run(
            [
                numbers(1000),
                stage("A", Catches, nb_thread=2),
                stage("B", Catches, chained=True),
                stage("BAD", fails_on(7), chained=True),
                stage("D", Pass, chained=True),
                collect,
            ],
            executor=executor,
        )
    assert str(failure.value) == "step 'BAD' raised KeyError in run() on event 7"
    assert "caught" not in collect.received


def test_the_counts_of_a_failed_run(executor, command, tmp_path):
    """The member has failed, not the steps before it."""
    (tmp_path / "steps.py").write_text(
        "class Numbers:\n"
        "    def run(self):\n"
        "        yield from range(1000)\n"
        "class Pass:\n"
        "    def run(self, number):\n"
        "        return number\n"
        "class Fails:\n"
        "    def run(self, number):\n"
        "        return 1 / (3 - number)\n"
        "class End:\n"
        "    def run(self, number):\n"
        "        pass\n"
    )
    step = {"module": "steps", "class": "Pass"}
    configuration = {
        "producer_conf": {"name": "P", "module": "steps", "class": "Numbers"},
        "stagers_conf": [
            {**step, "name": "A"},
            {**step, "name": "B", "chained": True},
            {**step, "name": "BAD", "class": "Fails", "chained": True},
        ],
        "consumer_conf": {**step, "name": "END", "class": "End"},
    }
    (tmp_path / "conf.json").write_text(json.dumps({"Pipeline": configuration}))
    done = command("--config=conf.json", f"--executor={executor}", "--summary=summary.json")
    assert done.returncode == 1
    assert "step 'BAD' raised ZeroDivisionError in run() on event 3" in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert "_runner.pyx" not in done.stderr
    steps = by_name(json.loads((tmp_path / "summary.json").read_text()))
    assert [steps[name]["failed"] for name in ("A", "B", "BAD")] == [0, 0, 1]
    assert [steps[name]["done"] for name in ("A", "B", "BAD")] == [3, 3, 3]


def test_busy_times_are_those_of_the_step_alone(executor):
    def works(s):
        def run(self, number):
            until = time.monotonic() + s
            while time.monotonic() < until:
                pass
            self.send_msg(number)
            until = time.monotonic() + s
            while time.monotonic() < until:
                pass

        return type("Works", (), {"run": run})

    summary = run(
        [
            numbers(10),
            stage("A", works(0.001)),
            stage("B", works(0.004)),
            stage("C", works(0.002), chained=True),
            stage("D", Pass, chained=True),
            collector(),
        ],
        executor=executor,
    )
    busy = {name: step["busy_s"] for name, step in by_name(summary).items()}
    assert busy["B"] >= 0.08
    assert busy["C"] >= 0.04
    # Less what D takes; more only by as much as the machine was away.
    assert busy["D"] < 0.02
    assert busy["B"] + busy["C"] + busy["D"] <= summary["elapsed_s"]


def test_waiting_for_room_is_not_counted_as_work():
    class Slow:
        def run(self, number):
            time.sleep(0.002)

    summary = run(
        [
            numbers(50),
            stage("A", Pass),
            stage("B", Pass, chained=True),
            {"name": "END", "class": Slow, "queue_limit": 1},
        ]
    )
    steps = by_name(summary)
    assert steps["END"]["busy_s"] >= 0.1
    assert steps["A"]["busy_s"] + steps["B"]["busy_s"] < 0.05


def test_a_member_sends_in_its_own_way():
    """`serialization` is of the step, although the worker has one channel."""
    made = []

    class Make:
        def run(self, number):
            message = [number]
            made.append(message)
            self.send_msg(message)
            self.send_msg(message, "Collect")

    class Wrap:
        def run(self, message):
            made.append([message])
            return made[-1]

    for head, member in (("pickle", "none"), ("none", "pickle")):
        made.clear()
        collect = collector()
        run(
            [
                numbers(1),
                stage("A", Make, serialization=head, next_steps="B, Collect"),
                stage("B", Wrap, serialization=member, chained=True),
                collect,
            ]
        )
        (by_head,) = [message for message in collect.received if message == [0]]
        (by_member,) = [message for message in collect.received if message == [[0]]]
        assert (by_head is made[0]) == (head == "none")
        assert (by_member is made[1]) == (member == "none")


def test_sending_in_another_thread_is_an_error():
    with pytest.raises(StepError, match="'A' raised RuntimeError") as failure:
        run([numbers(), stage("A", SendsInAnotherThread), stage("B", chained=True), collector()])
    assert "another thread" in str(failure.value.__cause__)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"B": {"nb_thread": 2}},
            "step 'B': 'nb_thread' is not for a chained step: it runs in the workers of the step "
            "before it and has as many",
        ),
        ({"B": {"queue_limit": 5}}, "step 'B': 'queue_limit' is not for a chained step: no mess"),
        ({"B": {"prefetch": 5}}, "step 'B': 'prefetch' is not for a chained step: it gets its"),
        ({"B": {"ordered": True}}, "step 'B': 'ordered' is not for a chained step: it gets its"),
        ({"B": {"chained": "yes"}}, "step 'B': 'chained' must be true or false, not 'yes'"),
        ({"B": {"chained": 1}}, "step 'B': 'chained' must be true or false, not 1"),
        (
            {"A": {"chained": True}},
            "step 'A': 'chained' is for a stage that comes after a stage; it comes after the "
            "producer 'P'",
        ),
        (
            {"A": {"next_steps": "B, C"}, "C": {"chained": True}},
            "step 'C': 'chained' is for a step that comes after one other, to run in its "
            "workers; it is in the 'next_steps' of 'A', 'B'",
        ),
        (
            {"B": {"next_steps": "B, C"}},
            "step 'B': 'chained' is for a step that comes after one other, to run in its "
            "workers; it is in the 'next_steps' of 'A', 'B'",
        ),
        ({"END": {"chained": True}}, "step 'END': 'chained' is not for the consumer: the cons"),
        ({"P": {"chained": True}}, "step 'P': 'chained' is not for the producer: a chained st"),
    ],
)
def test_a_chain_that_cannot_be_is_a_mistake_among_others(change, message):
    producer = {"name": "P", "class": numbers()}
    stages = [stage("A"), stage("B", chained=True), stage("C")]
    consumer = {"name": "END", "class": collector(), "queue_limit": 0}
    for step in (producer, *stages, consumer):
        step.update(change.get(step["name"], {}))
    with pytest.raises(ConfigurationError) as failure:
        run([producer, *stages, consumer])
    # And the queue's limit.
    assert len(failure.value.errors) == 2
    assert any(line.startswith(message) for line in failure.value.errors), failure.value.errors
