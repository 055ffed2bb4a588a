"""The steps of a trial: they write down each call, and do what the trial says at its moment."""

import contextlib
import itertools
import os
import time

import acts_ends
import acts_left
import acts_messages
import acts_raised
import acts_surroundings
import numpy as np
from records import DIRECTORY, claim, directory, record, show_stacks_on_request, trial

__all__ = ["Consumer", "Producer", "Stage1", "Stage2", "Stage3"]

ACTS = (acts_raised, acts_messages, acts_ends, acts_left, acts_surroundings)

numbers = itertools.count()
if DIRECTORY in os.environ:
    # In a new fork server.
    show_stacks_on_request()


def find_act(name):
    return next(getattr(module, name) for module in ACTS if hasattr(module, name))


def content(event):
    """What an event carries besides its number."""
    size = trial()["size"]
    return np.full(size // 8, event) if size else None


class FaultyStep:
    """What all of them do."""

    own_name = ""

    def __init__(self):
        self.instance = f"{os.getpid()}.{next(numbers)}"
        # That of the configuration is set later.
        self.name = self.own_name
        self.do_act("create", self.count("create"))
        record(self.name, self.instance, "create/end", 0)

    def init(self):
        return self.call("init")

    def finish(self):
        self.call("finish")

    def call(self, call):
        record(self.name, self.instance, f"{call}/begin", 0)
        result = self.do_act(call, self.count(call))
        record(self.name, self.instance, f"{call}/end", 0)
        return result

    def count(self, call):
        """Which call of this kind it is of all workers of the step."""
        act = trial()["act"]
        if not act or act["call"] != call or act["step"] != self.name:
            return 0
        return next(i for i in itertools.count() if claim(f"{call}.{i}"))

    def do_act(self, call, number, message=None):
        """Do what the trial says, if this is its moment."""
        act = trial()["act"]
        if not act or act["call"] != call or act["step"] != self.name:
            return None
        is_its_moment = number == act["at"]
        if act["repeats"] and call != "run":
            is_its_moment = number >= act["at"]
        if not is_its_moment or not (act["repeats"] or claim("act")):
            return None
        record(self.name, self.instance, "act", number)
        return find_act(act["name"])(self, message)

    def run_with(self, event, message):
        """What is sent on of an event."""
        record(self.name, self.instance, "run/begin", event)
        if trial()["job_s"]:
            time.sleep(trial()["job_s"])
        result = self.do_act("run", event, message)
        record(self.name, self.instance, "run/end", event)
        return message if result is None else result

    def check(self, event, array):
        """Whether what has arrived is what was sent."""
        expected = content(event)
        if (array is None) != (expected is None) or not np.array_equal(array, expected):
            record(self.name, self.instance, "wrong", event)


class Producer(FaultyStep):
    """Sends numbered events."""

    own_name = "PRODUCER"

    def run(self):
        for event in range(trial()["events"]):
            message = self.run_with(event, (event, content(event)))
            if trial()["sends"]:
                self.send_msg(message)
                message = None
            yield message


class Stage(FaultyStep):
    """Sends on what it gets."""

    def run(self, message):
        event, array, *_ = message
        self.check(event, array)
        message = self.run_with(event, (event, array))
        if not trial()["sends"]:
            return message
        self.send_msg(message)
        return None


class Stage1(Stage):
    own_name = "STAGE1"


class Stage2(Stage):
    own_name = "STAGE2"


class Stage3(Stage):
    own_name = "STAGE3"


class Consumer(FaultyStep):
    """Writes a line for each event."""

    own_name = "CONSUMER"

    def init(self):
        result = super().init()
        output = trial()["output"]
        self.file = open(directory() / output, "a") if output else None  # noqa: SIM115
        return result

    def run(self, message):
        event, array, *_ = message
        self.check(event, array)
        record(self.name, self.instance, "run/begin", event)
        self.do_act("run", event, message)
        # As a whole, or not at all; without a file to standard output.
        print(f"event {event} {'-' * trial()['line_bytes']}", file=self.file, flush=True)
        record(self.name, self.instance, "run/end", event)

    def finish(self):
        try:
            super().finish()
        finally:
            file = getattr(self, "file", None)
            with file or contextlib.nullcontext():
                print(end="", file=file, flush=True)
