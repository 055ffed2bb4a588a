"""Suggest the name that a user may have meant."""

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]

MOST_TO_LIST = 8


def did_you_mean(name: str, known: Iterable[str], more: Iterable[str] = ()) -> str:
    """What to append to an error message: the nearest known name, or all of a few.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        What would have been right.
    more : iterable of str
        What would have been right as well, but is too much to list.

    Returns
    -------
    str
        For example ``" (did you mean 'nb_thread'?)"``; empty if nothing is near.
    """
    by_lower_case = _by_lower_case(known)
    all_known = by_lower_case | _by_lower_case(more)
    near = difflib.get_close_matches(name.lower(), all_known, n=1)
    if near:
        return f" (did you mean {all_known[near[0]]!r}?)"
    if 0 < len(by_lower_case) <= MOST_TO_LIST:
        return f" (there is {', '.join(map(repr, by_lower_case.values()))})"
    return ""


def _by_lower_case(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return found
