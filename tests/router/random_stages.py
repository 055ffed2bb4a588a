"""Random graphs of stages, for Hypothesis."""

import hypothesis.strategies as st

QUEUE_LIMITS = st.sampled_from([1, 2, 10, -1])
PREFETCHES = st.sampled_from([1, 7])


@st.composite
def random_stages(draw, options):
    """Stages of which each sends to the next one, so that all are reached, and some to a later one.

    One that a single stage sends to may be chained. All others get what ``options`` draws.
    """
    n_stages = draw(st.integers(1, 4))
    names = [f"S{i}" for i in range(n_stages)] + ["END"]
    stages = []
    for i in range(n_stages):
        followers = draw(
            st.lists(st.sampled_from(names[i + 1 :]), min_size=1, max_size=2, unique=True)
        )
        if names[i + 1] not in followers:
            followers.append(names[i + 1])
        n_before = sum(names[i] in stage["next_steps"] for stage in stages)
        how = {"chained": True} if n_before == 1 and draw(st.booleans()) else draw(options)
        stages.append({"name": names[i], "next_steps": followers, **how})
    return stages
