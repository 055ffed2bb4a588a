"""When a signal comes from outside, and to whom."""

import contextlib
import os
import random
import signal
import time

import process_table

__all__ = ["Blows"]

# How long a run takes to start, about.
FORK_S, FRESH_S = 0.15, 2.0


class Blows:
    """Sends the signals of a trial.

    Attributes
    ----------
    n_before, n_after : int or None
        How many records there were before the first, and after the last so far; None before.
    hit : list of int
        The processes that were sent one.
    """

    def __init__(self, trial, main):
        self.n_before = self.n_after = None
        self.hit = []
        self._blow = trial.fault.blow
        self._main = main
        self._left = list(self._blow.signals) if self._blow else []
        self._target = None
        self._next_at = 0.0
        self._rng = random.Random(f"blow {trial.seed}/{trial.number}")
        self._in_start = trial.in_start
        to_start_s = (
            FRESH_S if trial.is_fresh and trial.executor in ("processes", "mixed") else FORK_S
        )
        self._start_at = time.monotonic() + trial.moment * to_start_s
        self._at_record = int(trial.moment * n_records(trial))

    def send_due(self, read_records):
        """Send what is due; ``read_records`` says what the steps have written down."""
        if not self._left or time.monotonic() < self._next_at:
            return
        if self.n_before is None:
            if self._in_start and self._blow.when == "any":
                if time.monotonic() < self._start_at:
                    return
                records = read_records()
            else:
                records = read_records()
                if not self._is_due(records):
                    return
            self._target = self._find_target()
            if self._target is None:
                return
            self.n_before = len(records)
        number = signal.Signals[self._left.pop(0)]
        with contextlib.suppress(ProcessLookupError):
            if self._blow.target == "group":
                os.killpg(self._main, number)
            else:
                self.hit.append(self._target)
                os.kill(self._target, number)
        self.n_after = len(read_records())
        self._next_at = time.monotonic() + self._blow.gap_s

    def resume(self):
        """A process that was stopped goes on."""
        if self._target is not None and "SIGSTOP" in self._blow.signals:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._target, signal.SIGCONT)

    def _is_due(self, records):
        if self._blow.when == "acted":
            return any(record.what == "act" for record in records)
        return len(records) >= self._at_record

    def _find_target(self):
        if self._blow.target in ("main", "group"):
            return self._main
        servers = process_table.children(self._main)
        if self._blow.target == "server":
            return servers[0] if servers else None
        workers = [worker for server in servers for worker in process_table.children(server)]
        return self._rng.choice(sorted(workers)) if workers else None


def n_records(trial):
    """How many records a run without a fault makes."""
    n_workers = sum(trial.workers(step) for step in range(trial.n_steps))
    return 5 * n_workers + 2 * trial.events * trial.n_steps
