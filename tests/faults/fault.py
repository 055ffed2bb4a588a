"""What a fault is made of."""

from collections.abc import Callable
from dataclasses import dataclass

from outcomes import Outcome

__all__ = ["CALLS", "EXECUTORS", "Blow", "Fault"]

EXECUTORS = ("threads", "processes", "mixed", "sequential")
CALLS = ("create", "init", "run", "finish")


@dataclass(frozen=True)
class Blow:
    """A signal from outside.

    Parameters
    ----------
    target : {"main", "server", "worker", "group"}
        The main process, the one that workers are forked from, a random worker, or all
        processes, as a terminal does it.
    signals : tuple of str
        One after the other.
    when : {"any", "acted"}
        At a random moment from the start to the end, or when a step has done its part.
    gap_s : float
        The pause between two of them.
    """

    target: str
    signals: tuple[str, ...]
    when: str = "any"
    gap_s: float = 0.0


@dataclass(frozen=True)
class Fault:
    """A fault.

    Parameters
    ----------
    name : str
        What it is called in the table.
    outcome : callable
        Takes the `Trial`; what has to come of it.
    act : str
        What a step does: a function of one of the modules ``acts_*``.
    calls, roles : tuple of str
        In which calls of which steps it may do it.
    where : {"", "process", "main"}
        In which processes.
    executors : tuple of str
        With which executors it makes sense.
    blow : Blow, optional
        What comes from outside.
    around : str
        What is prepared around the run: a function of ``surroundings`` or ``mounts``.
    window : str
        What is at ``gui_address``: a function of ``windows``.
    needs : {"", "mounts", "user", "job_timeout"}
        What it takes: mounts of its own, as root has them; not to be root; a newer pipeline.
    repeats : bool, optional
        Whether it happens again, when the message is given to another worker; random, if
        not given.
    conf : tuple of (str, object)
        Options of the section ``Pipeline``.
    """

    name: str
    outcome: Callable[..., Outcome]
    act: str = ""
    calls: tuple[str, ...] = CALLS
    roles: tuple[str, ...] = ("producer", "stage", "consumer")
    where: str = ""
    executors: tuple[str, ...] = EXECUTORS
    blow: Blow | None = None
    around: str = ""
    window: str = ""
    needs: str = ""
    repeats: bool | None = None
    conf: tuple[tuple[str, object], ...] = ()
