"""So that what changes often is drawn less often."""

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer

__all__ = ["Throttle"]


class Throttle(QObject):
    """Makes a call some time after the first of several requests.

    Parameters
    ----------
    interval_ms : int
        How long it waits for more.
    call : callable
        What to do.
    parent : QObject
        What it belongs to.
    """

    def __init__(self, interval_ms: int, call: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._call = call
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(call)

    def set_interval(self, interval_ms: int) -> None:
        """Wait for another time, from the next request on."""
        self._timer.setInterval(interval_ms)

    def request(self) -> None:
        """Make the call soon."""
        if not self._timer.isActive():
            self._timer.start()

    def at_once(self) -> None:
        """Make the call now."""
        self._timer.stop()
        self._call()
