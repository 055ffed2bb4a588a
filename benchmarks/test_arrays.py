"""NumPy arrays of 630 kB between threads, copied and by reference."""

import sys

import pytest
from baselines import original_pickling_twice
from memory import measure
from ours import ours, ours_by_reference
from timing import messages_per_s
from workloads import arrays, arrays_in_objects, small_messages

from ctapipe.pipeline import ConfigurationError


@pytest.mark.parametrize(
    ("bar", "workload"), [("arrays.original", arrays), ("arrays.objects", arrays_in_objects)]
)
def test_copied_arrays(compare, size, bar, workload):
    n_ours, n_theirs = size(2_000, 20_000), size(100, 500)
    compare(
        bar,
        lambda: (
            messages_per_s(ours, workload(n_ours)),
            messages_per_s(original_pickling_twice, workload(n_theirs)),
        ),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_copies(compare):
    compare("arrays.copies", lambda: measure("copies"), tries=1)


def test_arrays_by_reference(compare, size):
    n = size(50_000, 500_000)
    try:
        ours_by_reference(small_messages(1))
    except ConfigurationError as error:
        pytest.skip(f"the package cannot hand over by reference yet: {error}")
    compare(
        "arrays.by_reference",
        lambda: (
            messages_per_s(ours_by_reference, arrays(n)),
            messages_per_s(ours_by_reference, small_messages(n)),
        ),
    )
