"""What a pipeline has done over time, in memory that does not grow with it."""

import numpy as np

__all__ = ["History"]

SIZE = 600
SHORTEST_INTERVAL_S = 0.25


class History:
    """The counts of all steps, at times that are further apart the longer it runs.

    When it is full, every second time is forgotten; so it always reaches back to the
    first snapshot.

    Parameters
    ----------
    n_steps : int
        How many steps there are.
    """

    def __init__(self, n_steps: int) -> None:
        self._times = np.zeros(SIZE)
        self._done = np.zeros((SIZE, n_steps))
        self._queues = np.zeros((SIZE, n_steps))
        self._length = 0
        self._interval_s = SHORTEST_INTERVAL_S

    def add(self, elapsed_s: float, done: list[int], queues: list[int], last: bool) -> None:
        """Take note of a snapshot, if the one before is old enough, or it is the last.

        Parameters
        ----------
        elapsed_s : float
            Its time since the begin of the run, seconds.
        done, queues : list of int
            Per step, messages.
        last : bool
            Whether the run has ended.
        """
        since_s = elapsed_s - self._times[self._length - 1] if self._length else np.inf
        if since_s <= 0 or (since_s < self._interval_s and not last):
            return
        if self._length == SIZE:
            self._length = SIZE // 2
            self._interval_s *= 2
            for kept in (self._times, self._done, self._queues):
                kept[: self._length] = kept[::2].copy()
        self._times[self._length] = elapsed_s
        self._done[self._length] = done
        self._queues[self._length] = queues
        self._length += 1

    def throughput(self) -> tuple[np.ndarray, np.ndarray]:
        """Messages done per second, between each time and the one before.

        Returns
        -------
        times : numpy.ndarray
            Of length n; seconds since the begin of the run.
        rates : numpy.ndarray
            Of shape (n, n_steps); 1/s.
        """
        n = self._length
        if n < 2:
            return np.zeros(0), np.zeros((0, self._done.shape[1]))
        seconds = np.diff(self._times[:n])
        return self._times[1:n].copy(), np.diff(self._done[:n], axis=0) / seconds[:, np.newaxis]

    def queues(self) -> tuple[np.ndarray, np.ndarray]:
        """Messages that waited.

        Returns
        -------
        times : numpy.ndarray
            Of length n; seconds since the begin of the run.
        queues : numpy.ndarray
            Of shape (n, n_steps).
        """
        return self._times[: self._length].copy(), self._queues[: self._length].copy()
