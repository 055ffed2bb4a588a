"""A short run of each kind for valgrind, which is too slow for the tests (see .ci/sanitize)."""

import logging

import numpy as np

from ctapipe.pipeline import run

N_EVENTS = 100


class Numbers:
    """Sends what needs no pickle, what does, and large arrays, alone and in a pickle."""

    def run(self):
        for number in range(N_EVENTS):
            yield [
                number,
                {"number": number, "set": {number}},
                np.full(3000, number),
                {"number": number, "array": np.full((100, 30), number), "unit": np.dtype("f4")},
            ][number % 4]


class Pass:
    def run(self, message):
        return message


class Chained(Pass):
    pass


class FailsAtTimes:
    def run(self, message):
        if number_of(message) % 10 == 9:
            raise ValueError(message)
        return message


class Compare:
    """All that has not failed arrives, as it was sent, and in order."""

    def __init__(self):
        self.numbers = []

    def run(self, message):
        self.numbers.append(number_of(message))

    def finish(self):
        assert self.numbers == [n for n in range(N_EVENTS) if n % 10 != 9], self.numbers


def number_of(message):
    if isinstance(message, dict):
        array = message.get("array", message["number"])
        assert np.all(array == message["number"])
        return message["number"]
    assert np.all(message == np.ravel(message)[0])
    return int(np.ravel(message)[0])


def configuration(**middle):
    """A chain on threads, with steps between them as told."""
    return {
        "Pipeline": {
            "on_error": "skip",
            "gui_address": "",
            "producer_conf": {"name": "Numbers", "class": Numbers, "next_steps": "Pass"},
            "stagers_conf": [
                {"name": "Pass", "class": Pass, "next_steps": "Chained", "queue_limit": 2},
                {"name": "Chained", "class": Chained, "chained": True, "next_steps": "Fails"},
                {"name": "Fails", "class": FailsAtTimes, "next_steps": "Compare", **middle},
            ],
            "consumer_conf": {"name": "Compare", "class": Compare, "ordered": True},
        }
    }


if __name__ == "__main__":
    logging.getLogger("ctapipe.pipeline").addHandler(logging.NullHandler())
    for middle in (
        {"nb_thread": 3, "prefetch": 4},
        {"nb_process": 2, "executor": "processes"},
    ):
        summary = run(configuration(**middle))
        assert summary["state"] == "finished", summary
        print(middle, "ended", flush=True)
