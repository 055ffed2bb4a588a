"""How many threads a worker process computes with."""

import gc
import os

import pytest

from ctapipe.pipeline import run

seen = []


class One:
    def run(self):
        yield 1


class Environment:
    def run(self, message):
        return os.environ["OMP_NUM_THREADS"], gc.get_freeze_count() > 0


class Collect:
    def run(self, message):
        seen.append(message)


@pytest.mark.parametrize(("is_set", "expected"), [(None, "1"), ("3", "3")])
def test_one_unless_the_user_says_otherwise(is_set, expected, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if is_set:
        monkeypatch.setenv("OMP_NUM_THREADS", is_set)
    seen.clear()
    run([One, Environment, Collect], executor="processes")
    assert seen == [(expected, True)]
    assert os.environ.get("OMP_NUM_THREADS") == is_set
    assert gc.get_freeze_count() == 0
