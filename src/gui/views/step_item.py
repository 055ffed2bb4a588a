"""A step in the graph: its queue, its workers, and what it has done."""

import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from ...status import wording
from ...status.snapshot import StepSnapshot
from ..model.shown_pipelines import ShownStep
from .palette import Colours

__all__ = ["WIDTH", "StepItem", "draw_arrow", "height_of"]

QUEUE_WIDTH, QUEUE_HEIGHT = 66.0, 42.0
ARROWS_WIDTH = 46.0
BOX_WIDTH = 176.0
BOX_LEFT = QUEUE_WIDTH + ARROWS_WIDTH
WIDTH = BOX_LEFT + BOX_WIDTH
BOX_HEIGHT = 66.0
BADGE_HEIGHT = 17.0
# Room for a frame and a badge.
MARGIN = 4.0
ARROW_GAP, SHORTEST_ARROW_GAP = 11.0, 3.2
# Of fonts.
SIZES, BOLD = (10, 11, 12, 13, 15, 17), (13, 17)
# Smaller than this, only the name and one number are legible.
DETAIL_SCALE = 0.66


def height_of(n_workers: int) -> float:
    """How high a step is drawn, with an arrow for each of its workers."""
    return max(BOX_HEIGHT, n_workers * SHORTEST_ARROW_GAP + 12)


def draw_arrow(
    painter: QPainter, begin: QPointF, end: QPointF, state: str, colours: Colours, size: float
) -> None:
    """Draw a worker: lit and filled if busy, with a bar if blocked, thin if idle."""
    colour = {"busy": colours.lit, "blocked": colours.blocked}.get(state, colours.idle)
    is_idle = state == "idle"
    painter.setPen(QPen(colour, 1.2 if is_idle else 0.4 * size))
    head = QPointF(size * 1.3, 0)
    painter.drawLine(begin, end - (QPointF(0, 0) if is_idle else head))
    if state == "blocked":
        painter.drawLine(end + QPointF(0, -size), end + QPointF(0, size))
    left = end - head
    tip = QPolygonF([left + QPointF(0, -0.7 * size), end, left + QPointF(0, 0.7 * size)])
    if is_idle:
        painter.drawPolyline(tip)
    else:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawPolygon(tip)


class StepItem(QGraphicsItem):
    """Draws a step; its origin is the left end, in the middle of its height.

    Parameters
    ----------
    index : int
        Which of the steps it is.
    shown : ShownStep
        What to show first.
    colours : Colours
        How.
    family : str
        The font.
    """

    def __init__(self, index: int, shown: ShownStep, colours: Colours, family: str) -> None:
        super().__init__()
        self.index = index
        self._shown = shown
        self._colours = colours
        self._height = height_of(shown.step.workers)
        self._fonts = {size: _font(family, size, size in BOLD) for size in SIZES}
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIsSelectable)
        self.setToolTip(_tool_tip(shown.step))

    def show_step(self, shown: ShownStep) -> None:
        """Show what has changed, if anything has."""
        if shown != self._shown:
            self._shown = shown
            self.update()

    def boundingRect(self) -> QRectF:
        half = self._height / 2
        return QRectF(0, -half, WIDTH, 2 * half).adjusted(
            -MARGIN, -MARGIN - BADGE_HEIGHT, MARGIN, MARGIN
        )

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionGraphicsItem,
        widget: QWidget | None = None,
    ) -> None:
        has_details = option.levelOfDetailFromTransform(painter.worldTransform()) > DETAIL_SCALE
        step = self._shown.step
        if step.has_queue:
            self._draw_queue(painter, has_details)
        else:
            self._draw_source(painter)
        self._draw_workers(painter)
        self._draw_box(painter, has_details)
        if self._shown.is_bottleneck:
            self._draw_badge(painter, has_details)

    def _draw_source(self, painter: QPainter) -> None:
        """Where the messages of a step without a queue come from."""
        painter.setBrush(self._colours.line)
        if self._shown.step.chained:
            painter.setPen(QPen(self._colours.line, 1.4))
            painter.drawLine(QPointF(0, 0), QPointF(QUEUE_WIDTH, 0))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.drawEllipse(QPointF(QUEUE_WIDTH, 0), 4, 4)

    def _draw_queue(self, painter: QPainter, has_details: bool) -> None:
        step, colours = self._shown.step, self._colours
        oval = QRectF(0, -QUEUE_HEIGHT / 2, QUEUE_WIDTH, QUEUE_HEIGHT)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.card)
        painter.drawEllipse(oval)
        if self._shown.fill > 0:
            # The chord at this height, and all below it.
            angle = math.degrees(math.asin(2 * self._shown.fill - 1))
            painter.setBrush(colours.queue)
            painter.drawChord(oval, round(16 * (180 - angle)), round(16 * (180 + 2 * angle)))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colours.line, 1.4))
        painter.drawEllipse(oval)
        painter.setPen(colours.ink)
        centre = Qt.AlignmentFlag.AlignCenter
        if not has_details:
            painter.setFont(self._fonts[17])
            painter.drawText(oval, centre, wording.short_count(step.queue))
            return
        painter.setFont(self._fonts[13])
        painter.drawText(oval.adjusted(0, 2, 0, -14), centre, wording.short_count(step.queue))
        painter.setFont(self._fonts[10])
        painter.setPen(colours.ink if self._shown.fill > 0.3 else colours.faint)
        limit = (
            "no limit" if step.queue_limit < 0 else f"of {wording.short_count(step.queue_limit)}"
        )
        painter.drawText(oval.adjusted(0, 18, 0, -3), centre, limit)

    def _draw_workers(self, painter: QPainter) -> None:
        states = self._shown.step.worker_states
        n = len(states)
        if n == 0:
            return
        gap = min(ARROW_GAP, (self._height - 12) / max(n - 1, 1))
        size = min(5.0, max(1.6, gap * 0.62))
        for i, state in enumerate(states):
            y = (i - (n - 1) / 2) * gap
            begin = QPointF(QUEUE_WIDTH + 6, max(-13.0, min(13.0, y * 0.4)))
            end = QPointF(BOX_LEFT - 3, y)
            draw_arrow(painter, begin, end, state, self._colours, size)

    def _draw_box(self, painter: QPainter, has_details: bool) -> None:
        step, colours = self._shown.step, self._colours
        box = QRectF(BOX_LEFT, -self._height / 2, BOX_WIDTH, self._height)
        frame = QPen(colours.line, 1.2)
        if self._shown.is_bottleneck:
            frame = QPen(colours.bad, 2.6)
        if self.isSelected():
            frame = QPen(colours.ink, 2.4, Qt.PenStyle.DotLine)
        painter.setPen(frame)
        painter.setBrush(QBrush(colours.card))
        painter.drawRoundedRect(box, 7, 7)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(getattr(colours, step.role))
        painter.drawRoundedRect(QRectF(box.left() + 5, box.top() + 7, 4, box.height() - 14), 2, 2)
        left, right = box.left() + 17, box.right() - 11
        if not has_details:
            self._draw_large(painter, left, right)
            return
        self._draw_line(painter, 13, left, right, -19, step.name, colours.ink)
        width = self._draw_number(painter, right, 1, f"{wording.rate(self._shown.rate)} /s")
        done = f"{wording.count(step.done)} done"
        self._draw_line(painter, 12, left, right - width - 6, 1, done, colours.ink)
        n = step.workers
        n_blocked = step.worker_states.count("blocked")
        n_busy = step.worker_states.count("busy")
        role = f"{step.role}, {n_busy} of {n} busy"
        if n_blocked:
            role = f"{step.role}, {n_blocked} of {n} blocked"
        if step.failed:
            self._draw_line(
                painter, 11, left, right, 20, f"✗ {wording.count(step.failed)} failed", colours.bad
            )
        else:
            self._draw_line(painter, 11, left, right, 20, role, colours.faint)

    def _draw_large(self, painter: QPainter, left: float, right: float) -> None:
        """The name, in two lines if it is long, and one number: for a graph drawn small."""
        step, colours = self._shown.step, self._colours
        names = [step.name]
        metrics = QFontMetricsF(self._fonts[17])
        head, mark, tail = step.name.partition("_")
        if tail and metrics.horizontalAdvance(step.name) > right - left:
            names = [head + mark, tail]
        done = wording.short_count(step.done) + (
            f"  ✗ {wording.short_count(step.failed)}" if step.failed else ""
        )
        top = -10 if len(names) == 1 else -20
        for i, name in enumerate(names):
            self._draw_line(painter, 17, left, right, top + 19 * i, name, colours.ink)
        colour = colours.bad if step.failed else colours.faint
        self._draw_line(painter, 15, left, right, top + 19 * len(names) + 2, done, colour)

    def _draw_line(
        self,
        painter: QPainter,
        size: int,
        left: float,
        right: float,
        y: float,
        text: str,
        colour: QColor,
    ) -> None:
        font = self._fonts[size]
        painter.setFont(font)
        painter.setPen(colour)
        metrics = QFontMetricsF(font)
        if metrics.horizontalAdvance(text) > right - left:
            text = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, right - left)
        middle = y + (metrics.ascent() - metrics.descent()) / 2
        painter.drawText(QPointF(left, middle), text)

    def _draw_number(self, painter: QPainter, right: float, y: float, text: str) -> float:
        font = self._fonts[12]
        metrics = QFontMetricsF(font)
        width = metrics.horizontalAdvance(text)
        painter.setFont(font)
        painter.setPen(self._colours.ink)
        middle = y + (metrics.ascent() - metrics.descent()) / 2
        painter.drawText(QPointF(right - width, middle), text)
        return width

    def _draw_badge(self, painter: QPainter, has_details: bool) -> None:
        size, width = (10, 88) if has_details else (15, 126)
        height = BADGE_HEIGHT if has_details else 1.3 * BADGE_HEIGHT
        badge = QRectF(BOX_LEFT + 10, -self._height / 2 + 5 - height, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colours.bad)
        painter.drawRoundedRect(badge, height / 2, height / 2)
        painter.setPen(self._colours.card)
        painter.setFont(self._fonts[size])
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, "▲ bottleneck")


def _font(family: str, size: int, is_bold: bool) -> QFont:
    font = QFont(family)
    font.setPixelSize(size)
    font.setBold(is_bold)
    return font


def _tool_tip(step: StepSnapshot) -> str:
    # Qt takes what looks like HTML for HTML.
    text = f"{step.name}: {step.role}" + (", chained" if step.chained else "")
    return text.replace("&", "&amp;").replace("<", "&lt;")
