"""Which trial a seed and a number stand for."""

import os
import random
from dataclasses import dataclass, field

from fault import EXECUTORS, Fault
from faults import FAULTS

__all__ = ["COMBINATIONS", "Act", "Stage", "Trial", "make_trial"]

COMBINATIONS = [
    (fault, executor) for executor in EXECUTORS for fault in FAULTS if executor in fault.executors
]
# How many bytes an event has besides its number.
SIZES = (0, 1000, 6000, 100_000)


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline."""

    workers: int
    in_process: bool
    chained: bool


@dataclass(frozen=True)
class Act:
    """Which step does it, and when: at which event, or in which call."""

    step: int
    role: str
    call: str
    at: int
    repeats: bool


@dataclass
class Trial:
    """A run with a fault."""

    seed: int
    number: int
    fault: Fault
    executor: str
    pipeline_executor: str
    stages: list[Stage]
    events: int
    size: int
    sends: bool
    by_reference: bool
    ordered: bool
    queue_limit: int
    on_error: str
    max_errors: int | None
    retries: int
    job_s: float
    # Whether the fork server is a new Python, or a fork that has imported all.
    is_fresh: bool
    # Whether the main process ends without taking itself apart.
    exits_quickly: bool
    # When a signal comes: after this part of all that is recorded, or of the time to start.
    moment: float
    in_start: bool
    act: Act | None = None
    # After how many jobs a worker process is replaced.
    max_jobs: int | None = None
    options: dict = field(default_factory=dict)
    arguments: list = field(default_factory=list)
    # Where the consumer writes; nothing for standard output.
    output: str = "output.txt"
    line_bytes: int = 100

    @property
    def skips(self):
        """Whether one message may fail."""
        return self.on_error == "skip" and self.max_errors != 0

    @property
    def skips_all_events(self):
        """Whether every message may fail."""
        most = self.events if self.max_errors is None else self.max_errors
        return self.on_error == "skip" and self.events <= most

    @property
    def n_steps(self):
        return len(self.stages) + 2

    def role(self, step):
        return {0: "producer", self.n_steps - 1: "consumer"}.get(step, "stage")

    def name(self, step):
        role = self.role(step).upper()
        return f"{role}{step}" if role == "STAGE" else role

    def is_in_process(self, step):
        return self.role(step) == "stage" and self.stages[step - 1].in_process

    def workers(self, step):
        return self.stages[step - 1].workers if self.role(step) == "stage" else 1

    @property
    def acts_in_process(self):
        return self.is_in_process(self.act.step)

    @property
    def is_sent_by_reference(self):
        """Whether what the acting step sends is not pickled."""
        step, after = self.act.step, self.act.step + 1
        if self.executor == "sequential":
            return True
        if self.role(after) == "stage" and self.stages[after - 1].chained:
            return True
        if self.is_in_process(step) or self.is_in_process(after):
            return False
        return self.by_reference

    def configuration(self):
        """What the configuration file says."""
        stages = []
        for step, stage in enumerate(self.stages, 1):
            conf = {"name": self.name(step), "module": "faulty_steps", "class": f"Stage{step}"}
            if stage.chained:
                conf["chained"] = True
            else:
                conf["nb_thread"] = stage.workers
                conf["queue_limit"] = self.queue_limit
                if self.executor != "sequential":
                    conf["executor"] = "processes" if stage.in_process else "threads"
            stages.append(conf)
        return {
            "version": 1,
            "Pipeline": {
                "producer_conf": {
                    "name": "PRODUCER",
                    "module": "faulty_steps",
                    "class": "Producer",
                },
                "stagers_conf": stages,
                "consumer_conf": {
                    "name": "CONSUMER",
                    "module": "faulty_steps",
                    "class": "Consumer",
                    "ordered": self.ordered,
                },
                "executor": self.pipeline_executor,
                "serialization": "none" if self.by_reference else "pickle",
                "on_error": self.on_error,
                "max_errors": self.max_errors,
                "retries": self.retries,
                "shared_memory_mb": 64,
                "gui_address": "",
                **self.options,
            },
        }

    def for_steps(self):
        """What the steps need to know."""
        act = self.act and {
            "name": self.fault.act,
            "step": self.name(self.act.step),
            "call": self.act.call,
            "at": self.act.at,
            "repeats": self.act.repeats,
        }
        return {
            "seed": self.seed + self.number,
            "act": act,
            "events": self.events,
            "size": self.size,
            "sends": self.sends,
            "job_s": self.job_s,
            "output": self.output,
            "line_bytes": self.line_bytes,
        }


def make_trial(seed, number, always_fresh=False):
    """The trial that a seed and a number stand for."""
    fault, executor = COMBINATIONS[number % len(COMBINATIONS)]
    rng = random.Random(f"{seed}/{number}")
    trial = None
    while trial is None or (fault.act and trial.act is None):
        trial = draw_trial(rng, seed, number, fault, executor)
    trial.max_jobs = rng.choice([None, None, None, 1, 5])
    if always_fresh:
        trial.is_fresh = True
    return trial


def draw_trial(rng, seed, number, fault, executor):
    """A trial; without its act, if there is no step that could do it."""
    has_signal = fault.blow is not None and fault.blow.when == "any"
    trial = Trial(
        seed=seed,
        number=number,
        fault=fault,
        executor=executor,
        pipeline_executor=(
            rng.choice(["threads", "processes"]) if executor == "mixed" else executor
        ),
        stages=draw_stages(rng, executor),
        events=rng.choice([100, 200] if has_signal else [1, 7, 20, 60]),
        size=rng.choice(SIZES),
        sends=rng.random() < 0.5,
        by_reference=rng.random() < 0.2,
        ordered=rng.random() < 0.3,
        queue_limit=rng.choice([1, 2, 10, 100]),
        on_error=rng.choice(["stop", "skip"]),
        max_errors=rng.choice([None, None, 0, 5]),
        retries=rng.choice([0, 1, 2]),
        job_s=rng.choice([0.001] if has_signal else [0, 0, 0.001]),
        is_fresh=rng.random() < 0.04,
        exits_quickly=rng.random() < 0.8,
        moment=rng.random(),
        in_start=rng.random() < 0.25,
        options=dict(fault.conf),
    )
    if fault.act:
        trial.act = draw_act(rng, trial)
    return trial


def draw_stages(rng, executor):
    stages = []
    for i in range(rng.choice([1, 1, 2, 3])):
        before = stages[-1] if stages else None
        if before and rng.random() < 0.3:
            stages.append(Stage(before.workers, before.in_process, True))
            continue
        in_process = executor == "processes" or (
            executor == "mixed" and (i == 0 or rng.random() < 0.5)
        )
        workers = 1 if executor == "sequential" else rng.choice([1, 1, 2, 3])
        stages.append(Stage(workers, in_process, False))
    return stages


def draw_act(rng, trial):
    fault = trial.fault
    steps = [
        step
        for step in range(trial.n_steps)
        if trial.role(step) in fault.roles
        and (not fault.where or trial.is_in_process(step) == (fault.where == "process"))
    ]
    if not steps:
        return None
    step = rng.choice(steps)
    call = rng.choice(fault.calls)
    repeats = rng.random() < 0.5 if fault.repeats is None else fault.repeats
    at = rng.randrange(trial.events if call == "run" else trial.workers(step))
    return Act(step, trial.role(step), call, at, repeats)


def left_out(trial, own_mounts, has_job_timeout):
    """Why a trial cannot be made here; nothing, if it can."""
    needs = trial.fault.needs
    if needs == "mounts" and "/dev/shm" not in own_mounts:
        return "needs root"
    if needs == "user" and os.geteuid() == 0:
        return "not as root"
    if needs == "job_timeout" and not has_job_timeout:
        return "no job_timeout yet"
    return ""
