"""What memory a run takes: no more with more messages, and set by ``queue_limit``."""

import sys

import pytest
from memory import measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc")


def test_memory_is_flat(compare, size):
    compare("memory.flat", lambda: measure("flat", size(300_000, 10_000_000)), tries=1)


def test_peak_is_set_by_the_limit(compare, size):
    compare("memory.peak", lambda: measure("peak", size(2_000, 50_000)), tries=1)
