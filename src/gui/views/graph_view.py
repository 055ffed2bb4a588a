"""The graph of a pipeline's steps, at work."""

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QFont,
    QPainter,
    QPainterPath,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QGraphicsScene,
    QGraphicsView,
    QWidget,
)

from ..model.layout import Link, lay_out
from ..model.shown_pipelines import ShownPipeline
from .legend import Legend
from .palette import Colours, colours_of
from .step_item import WIDTH, StepItem, height_of

__all__ = ["GraphView"]

MARGIN = 28.0
LARGEST_FIT = 1.35
SMALLEST, LARGEST = 0.08, 4.0
ZOOM_STEP = 1.2
CORNER = 9.0
HEAD = 5.0
DOTS = 24


class GraphView(QGraphicsView):
    """Draws the chosen pipeline; can be zoomed, moved, and fitted to the window.

    Parameters
    ----------
    hint : str
        What to say while there is no pipeline.
    parent : QWidget, optional
        What it is in.
    """

    # The index of the step that was clicked.
    step_chosen = Signal(int)

    def __init__(self, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hint = hint
        self._pipeline: ShownPipeline | None = None
        self._structure: object = None
        self._items: list[StepItem] = []
        self._is_fitted = True
        self._background: _Background | None = None
        self.setCacheMode(QGraphicsView.CacheModeFlag.CacheBackground)
        self.setScene(QGraphicsScene(self))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        self.setDragMode(QGraphicsView.DragMode.ScrollHandDrag)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setOptimizationFlag(QGraphicsView.OptimizationFlag.DontSavePainterState, False)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.SmartViewportUpdate)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Graph")
        self.setMinimumHeight(140)
        self._legend = Legend(self)
        self._draw_all()

    def show_pipeline(self, pipeline: ShownPipeline | None) -> None:
        """Show another pipeline, or the same again."""
        structure = pipeline and (pipeline.id, pipeline.structure)
        self._pipeline = pipeline
        if structure != self._structure:
            self._structure = structure
            self._draw_all()
            self.fit()
        elif pipeline is not None:
            for item, step in zip(self._items, pipeline.steps(), strict=True):
                item.show_step(step)

    def fit(self) -> None:
        """Show all of it, as large as it fits, and keep it so when the window changes."""
        self._is_fitted = True
        area = self.scene().itemsBoundingRect()
        if self._background is not None:
            area = area.united(self._background.area())
        area.adjust(-MARGIN, -MARGIN, MARGIN, MARGIN)
        # Room to drag it aside.
        spare = 0.5 * max(area.width(), area.height())
        self.setSceneRect(area.adjusted(-spare, -spare, spare, spare))
        size = self.viewport().size()
        below = self._legend.height() if self._items else 0
        scale = min(
            size.width() / area.width(), (size.height() - below) / area.height(), LARGEST_FIT
        )
        self.resetTransform()
        self.scale(max(scale, SMALLEST), max(scale, SMALLEST))
        self.centerOn(area.center() + QPointF(0, below / 2 / max(scale, SMALLEST)))

    def zoom(self, factor: float) -> None:
        """Make it larger or smaller."""
        scale = self.transform().m11() * factor
        if SMALLEST <= scale <= LARGEST:
            self._is_fitted = False
            self.scale(factor, factor)

    def zoom_in(self) -> None:
        """Make it larger."""
        self.zoom(ZOOM_STEP)

    def zoom_out(self) -> None:
        """Make it smaller."""
        self.zoom(1 / ZOOM_STEP)

    def select_steps(self, steps: list[int]) -> None:
        """Mark some steps, and only them."""
        for item in self._items:
            item.setSelected(item.index in steps)

    def drawBackground(self, painter: QPainter, rect: QRectF | QRect) -> None:
        super().drawBackground(painter, rect)
        if self._background is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._background.draw(painter)

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom(1.0015 ** event.angleDelta().y())
        event.accept()

    def mousePressEvent(self, event: Any) -> None:
        super().mousePressEvent(event)
        item = self.itemAt(event.position().toPoint())
        if isinstance(item, StepItem) and event.button() == Qt.MouseButton.LeftButton:
            self.step_chosen.emit(item.index)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._legend.move(8, self.height() - self._legend.height() - 4)
        if self._is_fitted:
            self.fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_legend"):
            self._draw_all()

    def _draw_all(self) -> None:
        colours = colours_of(self.palette())
        scene = self.scene()
        scene.clear()
        self._items = []
        self._background = None
        self.resetCachedContent()
        self.setBackgroundBrush(_dotted(colours))
        self._legend.setVisible(self._pipeline is not None)
        if self._pipeline is None:
            text = scene.addSimpleText(self._hint, QFont(self.font()))
            text.setBrush(colours.faint)
            return
        snapshot = self._pipeline.snapshot
        heights = [height_of(step.workers) for step in snapshot.steps]
        layout = lay_out(snapshot.successors(), WIDTH, heights)
        self._background = _Background(layout.links, colours)
        family = self.font().family()
        for i, (step, position) in enumerate(
            zip(self._pipeline.steps(), layout.positions, strict=True)
        ):
            item = StepItem(i, step, colours, family)
            item.setPos(QPointF(*position))
            scene.addItem(item)
            self._items.append(item)


def _dotted(colours: Colours) -> QPixmap:
    tile = QPixmap(DOTS, DOTS)
    tile.fill(colours.paper)
    painter = QPainter(tile)
    painter.fillRect(QRectF(0, 0, 2, 2), colours.grid)
    painter.end()
    return tile


class _Background:
    """The links, which do not change: they are drawn once, and kept.

    Parameters
    ----------
    links : iterable of Link
        What to draw.
    colours : Colours
        How.
    """

    def __init__(self, links: Iterable[Link], colours: Colours) -> None:
        self._colour = colours.line
        self._drawn: list[tuple[QPainterPath, Qt.PenStyle, QPolygonF]] = []
        for link in links:
            points = [QPointF(*point) for point in link.points]
            end = points[-1]
            self._drawn.append(
                (
                    _angular(points) if link.is_angular else _curved(points),
                    Qt.PenStyle.DashLine if link.is_backward else Qt.PenStyle.SolidLine,
                    QPolygonF(
                        [end + QPointF(-1.6 * HEAD, -HEAD), end, end + QPointF(-1.6 * HEAD, HEAD)]
                    ),
                )
            )

    def area(self) -> QRectF:
        """What it covers."""
        area = QRectF()
        for path, _, _ in self._drawn:
            area = area.united(path.boundingRect())
        return area

    def draw(self, painter: QPainter) -> None:
        """Draw all of it."""
        for path, style, head in self._drawn:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._colour, 1.4, style))
            painter.drawPath(path)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._colour)
            painter.drawPolygon(head)


def _curved(points: list[QPointF]) -> QPainterPath:
    path = QPainterPath(points[0])
    for i in range(1, len(points)):
        begin, end = points[i - 1], points[i]
        if begin.y() == end.y():
            path.lineTo(end)
            continue
        half = QPointF((end.x() - begin.x()) / 2, 0)
        path.cubicTo(begin + half, end - half, end)
    return path


def _angular(points: list[QPointF]) -> QPainterPath:
    path = QPainterPath(points[0])
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        path.lineTo(corner + _towards(corner, before))
        path.quadTo(corner, corner + _towards(corner, after))
    path.lineTo(points[-1])
    return path


def _towards(begin: QPointF, end: QPointF) -> QPointF:
    """A little way from one point to another."""
    way = end - begin
    length = abs(way.x()) + abs(way.y())
    return way * (min(CORNER, length / 2) / length) if length else way
