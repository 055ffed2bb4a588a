"""What the signs in the graph mean."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from .palette import colours_of
from .step_item import draw_arrow

__all__ = ["Legend"]

HEIGHT = 24
SIGN_WIDTH = 30
GAP = 18
WORKERS = (("busy", "worker at work"), ("blocked", "waits for room"), ("idle", "idle"))
QUEUE = "queue in the router"


class Legend(QWidget):
    """One line over the graph.

    Parameters
    ----------
    parent : QWidget
        The graph.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.9)
        self.setFont(font)
        texts = [QUEUE, *(text for _, text in WORKERS)]
        metrics = self.fontMetrics()
        self.resize(
            sum(metrics.horizontalAdvance(text) + SIGN_WIDTH + GAP + 6 for text in texts), HEIGHT
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = colours_of(self.palette())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x, y = 4.0, HEIGHT / 2
        oval = QRectF(x, y - 8, SIGN_WIDTH - 4, 16)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.card)
        painter.drawEllipse(oval)
        painter.setBrush(colours.queue)
        painter.drawChord(oval, 180 * 16, 180 * 16)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colours.line, 1.2))
        painter.drawEllipse(oval)
        x = self._write(painter, x + SIGN_WIDTH, QUEUE)
        for state, text in WORKERS:
            begin, end = QPointF(x, y), QPointF(x + SIGN_WIDTH - 6, y)
            draw_arrow(painter, begin, end, state, colours, 5)
            x = self._write(painter, x + SIGN_WIDTH, text)
        painter.end()

    def _write(self, painter: QPainter, x: float, text: str) -> float:
        width = self.fontMetrics().horizontalAdvance(text)
        painter.setPen(colours_of(self.palette()).faint)
        painter.drawText(QRectF(x, 0, width + 4, HEIGHT), Qt.AlignmentFlag.AlignVCenter, text)
        return x + width + GAP
