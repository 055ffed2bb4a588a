"""How messages are handed over: pickled with their buffers apart, or by reference."""

import gc
import pickle

import numpy as np
import pytest
from common_steps import Pass
from hypothesis import given, settings
from hypothesis import strategies as st

from ctapipe.pipeline import StepError, run


class Keep:
    """Passes on what it gets, and keeps it."""

    def init(self):
        self.kept.clear()

    def run(self, message):
        self.kept.append(message)
        return message


def hand_over(message, serialization="pickle"):
    """The message as the producer, a stage and the consumer have it."""

    class Producer:
        def run(self):
            yield message

    stage = type("Stage", (Keep,), {"kept": []})
    consumer = type("Consumer", (Keep,), {"kept": [], "run": lambda self, m: self.kept.append(m)})
    run(
        {
            "Pipeline": {
                "serialization": serialization,
                "producer_conf": {"name": "P", "class": Producer},
                "stagers_conf": [{"name": "S", "class": stage}],
                "consumer_conf": {"name": "C", "class": consumer},
            }
        }
    )
    return message, *stage.kept, *consumer.kept


ARRAYS = {
    "large": np.arange(100_000, dtype=np.float32),
    "small": np.arange(10),
    "empty": np.empty((0, 3)),
    "scalar": np.array(7.5),
    "Fortran order": np.asfortranarray(np.arange(20_000.0).reshape(100, 200)),
    "strided": np.arange(40_000)[::3],
    "transposed": np.arange(20_000).reshape(100, 200).T,
    "booleans": np.ones((300, 300), dtype=bool),
    "records": np.zeros(3000, dtype=[("energy", "f8"), ("tel_id", "i2")]),
    "objects": np.array([{"a": 1}, None, "text"], dtype=object),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_arrive_as_they_were_writable_and_not_shared(kind):
    sent, *received = hand_over(ARRAYS[kind].copy(order="K"))
    for array in received:
        assert array.dtype == sent.dtype
        assert array.shape == sent.shape
        np.testing.assert_array_equal(array, sent)
        assert array.flags.writeable
        assert not np.shares_memory(array, sent)
    if sent.size and sent.dtype != object:
        received[1][...] = np.zeros(1, dtype=sent.dtype)[0]
        np.testing.assert_array_equal(received[0], sent)


def test_an_array_that_is_read_only_can_be_sent():
    array = np.arange(10_000)
    array.flags.writeable = False
    _, received, _ = hand_over(array)
    np.testing.assert_array_equal(received, array)


def test_many_buffers_in_one_message():
    message = {i: np.full(3000 + i, i) for i in range(150)}
    _, received, _ = hand_over(message)
    for i, array in received.items():
        np.testing.assert_array_equal(array, message[i])


def test_a_large_message():
    message = np.arange(3_000_000)
    _, _, received = hand_over(message)
    np.testing.assert_array_equal(received, message)


def test_by_reference_the_receiver_gets_the_very_object():
    message = lambda: None  # noqa: E731 (something that cannot be pickled)
    sent, at_stage, at_consumer = hand_over(message, "none")
    assert sent is at_stage is at_consumer


def test_one_step_may_send_by_reference():
    consumer = type("Consumer", (), {"run": lambda self, m: received.append(m)})
    received = []
    made = []

    class Stage:
        def run(self, message):
            made.append(message)
            return made[-1]

    run(
        [
            type("Producer", (), {"run": lambda self: iter([[1], [2]])}),
            {"class": Stage, "serialization": "none"},
            consumer,
        ]
    )
    assert all(one is other for one, other in zip(received, made, strict=True))


class Counted:
    """Knows how many of its kind there are."""

    alive = 0

    def __init__(self):
        Counted.alive += 1

    def __del__(self):
        Counted.alive -= 1


def count_after(stage, n, n_threads=2):
    """Send `n` objects by reference, and say how many are left."""

    class Producer:
        def run(self):
            for _ in range(n):
                yield Counted()

    class Consumer:
        def run(self, message):
            pass

    try:
        run(
            {
                "Pipeline": {
                    "serialization": "none",
                    "producer_conf": {"name": "P", "class": Producer},
                    "stagers_conf": [{"name": "S", "class": stage, "nb_thread": n_threads}],
                    "consumer_conf": {"name": "C", "class": Consumer, "queue_limit": 5},
                }
            }
        )
    except StepError as error:
        failure = str(error)
        del error
    else:
        failure = None
    gc.collect()
    return Counted.alive, failure


@pytest.mark.timeout(300)
def test_no_reference_is_lost_or_doubled_over_a_million_messages():
    assert count_after(Pass, 1_000_000) == (0, None)


@pytest.mark.parametrize("after", [0, 1, 50, 1000])
def test_no_reference_is_kept_when_a_step_fails(after):
    """What is queued, parked, under way or given ahead by then is let go of."""

    class Fails:
        n = 0

        def run(self, message):
            self.n += 1
            if self.n > after:
                raise ValueError
            return message

    alive, failure = count_after(Fails, 10_000)
    assert "ValueError" in failure
    assert alive == 0


ARRAYS_IN_MESSAGES = st.sampled_from(
    [
        np.arange(10),
        np.array(7.5),
        np.ones(600, dtype=complex),
        np.asfortranarray(np.ones((20, 30))),
        np.ones(1800)[::3],
        np.zeros(600, dtype=[("energy", "f8"), ("tel_id", "i2")]),
        np.arange("2026-11-01", "2026-11-09", dtype="M8[D]"),
    ]
)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
MESSAGES = st.recursive(
    ATOMS | st.binary() | ARRAYS_IN_MESSAGES,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(ATOMS, inner),
)


@settings(deadline=None)
@given(MESSAGES)
def test_what_arrives_is_what_a_pickle_would_make(message):
    sent, *received = hand_over(message)
    expected = pickle.loads(pickle.dumps(sent))
    for copy in received:
        assert repr(copy) == repr(expected)
        np.testing.assert_equal(copy, expected)
    mutable = [copy for copy in (sent, *received) if isinstance(copy, list | dict | np.ndarray)]
    assert len({id(copy) for copy in mutable}) == len(mutable)


@pytest.mark.parametrize("collection", [list, tuple, lambda arrays: dict(enumerate(arrays))])
@pytest.mark.parametrize("size", [10, 10_000])
def test_what_is_one_array_in_a_message_stays_one(collection, size):
    array = np.arange(size)
    for received in hand_over(collection([array, "text", array, array.copy()]))[1:]:
        assert received[0] is received[2]
        assert not np.shares_memory(received[0], received[3])
        assert not np.shares_memory(received[0], array)


@pytest.mark.parametrize("value", [2**70, 0.1, "text" * 3000, b"bytes" * 3000, True])
def test_what_cannot_change_is_not_copied(value):
    sent, at_stage, at_consumer = hand_over(value)
    assert sent is at_stage is at_consumer


def test_a_buffer_outlives_its_run_and_is_not_used_again_before():
    kept = []
    for i in range(3):
        kept += hand_over(np.full(200_000, i))[1:]
    for i, array in enumerate(kept):
        np.testing.assert_array_equal(array, i // 2)


@pytest.mark.parametrize("size", [4095, 4096, 4097, 5120, 5121, 655_360, 655_361])
def test_buffers_of_any_size(size):
    array = np.arange(size, dtype=np.uint8)
    for received in hand_over(array)[1:]:
        np.testing.assert_array_equal(received, array)


class Leaves(BaseException):
    pass


class CannotBePickled:
    def __init__(self, error):
        self.error = error
        # Pickled first.
        self.array = ARRAYS["large"]

    def __reduce__(self):
        return tuple, ([self.array, Raises(self.error)],)


class Raises:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("error", [ValueError("no"), Leaves("no")])
def test_a_message_that_could_not_be_pickled_leaves_nothing_for_the_next(executor, error):
    class Producer:
        def run(self):
            yield 0

    class Stage:
        def run(self, number):
            try:
                self.send_msg(CannotBePickled(error))
            except type(error):
                self.send_msg(ARRAYS["Fortran order"])

    received = []
    consumer = type("Consumer", (), {"run": lambda self, message: received.append(message)})
    run([Producer, Stage, consumer], executor=executor)
    (array,) = received
    np.testing.assert_array_equal(array, ARRAYS["Fortran order"])
