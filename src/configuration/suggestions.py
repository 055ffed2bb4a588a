"""Suggest the name that a user may have meant."""

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]

MOST_TO_LIST = 8


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to append to an error message: the nearest known name, or all of a few.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        What would have been right.

    Returns
    -------
    str
        For example ``" (did you mean 'nb_thread'?)"``; empty if nothing is near.
    """
    by_lower_case: dict[str, str] = {}
    for candidate in known:
        by_lower_case.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    if near:
        return f" (did you mean {by_lower_case[near[0]]!r}?)"
    if 0 < len(by_lower_case) <= MOST_TO_LIST:
        return f" (there is {', '.join(map(repr, by_lower_case.values()))})"
    return ""
