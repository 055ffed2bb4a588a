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


class CountedQuery:
    """A `ctapipe.core.QualityQuery` that is counted event by event.

    ctapipe's own counts cannot be set back, and so cannot be sent with the events.

    Parameters
    ----------
    query : ctapipe.core.QualityQuery
        What it asks.
    """

    def __init__(self, query: QualityQuery) -> None:
        self._query = query
        self._reset()

    def __call__(self, **values: Any) -> np.ndarray:
        """Test values, as the query does.

        Parameters
        ----------
        values : object
            What the query's expressions are about.

        Returns
        -------
        numpy.ndarray of bool, shape (n_criteria,)
            Which criteria are met.
        """
        is_met = self._query(**values)
        self._counts += [1, *is_met]
        self._cumulative_counts += [1, *np.cumprod(is_met)]
        return is_met

    def __getattr__(self, name: str) -> Any:
        return getattr(self._query, name)

    def attach_counts(self, event: ArrayEventContainer, path: str) -> None:
        """Put into an event what was counted since the last one.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The event that was asked about.
        path : str
            Where in the file the table is to be.
        """
        counts = QualityCounts(
            tuple(self._query.criteria_names),
            tuple(self._query.expressions),
            tuple(self._counts.tolist()),
            tuple(self._cumulative_counts.tolist()),
        )
        event.meta.setdefault(KEY, {})[path] = counts
        self._reset()

    def _reset(self) -> None:
        n_counts = len(self._query.criteria_names) + 1
        self._counts = np.zeros(n_counts, np.int64)
        self._cumulative_counts = np.zeros(n_counts, np.int64)


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
