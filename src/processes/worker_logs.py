"""What worker processes log, here; a warning of Python that several give is shown once."""

import collections
import logging

__all__ = ["WorkerLogs"]

# As `logging.captureWarnings` calls it.
OF_PYTHON = "py.warnings"


class WorkerLogs:
    """Hands the records of all worker processes to the loggers of this one."""

    def __init__(self) -> None:
        self._n_warnings: collections.Counter[str] = collections.Counter()

    def handle(self, record: logging.LogRecord) -> None:
        """Let a record be shown, unless it is a warning of Python that was shown."""
        if record.name == OF_PYTHON:
            warning = record.getMessage().partition("\n")[0]
            self._n_warnings[warning] += 1
            if self._n_warnings[warning] > 1:
                return
        logging.getLogger(record.name).handle(record)

    def log_repeated(self, log: logging.Logger) -> None:
        """Say how many times each was given that was shown once only.

        Parameters
        ----------
        log : logging.Logger
            The pipeline's log.
        """
        counts, self._n_warnings = self._n_warnings, collections.Counter()
        for warning, n_times in counts.items():
            if n_times > 1:
                log.warning("given %d times by worker processes: %s", n_times, warning)
