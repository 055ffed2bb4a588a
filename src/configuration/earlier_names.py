"""What configurations of ctapipe.flow and of the ctapipe.pipeline of 2016 have, and what to do."""

__all__ = ["advice_on"]

ADVICE = {
    "Flow": "a configuration of ctapipe.flow: call the section 'Pipeline'",
    "mode": "say 'executor': 'sequential', 'threads' or 'processes'",
    "gui": "snapshots go to 'gui_address' whenever a window is there; remove it",
    "zmq_ports": "no ports are needed any more; remove it",
    "prev": "the step before names this one in its 'next_steps'; remove it",
}


def advice_on(key: str) -> str:
    """What to append to an error message about an unknown section, option or key of these.

    Parameters
    ----------
    key : str
        What the user wrote.

    Returns
    -------
    str
        For example ``" (no ports are needed any more; remove it)"``; empty for any other.
    """
    return f" ({ADVICE[key]})" if key in ADVICE else ""
