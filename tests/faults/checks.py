"""What has to hold after a trial."""

import re
from collections import Counter

__all__ = ["failures"]

INTERRUPTS = (-1, -2, -15)
STATES = {0: "finished", 1: "failed", 130: "interrupted"}
IGNORED_INTERRUPT = re.compile(
    r"^Exception ignored in.*\nTraceback .*\n(  .*\n)+KeyboardInterrupt: *\n", re.MULTILINE
)
# Nobody ought to see this, whatever happens.
UNSEEMLY = (
    "Fatal Python error",
    "Assertion failed",
    "Exception in thread",
    "Exception ignored",
    "Bad file descriptor (src/",
    "Too many open files (src/",
    "Resource temporarily unavailable (src/",
)


def failures(trial, evidence):
    """What does not hold, a line for each."""
    outcome = trial.fault.outcome(trial)
    if evidence.is_hung:
        return [f"has not ended after {evidence.seconds:.0f} s"]
    found = []
    if trial.fault.act and not any(record.what == "act" for record in evidence.records):
        found.append("the fault has not happened")
    codes = outcome.codes
    if trial.fault.blow and trial.fault.blow.when == "any":
        if evidence.n_before is None:
            codes = {0}
        elif came_before_or_after(evidence):
            codes = codes | outcome.before_and_after
    if evidence.code not in codes:
        found.append(f"exit code {evidence.code}, expected {', '.join(map(str, sorted(codes)))}")
    if evidence.companion_code:
        found.append(f"the other run has ended with {evidence.companion_code}")
    found += left_over(trial, evidence, outcome)
    found += wrong_summary(trial, evidence)
    found += wrong_finishes(trial, evidence, outcome)
    found += wrong_events(trial, evidence, outcome)
    is_unfinished = outcome.finishes == "once" and trial.fault.blow
    if not outcome.crashes and not is_unfinished and evidence.code not in INTERRUPTS:
        found += unseemly(trial, evidence)
    return found


def came_before_or_after(evidence):
    """Whether the signal came when the run had not begun, or was over."""
    before = evidence.records[: evidence.n_before]
    after = evidence.records[: evidence.n_after]
    has_begun = any(record.what == "create/end" for record in before)
    return not has_begun or any(
        record.step == "CONSUMER" and record.what == "finish/end" for record in after
    )


def left_over(trial, evidence, outcome):
    found = [f"left: {process}" for process in evidence.processes]
    if not outcome.leaves_files and evidence.code not in INTERRUPTS:
        found += [f"left: {file}" for file in evidence.files]
    found += [f"not removed by the next run: {file}" for file in evidence.files_after_next]
    found += [f"left: /dev/shm/{name}" for name in evidence.shared_memory]
    was_aborted = outcome.finishes == "once"
    if evidence.after is not None and not was_aborted:
        # Those with this name a step has started.
        threads = [name for name in evidence.after["threads"] if "(sleep)" not in name]
        if threads and not trial.fault.act.startswith("leaves_"):
            found.append(f"threads left: {', '.join(threads)}")
        if not trial.fault.act and trial.fault.around != "log_full":
            found += [f"descriptor left: {target}" for target in evidence.after["descriptors"]]
    return found


def wrong_summary(trial, evidence):
    state = STATES.get(evidence.code)
    has_none = trial.fault.around == "two_runs_in_threads" or evidence.code in exits(trial)
    if state is None or has_none:
        return []
    if evidence.summary is None:
        has_begun = any(record.what == "init/begin" for record in evidence.records)
        is_hindered = trial.fault.around in ("small_files_only", "few_descriptors")
        is_late = trial.fault.blow and came_before_or_after(evidence)
        if has_begun and not is_hindered and not is_late:
            return ["no summary"]
        return []
    if evidence.summary["state"] != state:
        return [f"exit code {evidence.code}, but the state is {evidence.summary['state']}"]
    return []


def exits(trial):
    """The codes with which the main process ends by ``os._exit``."""
    ends_by_itself = trial.fault.act == "exits_with_0" and not trial.acts_in_process
    return {0} if ends_by_itself else set()


def wrong_finishes(trial, evidence, outcome):
    if trial.fault.around == "few_descriptors":
        # Who has no descriptor cannot write down what it does.
        return []
    inits, finishes = Counter(), Counter()
    for record in evidence.records:
        key = (record.pid, record.step, record.instance)
        inits[key] += record.what == "init/begin"
        finishes[key] += record.what == "finish/begin"
    found = [
        f"{n} calls of finish of {step} ({instance})"
        for (_, step, instance), n in finishes.items()
        if n > 1
    ]
    if outcome.finishes == "once" or evidence.code in INTERRUPTS:
        return found
    if trial.fault.blow and came_before_or_after(evidence) and evidence.code == 130:
        return found
    ended = set()
    if outcome.finishes == "living":
        ended = {record.pid for record in evidence.records if record.what == "act"}
        ended |= {record.number for record in evidence.records if record.what == "kills"}
        ended |= set(evidence.hit)
    elif outcome.finishes == "main":
        ended = {pid for pid, _, _ in inits} - {evidence.main}
    found += [
        f"finish of {key[1]} ({key[2]}) was not called, after init"
        for key, n in inits.items()
        if n and not finishes[key] and key[0] not in ended
    ]
    return found


def wrong_events(trial, evidence, outcome):
    found = [
        f"event {record.number} arrived otherwise than it was sent"
        for record in evidence.records
        if record.what == "wrong"
    ]
    n_runs = 2 if trial.fault.around == "two_runs_in_threads" else 1
    consumed = Counter(
        record.number
        for record in evidence.records
        if record.step == "CONSUMER" and record.what == "run/end"
    )
    twice = sorted(event for event, n in consumed.items() if n > n_runs)
    if twice:
        found.append(f"consumed more than once: events {twice[:10]}")
    if n_runs == 2 or evidence.summary is None or evidence.code not in (0, 130):
        return found
    if outcome.finishes == "once" or (trial.fault.blow and came_before_or_after(evidence)):
        return found
    sent = evidence.summary["events"]["sent"]
    finished = evidence.summary["events"]["finished"]
    failed = sum(step["failed"] for step in evidence.summary["steps"])
    if evidence.code == 0 and sent != trial.events:
        found.append(f"{sent} events sent of {trial.events}")
    if sent != finished + failed:
        found.append(f"{sent} events sent, {finished} finished, {failed} failed")
    if len(consumed) != finished:
        found.append(f"{len(consumed)} events consumed, {finished} finished")
    missing = len(set(range(sent)) - set(consumed))
    if missing > failed:
        found.append(f"{missing} of {sent} events did not arrive, {failed} failed")
    return found


def unseemly(trial, evidence):
    stderr = evidence.stderr
    if trial.fault.blow:
        # One that comes while Python calls back from its management of memory it drops itself.
        stderr = IGNORED_INTERRUPT.sub("", stderr)
    return [
        f"stderr: {line[:300]}"
        for line in stderr.splitlines()
        if any(text in line for text in UNSEEMLY)
    ][:5]
