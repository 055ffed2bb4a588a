"""What has to come of a trial: which exit codes, and what else has to hold."""

from dataclasses import dataclass

__all__ = ["Outcome"]

# By a signal that comes before the run, or after it; and in the first lines of ctapipe's Tool.run,
# which does not survive one there.
INTERRUPTS = {-1, -2, -15, 1}


@dataclass(frozen=True)
class Outcome:
    """What has to come of a trial.

    Parameters
    ----------
    codes : frozenset of int
        The exit codes that are right; a negative one is a signal's number.
    finishes : {"all", "living", "main", "once"}
        Where ``finish`` has to be called: on every instance whose ``init`` was called; on those
        of processes in which nothing was done to end them; on those in the main process; nowhere
        for sure. Never is it called twice.
    before_and_after : frozenset of int
        Exit codes that are right as well if a signal came before the steps were made, or after
        they had finished.
    lasts : bool
        Whether what a step has started may outlive the run.
    leaves_files : bool
        Whether the next run has to clean up.
    crashes : bool
        Whether a process may say that it crashes.
    """

    codes: frozenset
    finishes: str = "all"
    before_and_after: frozenset = frozenset()
    lasts: bool = False
    leaves_files: bool = False
    crashes: bool = False


def codes(*numbers, **options):
    return Outcome(frozenset(numbers), **options)


def harmless(trial):
    """Nothing comes of it."""
    return codes(0)


def leaves_processes(trial):
    """Nothing comes of it, but that a program of the user lives on."""
    return codes(0, lasts=True)


def harmless_or_fails(trial):
    """Where a step may not do it, it raises."""
    return codes(0, *fails(trial).codes)


def ends_somehow(trial):
    """What it hits is chance: the run ends all the same."""
    return codes(0, 1, 2, finishes="main", leaves_files=trial.fault.around != "")


def fails(trial):
    """A call of a step raises."""
    call = trial.act.call
    if call == "run" and trial.act.role != "producer" and trial.skips:
        return codes(0)
    return codes(1)


def fails_with_others(trial):
    """A call raises; what another thread is about, the start of one included, may fail as well."""
    if trial.acts_in_process or trial.executor == "sequential":
        return fails(trial)
    return codes(1, 2, *fails(trial).codes)


def fails_or_interrupts(trial):
    """In the main thread, a KeyboardInterrupt is the user's."""
    in_main_thread = trial.executor == "sequential" or trial.act.call == "create"
    if in_main_thread and not trial.acts_in_process:
        return codes(130, finishes="once")
    return fails(trial)


def fails_as_configuration(trial):
    """What the user can put right, before the run."""
    return codes(2) if trial.act.call in ("create", "init") else fails(trial)


def fails_at_sender(trial):
    """Sending a message raises, where it is pickled."""
    return harmless(trial) if trial.is_sent_by_reference else fails(trial)


def fails_at_receiver(trial):
    """Receiving a message raises, where it was pickled."""
    if trial.is_sent_by_reference or trial.skips:
        return codes(0)
    return codes(1)


def kills_receiver(trial):
    """Unpickling a message ends the process."""
    if trial.is_sent_by_reference:
        return codes(0)
    if not trial.is_in_process(trial.act.step + 1):
        return codes(3, finishes="once", leaves_files=True)
    return codes(0 if trial.skips else 1, finishes="main")


def dies(code):
    """The process that the step is in ends by itself."""

    def outcome(trial):
        if not trial.acts_in_process:
            return codes(code, finishes="once", leaves_files=True)
        if trial.act.call != "run":
            return codes(1, finishes="living")
        deaths = trial.retries + 1 if trial.act.repeats else 1
        if deaths <= trial.retries or trial.skips:
            return codes(0, finishes="living")
        return codes(1, finishes="living")

    return outcome


def main_dies(code):
    """The main process is killed."""

    def outcome(trial):
        return codes(
            code, before_and_after=frozenset({0, code}), finishes="once", leaves_files=True
        )

    return outcome


def dies_or_fails(trial):
    """A worker process dies, or can no longer work, now or later."""
    return codes(0, 1, finishes="living", crashes=True)


def loses_fork_server(trial):
    """No worker can be replaced any more: the run ends."""
    return codes(1, finishes="main")


def fork_server_dies(trial):
    """Killed at any time."""
    return codes(1, finishes="main", before_and_after=frozenset({0, 1, 2}), crashes=True)


def sibling_dies(trial):
    """Another worker is killed while this one runs; who knows how far it is."""
    return codes(0, 1, finishes="living")


def worker_dies(trial):
    """A worker is killed at any time; in `init` or `finish` the run fails."""
    return codes(0, 1, finishes="living", crashes=True)


def interrupted(trial):
    """No more events are read; those that were run out."""
    return codes(130, before_and_after=frozenset({0, 130} | INTERRUPTS), leaves_files=False)


def aborted(trial):
    """Interrupted, and not waited for; or the run was at its end before the second signal.

    Which ends the program, as any.
    """
    return codes(
        130, -1, -2, -15, finishes="once", before_and_after=frozenset({0, 130} | INTERRUPTS)
    )


def aborted_by_many(trial):
    """What is still to be done may be interrupted as well, up to the end of Python."""
    return codes(130, *INTERRUPTS, finishes="once", leaves_files=True)


def aborted_for_sure(trial):
    """Interrupted, and not waited for."""
    return codes(130, finishes="once")


def out_of_time(trial):
    """A job takes too long: its worker is killed, its message fails."""
    return codes(*fails(trial).codes, finishes="living")


def out_of_time_here(trial):
    """A job takes too long in a thread, which cannot be ended: the run ends without it."""
    return codes(1, finishes="once")


def output_fails(trial):
    """The consumer cannot write."""
    return codes(0, 1) if trial.skips_all_events else codes(1)
