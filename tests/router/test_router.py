"""The router against a simple model: every message, every queue, every worker."""

import itertools
import time
import weakref

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ctapipe.pipeline._router import Router
from ctapipe.pipeline.trace import RECORD
from ctapipe.pipeline.transport._channel import STOP, Channel

# How many messages the tests let wait in a socket whose worker is parked; the socket has
# room for more, so that no send blocks the only thread.
MOST_BEHIND = 6
SEND_AHEAD = 64


class Model:
    """What a router is to do, in the plainest way."""

    def __init__(self, steps, workers, prefetch):
        self.limits = [limit for limit, _ in steps]
        self.ranks = [rank for _, rank in steps]
        self.prefetch = prefetch
        self.step_of = workers
        self.queues = [[] for _ in steps]
        self.idle = [
            [w for w, step in enumerate(workers) if step == s and s > 0] for s in range(len(steps))
        ]
        self.ready = [[] for _ in steps]
        self.waiting = [[] for _ in steps]
        self.pipes = [[] for _ in workers]
        self.parked = [None for _ in workers]
        self.given = [[] for _ in workers]
        self.arrived = [[] for _ in workers]
        self.counters = [
            dict.fromkeys(["received", "done", "failed", "sent", "queue_peak"], 0) for _ in steps
        ]
        self.living = {}
        self.lost = set()
        self.in_flight = 0
        self.producer_ended = False

    def put(self, w, action):
        """A worker writes to its socket, and the router reads all that it can."""
        self.pipes[w].append(action)
        found = True
        while found:
            # One look at every socket, whatever the others had.
            found = sum(self.read(other) for other in range(len(self.pipes))) > 0

    def read(self, w):
        """Read all that a worker has sent, and say whether there was anything."""
        found = False
        while self.pipes[w] and self.parked[w] is None:
            found = True
            kind, *rest = self.pipes[w].pop(0)
            if kind == "message":
                self.message(w, *rest)
            elif kind == "acknowledge":
                self.acknowledge(w, *rest)
            else:
                self.producer_ended = True
        return found

    def message(self, w, step, message):
        sender = self.counters[self.step_of[w]]
        sender["sent"] += 1
        if w == 0:
            sender["done"] += 1
        event = message[0]
        self.living[event] = self.living.get(event, 0) + 1
        self.in_flight += 1
        against_the_order = self.ranks[step] <= self.ranks[self.step_of[w]]
        if self.idle[step] or self.ready[step]:
            self.give(step, message)
        elif (
            self.limits[step] >= 0
            and len(self.queues[step]) >= self.limits[step]
            and not against_the_order
        ):
            # A worker that cannot send does not get more to do.
            if w in self.ready[self.step_of[w]]:
                self.ready[self.step_of[w]].remove(w)
            self.parked[w] = (step, message)
            self.waiting[step].append(w)
        else:
            self.enqueue(step, message)

    def enqueue(self, step, message):
        self.queues[step].append(message)
        peak = self.counters[step]["queue_peak"]
        self.counters[step]["queue_peak"] = max(peak, len(self.queues[step]))

    def give(self, step, message):
        w = (self.idle[step] or self.ready[step]).pop(0)
        self.given[w].append(message)
        self.arrived[w].append(message)
        self.counters[step]["received"] += 1
        if len(self.given[w]) < self.prefetch:
            self.ready[step].append(w)

    def acknowledge(self, w, n_jobs, skipped):
        step = self.step_of[w]
        for event, _ in self.given[w][:n_jobs]:
            self.living[event] -= 1
        if skipped:
            self.lost.add(self.given[w][n_jobs - 1][0])
        del self.given[w][:n_jobs]
        self.in_flight -= n_jobs
        self.counters[step]["done"] += n_jobs - skipped
        self.counters[step]["failed"] += skipped
        if w in self.ready[step]:
            self.ready[step].remove(w)
        if not self.given[w]:
            self.idle[step].append(w)
        elif len(self.given[w]) < self.prefetch:
            self.ready[step].append(w)
        while self.queues[step] and (self.idle[step] or self.ready[step]):
            self.give(step, self.queues[step].pop(0))
            while self.waiting[step] and 2 * len(self.queues[step]) <= self.limits[step]:
                other = self.waiting[step].pop(0)
                self.enqueue(*self.parked[other])
                self.parked[other] = None

    @property
    def ended(self):
        return self.producer_ended and self.in_flight == 0


class RouterMachine(RuleBasedStateMachine):
    """Random steps, workers and messages: to any step, forwards and backwards."""

    @initialize(
        data=st.data(),
        n_stages=st.integers(1, 3),
        prefetch=st.sampled_from([1, 1, 2, 5]),
    )
    def build(self, data, n_stages, prefetch):
        n_steps = n_stages + 2
        limits = st.sampled_from([-1, 1, 2, 5])
        steps = [(data.draw(limits), rank) for rank in range(n_steps)]
        workers = [0]
        for stage in range(1, n_stages + 1):
            workers += [stage] * data.draw(st.integers(1, 3))
        workers.append(n_steps - 1)
        self.router = Router([(limit, rank, prefetch, None, 0) for limit, rank in steps])
        self.channels = [Channel(self.router, step, SEND_AHEAD) for step in workers]
        for channel in self.channels:
            channel.open()
        self.channels[0].start_producing()
        self.router.route_arrived()
        self.model = Model(steps, workers, prefetch)
        self.n_events = 0
        self.n_messages = 0
        self.job = [None for _ in workers]
        self.n_ended = [0 for _ in workers]
        self.ending = False
        self.closed = False

    def can_send(self, w):
        return len(self.model.pipes[w]) < MOST_BEHIND

    def step_strategy(self):
        return st.integers(1, len(self.model.limits) - 1)

    def send(self, w, step, event):
        self.n_messages += 1
        message = (event, self.n_messages)
        self.channels[w].send(step, message)
        self.model.put(w, ("message", step, message))
        self.router.route_arrived()

    @precondition(lambda self: not self.ending and self.can_send(0))
    @rule(data=st.data())
    def produce(self, data):
        self.send(0, data.draw(self.step_strategy()), self.n_events)
        self.n_events += 1

    @rule(data=st.data())
    def receive(self, data):
        w = data.draw(st.integers(1, len(self.channels) - 1))
        if self.job[w] is not None or self.model.ended:
            return
        if self.model.arrived[w]:
            expected = self.model.arrived[w].pop(0)
            assert self.channels[w].receive(block=False) == expected
            assert self.channels[w].event == expected[0]
            self.job[w] = expected
        else:
            with pytest.raises(BlockingIOError):
                self.channels[w].receive(block=False)

    def busy(self):
        return [w for w, job in enumerate(self.job) if job is not None]

    @precondition(lambda self: any(self.can_send(w) for w in self.busy()))
    @rule(data=st.data())
    def pass_on(self, data):
        w = data.draw(st.sampled_from([w for w in self.busy() if self.can_send(w)]))
        self.send(w, data.draw(self.step_strategy()), self.job[w][0])

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), skipped=st.sampled_from([False, False, False, True]))
    def acknowledge(self, data, skipped):
        self.acknowledge_job(data.draw(st.sampled_from(self.busy())), skipped)

    def acknowledge_job(self, w, skipped=False):
        n_held_back = self.channels[w].acknowledge(skipped=skipped)
        self.job[w] = None
        self.n_ended[w] += 1
        # Held back only as long as there is a next job.
        assert n_held_back == 0 or (self.model.arrived[w] and not skipped)
        if n_held_back == 0:
            self.model.put(w, ("acknowledge", self.n_ended[w], skipped))
            self.n_ended[w] = 0
        self.router.route_arrived()

    @precondition(lambda self: not self.ending and self.n_events > 5)
    @rule()
    def end_production(self):
        self.ending = True
        self.channels[0].goodbye()
        self.model.put(0, ("goodbye",))
        self.router.route_arrived()

    @invariant()
    def counters_agree(self):
        if not hasattr(self, "model"):
            return
        model = self.model
        for s, counters in enumerate(self.router.counters()):
            expected = dict(model.counters[s])
            expected["queue"] = len(model.queues[s])
            of_step = [w for w, step in enumerate(model.step_of) if step == s]
            expected["running"] = sum(
                bool(model.given[w]) or (w == 0 and not model.producer_ended) for w in of_step
            )
            counters.pop("busy_s")
            assert counters == expected
        events = self.router.events()
        assert events["sent"] == sum(1 for _ in model.living)
        assert events["finished"] == sum(
            count == 0 and event not in model.lost for event, count in model.living.items()
        )

    @invariant()
    def workers_stop_at_the_end_only(self):
        if hasattr(self, "model") and self.model.ended:
            for w in range(1, len(self.channels)):
                assert self.job[w] is None

    def teardown(self):
        if not hasattr(self, "model"):
            return
        if not self.ending:
            self.end_production()
        # Whatever was going on: working on without sending more reaches the end.
        while not self.model.ended:
            for w in range(1, len(self.channels)):
                if self.job[w] is None and self.model.arrived[w]:
                    expected = self.model.arrived[w].pop(0)
                    assert self.channels[w].receive(block=False) == expected
                    self.job[w] = expected
                if self.job[w] is not None:
                    self.acknowledge_job(w)
            self.counters_agree()
        for w in range(1, len(self.channels)):
            assert not self.router.route_arrived()
            assert self.channels[w].receive(block=False) is STOP
            self.channels[w].goodbye()
        assert self.router.route_arrived()
        assert all(counters["running"] == 0 for counters in self.router.counters())
        for channel in self.channels:
            channel.close()
        self.router.close()


TestRouter = RouterMachine.TestCase
TestRouter.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


def close(router, *channels):
    for channel in channels:
        channel.close()
    router.close()


def test_discard_drops_what_waits_and_stops_everyone():
    router = Router([(-1, 0, 1, None, 0), (1, 1, 1, None, 0), (1, 2, 1, None, 0)])
    producer, stage, consumer = channels = [Channel(router, step) for step in range(3)]
    for channel in channels:
        channel.open()
    producer.start_producing()
    for number in range(4):
        producer.send(1, number)
    router.route_arrived()
    assert stage.receive() == 0
    assert router.counters()[1]["queue"] == 1
    router.discard()
    assert not router.route_arrived()
    assert producer.production_ended
    assert router.counters()[1]["queue"] == 0
    assert consumer.receive() is STOP
    stage.send(2, "too late")
    stage.acknowledge()
    assert stage.receive() is STOP
    for channel in channels:
        assert not router.route_arrived()
        channel.goodbye()
    assert router.route_arrived()
    counters = router.counters()
    assert counters[1]["received"] == counters[1]["done"] == 1
    assert counters[2]["received"] == 0
    close(router, *channels)


def test_a_slow_job_brings_a_worker_back_to_one_message_at_a_time():
    """Without a fixed prefetch, the time that jobs take decides."""
    router = Router([(-1, 0, 0, None, 0), (-1, 1, 0, None, 0)])
    producer, worker = channels = [Channel(router, step) for step in range(2)]
    for channel in channels:
        channel.open()
    producer.start_producing()

    def ahead():
        counters = router.counters()[1]
        return counters["received"] - counters["done"]

    producer.send(1, 0)
    for number in itertools.count(1):
        assert number < 100_000, "quick jobs never got the worker a second message"
        producer.send(1, number)
        router.route_arrived()
        if ahead() > 1:
            break
        worker.receive()
        worker.acknowledge()
        router.route_arrived()
    worker.receive()
    began = time.monotonic()
    while time.monotonic() - began < 0.001:
        pass
    worker.acknowledge()
    router.route_arrived()
    # What it was given it keeps, but it gets no more.
    for number in range(3):
        producer.send(1, number)
    router.route_arrived()
    assert ahead() == 1
    assert router.counters()[1]["queue"] == 3
    router.discard()
    router.route_arrived()
    close(router, *channels)


@pytest.mark.parametrize("ordered", [False, True])
def test_the_age_of_events_and_the_time_in_a_queue(ordered):
    router = Router([(-1, 0, 1, None, 0), (-1, 1, 1, [0] if ordered else None, 0)])
    producer, worker = channels = [Channel(router, step, SEND_AHEAD) for step in range(2)]
    for channel in channels:
        channel.open()
    producer.start_producing()
    assert router.percentiles() == (None, [None, None])
    began = time.perf_counter()
    for number in range(40):
        producer.send(1, number)
    router.route_arrived()
    sent = time.perf_counter()
    # It knows times to 1/8, and calls the middle of a bin a time.
    while (waited := time.perf_counter() - sent) < 0.01:
        pass
    for _ in range(40):
        worker.receive()
        worker.acknowledge()
        router.route_arrived()
    longest = 17 / 16 * (time.perf_counter() - began)
    shortest = 15 / 16 * waited
    age, [nothing, wait] = router.percentiles()
    assert nothing is None
    assert shortest <= age[0] <= age[1] <= longest
    assert shortest <= wait[0] <= wait[1] <= longest
    close(router, *channels)
    assert router.percentiles() == (age, [None, wait])


def test_a_trace_keeps_the_last_records():
    router = Router([(-1, 0, 1, None, 0), (-1, 1, 1, None, 0)])
    router.record_trace(4)
    producer, worker = channels = [Channel(router, step) for step in range(2)]
    for channel in channels:
        channel.open()
    producer.start_producing()
    for number in range(6):
        producer.send(1, number)
        router.route_arrived()
        worker.receive()
        worker.acknowledge()
        router.route_arrived()
    close(router, *channels)
    records = np.frombuffer(router.recorded_trace(), RECORD)
    assert records["event"].tolist() == [2, 3, 4, 5]
    assert records["worker"].tolist() == [1] * 4
    assert (records["begin"] <= records["end"]).all()
    assert (np.diff(records["end"].astype(np.int64)) > 0).all()


def test_messages_that_are_taken_at_once_have_not_waited():
    router = Router([(-1, 0, 1, None, 0), (-1, 1, 1, None, 0)])
    producer, worker = channels = [Channel(router, step) for step in range(2)]
    for channel in channels:
        channel.open()
    producer.start_producing()
    for number in range(3):
        producer.send(1, number)
        router.route_arrived()
        worker.receive()
        worker.acknowledge()
        router.route_arrived()
    age, [_, wait] = router.percentiles()
    assert wait == (0, 0)
    assert age[0] > 0
    close(router, *channels)


def test_a_router_whose_workers_never_ran_can_be_closed():
    router = Router([(-1, 0, 1, None, 0), (1, 1, 1, None, 0), (1, 2, 1, None, 0)])
    channels = [Channel(router, step) for step in (0, *[1] * 40, 2)]
    close(router, *channels)
    close(router)


@pytest.mark.parametrize("routed", [False, True])
def test_what_was_sent_and_is_never_read_goes_with_the_router(routed):
    class Message:
        pass

    router = Router([(-1, 0, 1, None, 0), (1, 1, 1, None, 0)])
    channels = [Channel(router, step, SEND_AHEAD, by_reference=True) for step in range(2)]
    for channel in channels:
        channel.open()
    channels[0].start_producing()
    living = weakref.WeakSet()
    for _ in range(5):
        message = Message()
        living.add(message)
        channels[0].send(1, message)
        del message
        if routed and len(living) == 2:
            router.route_arrived()
    assert len(living) == 5
    close(router, *channels)
    assert not living


def test_the_data_of_a_dropped_message_is_not_taken_for_a_message():
    """An array that looks like the header of an object handed over by reference."""
    router = Router([(-1, 0, 1, None, 0), (-1, 1, 1, None, 0)])
    producer, stage = channels = [Channel(router, step) for step in range(2)]
    for channel in channels:
        channel.open()
    producer.start_producing()
    array = np.zeros(8192, dtype=np.uint8)
    array[:2] = (4, 1)
    array[16] = 16
    producer.send(1, array)
    router.route_arrived()
    router.discard()
    assert stage.receive() is STOP
    close(router, *channels)
