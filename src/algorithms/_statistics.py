"""How many images and events met each quality criterion, counted by several workers."""

from typing import Any, NamedTuple

import numpy as np
from astropy.table import Table
from ctapipe.containers import ArrayEventContainer
from ctapipe.core import QualityQuery

# Where an event carries them; the metadata of an event is not written.
KEY = "statistics"


class QualityCounts(NamedTuple):
    """What a `ctapipe.core.QualityQuery` has counted.

    Parameters
    ----------
    criteria, func : tuple of str
        Names and expressions of the criteria.
    counts, cumulative_counts : tuple of int
        How often each was met, and how often it and all before it; the first is the total.
    """

    criteria: tuple[str, ...]
    func: tuple[str, ...]
    counts: tuple[int, ...]
    cumulative_counts: tuple[int, ...]


def attach_counts(event: ArrayEventContainer, path: str, query: QualityQuery) -> None:
    """Move what a query has counted into the event that it was asked about.

    Parameters
    ----------
    event : ctapipe.containers.ArrayEventContainer
        The event.
    path : str
        Where in the file its table is to be.
    query : ctapipe.core.QualityQuery
        It begins to count again.
    """
    counts = QualityCounts(
        tuple(query.criteria_names),
        tuple(query.expressions),
        tuple(query._counts.tolist()),
        tuple(query._cumulative_counts.tolist()),
    )
    event.meta.setdefault(KEY, {})[path] = counts
    query._counts[:] = 0
    query._cumulative_counts[:] = 0


class Statistics:
    """The sums of what the events carry."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[QualityCounts, np.ndarray]] = {}

    def add(self, meta: dict[str, Any]) -> None:
        """Add what the metadata of an event carries."""
        counted: dict[str, QualityCounts] = meta.get(KEY, {})
        for path, counts in counted.items():
            added = np.array([counts.counts, counts.cumulative_counts], dtype=np.int64)
            if path in self._sums:
                self._sums[path][1][:] += added
            else:
                self._sums[path] = (counts, added)

    def tables(self) -> dict[str, Table]:
        """The tables that ``ctapipe-process`` writes, by where they are in the file."""
        return {
            path: Table(
                {
                    "criteria": ["TOTAL", *query.criteria],
                    "counts": counts,
                    "cumulative_counts": cumulative_counts,
                    "func": ["True", *query.func],
                }
            )
            for path, (query, (counts, cumulative_counts)) in self._sums.items()
        }
