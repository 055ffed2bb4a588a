"""Brings what the socket receives into Qt's event loop."""

from PySide6.QtCore import QObject, QSocketNotifier, QTimer, Signal

from ..model.receiver import Receiver

__all__ = ["Feed"]

# A pipeline sends no more often.
SHORTEST_PAUSE_MS = 40
FIND_LOST_INTERVAL_MS = 1000


class Feed(QObject):
    """Looks for snapshots when some have arrived, and no more often than they are sent.

    Parameters
    ----------
    receiver : Receiver
        The socket; to be closed by whoever made it, after `close`.
    """

    # The pipelines, a list, that are new or have changed.
    updated = Signal(list)

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self.receiver = receiver
        self.first: str | None = None
        self._notifier = QSocketNotifier(receiver.fd, QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._arrived)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(SHORTEST_PAUSE_MS)
        self._pause.timeout.connect(self._receive)
        self._find_lost_timer = QTimer(self)
        self._find_lost_timer.setInterval(FIND_LOST_INTERVAL_MS)
        self._find_lost_timer.timeout.connect(self._find_lost)
        self._find_lost_timer.start()
        # What has come before is not signalled again.
        self._pause.start()

    def close(self) -> None:
        """Look no more."""
        self._notifier.setEnabled(False)
        self._pause.stop()
        self._find_lost_timer.stop()

    def _arrived(self) -> None:
        # It goes on signalling until the socket is read.
        self._notifier.setEnabled(False)
        self._pause.start()

    def _receive(self) -> None:
        changed, more = self.receiver.receive(self.first)
        if changed:
            self.updated.emit(changed)
        if more:
            self._pause.start()
        else:
            self._notifier.setEnabled(True)

    def _find_lost(self) -> None:
        lost = self.receiver.find_lost()
        if lost:
            self.updated.emit(lost)
