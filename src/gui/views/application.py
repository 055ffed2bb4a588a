"""Qt's application: from the first window to the last, and what signals do."""

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from PySide6.QtCore import QSettings, QSocketNotifier, QTimer, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from ...errors import ConfigurationError
from ..model.receiver import Receiver
from .feed import Feed
from .window import Window

__all__ = ["show_window"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def show_window(
    receiver: Receiver, log: logging.Logger, screenshot: Path | None = None
) -> int | None:
    """Show the window until it is closed, by its user or by a signal.

    Parameters
    ----------
    receiver : Receiver
        Where pipelines come from; the caller closes it.
    log : logging.Logger
        Where to say what Qt complains of.
    screenshot : path, optional
        Write a picture of the first run that ends there, and close it.

    Returns
    -------
    int
        The number of the signal that closed it, or None.

    Raises
    ------
    ConfigurationError
        If the picture cannot be written.
    """
    qInstallMessageHandler(lambda kind, context, message: log.debug("Qt: %s", message))
    application = QApplication.instance() or QApplication(["ctapipe-guipipe"])
    assert isinstance(application, QApplication)
    application.setApplicationDisplayName("")
    application.setDesktopFileName("ctapipe-guipipe")
    application.setStyle("Fusion")
    feed = Feed(receiver)
    # A picture does not depend on how the user has arranged the window.
    settings = None if screenshot else QSettings("ctapipe", "guipipe")
    window = Window(feed, settings)
    written: list[bool] = []
    if screenshot is not None:

        def write() -> None:
            written.append(window.save_picture(screenshot))
            window.close()

        window.run_shown.connect(write)
    window.show()
    QTimer.singleShot(0, lambda: log.info("listening on %s", receiver.address))
    try:
        with _closed_by_signals(window) as received:
            application.exec()
    finally:
        feed.close()
        window.deleteLater()
        application.processEvents()
        qInstallMessageHandler(None)
    if False in written:
        raise ConfigurationError([f"PipeGui.screenshot: cannot write {str(screenshot)!r}"])
    return received[0] if received else None


@contextmanager
def _closed_by_signals(window: Window) -> Iterator[list[int]]:
    """Close the window when a signal arrives, and note which."""
    received: list[int] = []
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        window.close()

    def wake() -> None:
        # Python calls its handlers when it next runs: now.
        reader.recv(64)

    notifier = QSocketNotifier(reader.fileno(), QSocketNotifier.Type.Read)
    notifier.activated.connect(wake)
    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield received
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        notifier.setEnabled(False)
        reader.close()
        writer.close()
