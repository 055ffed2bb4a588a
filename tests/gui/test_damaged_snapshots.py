"""Whatever bytes arrive: the window drops them, or can show them, in bounded memory."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from window_snapshots import snapshot

from ctapipe.pipeline.gui.model.layout import lay_out
from ctapipe.pipeline.gui.model.shown_pipelines import (
    MOST_PIPELINES,
    ShownPipelines,
    TooManyPipelines,
)
from ctapipe.pipeline.gui.model.step_rows import rows_of
from ctapipe.pipeline.status.snapshot import BadSnapshot, read_snapshot

WORDS = st.sampled_from(["STEP_0", "STEP_1", "p", "running", "finished", "busy", "producer", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([2**53, 2**53 + 1, 2**63, 10**400])
    | st.floats()
    | st.text(max_size=4)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def messages(draw):
    """Snapshots of a few pipelines in which some values or bytes are others."""
    content = snapshot(
        draw(st.sampled_from("abc") | st.text(max_size=3)),
        draw(st.integers(0, 5)),
        draw(st.integers(3, 5)),
        draw(st.floats(0, 5)),
    )
    places = [content["steps"][0], content["steps"][1], content["events"], content]
    for place in sorted(draw(st.sets(st.integers(0, 3), max_size=2))):
        parent = places[place]
        key = draw(st.sampled_from(sorted(parent)))
        if draw(st.booleans()):
            del parent[key]
        else:
            parent[key] = draw(VALUES)
    data = json.dumps(content).encode()
    if draw(st.integers(0, 3)) == 0:
        begin = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 4, len(data)]))
        data = data[:begin] + draw(st.binary(max_size=4)) + data[begin + length :]
    return data


def take_in(sent):
    """What the window does with messages, without drawing."""
    pipelines = ShownPipelines()
    n_taken = 0
    for now_s, content in enumerate(sent):
        try:
            pipeline = pipelines.update(read_snapshot(content), float(now_s))
        except (BadSnapshot, TooManyPipelines) as error:
            assert len(str(error)) < 100
            continue
        n_taken += 1
        assert len(rows_of(pipeline)) == len(pipeline.steps()) == len(pipeline.snapshot.steps)
        pipeline.history.throughput()
        pipeline.history.queues()
        lay_out(pipeline.snapshot.successors(), 500.0, [50.0] * len(pipeline.snapshot.steps))
    assert len(pipelines) <= MOST_PIPELINES
    return n_taken


CHECKS = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


@settings(CHECKS, max_examples=150, derandomize=True)
@given(st.lists(messages(), min_size=1, max_size=8))
def test_a_few(sent):
    take_in(sent)


@pytest.mark.full
@pytest.mark.timeout(1800)
@settings(CHECKS, max_examples=10_000)
@given(st.lists(messages(), min_size=1, max_size=8))
def test_many(sent):
    take_in(sent)


def test_what_is_not_damaged_is_taken():
    sent = [json.dumps(snapshot("a", i, elapsed_s=float(i))).encode() for i in range(5)]
    assert take_in(sent) == len(sent)
