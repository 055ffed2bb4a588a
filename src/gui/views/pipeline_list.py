"""The list of pipelines, to choose from."""

from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPalette
from PySide6.QtWidgets import (
    QFrame,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from ...status import wording
from ..model.shown_pipelines import ShownPipeline, ShownPipelines
from .palette import STATE_SIGNS, colours_of

__all__ = ["PipelineList"]

Index = QModelIndex | QPersistentModelIndex
MARGIN = 8
SIGN_WIDTH = 20


class PipelineListModel(QAbstractListModel):
    """The pipelines, the newest first."""

    def __init__(self, pipelines: ShownPipelines) -> None:
        super().__init__()
        self._pipelines = pipelines
        self._shown: list[ShownPipeline] = []

    def refresh(self) -> None:
        """Show what has changed."""
        current = list(self._pipelines)[::-1]
        if [pipeline.id for pipeline in current] == [pipeline.id for pipeline in self._shown]:
            if current:
                self.dataChanged.emit(self.index(0), self.index(len(current) - 1))
            return
        self.beginResetModel()
        self._shown = current
        self.endResetModel()

    def row_of(self, pipeline_id: str) -> int:
        """Where a pipeline is; -1 if it is not."""
        ids = [pipeline.id for pipeline in self._shown]
        return ids.index(pipeline_id) if pipeline_id in ids else -1

    def pipeline(self, row: int) -> ShownPipeline:
        """The pipeline at a place."""
        return self._shown[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        pipeline = self._shown[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return pipeline.name
        if role == Qt.ItemDataRole.UserRole:
            return pipeline
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{pipeline.name}, {' '.join(_details(pipeline))}"
        return None


class PipelineDelegate(QStyledItemDelegate):
    """Draws a pipeline in two lines: its name; its state, elapsed time and host."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        height = QFontMetrics(option.font).height()
        return QSize(180, 2 * height + 2 * MARGIN + 2)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        pipeline: ShownPipeline = index.data(Qt.ItemDataRole.UserRole)
        style = option.widget.style()
        style.drawPrimitive(
            QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget
        )
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        text = QPalette.ColorRole.HighlightedText if is_selected else QPalette.ColorRole.Text
        ink = option.palette.color(text)
        colours = colours_of(option.palette)
        painter.save()
        area = option.rect.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        bold = QFont(option.font)
        bold.setBold(True)
        painter.setFont(bold)
        painter.setPen(ink if is_selected else colours.of_state(pipeline.state))
        upper = QRect(area.left(), area.top(), area.width(), area.height() // 2)
        lower = QRect(area.left(), upper.bottom() + 2, area.width(), area.height() // 2)
        vertical = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(upper, vertical, STATE_SIGNS[pipeline.state])
        painter.setPen(ink)
        upper.setLeft(upper.left() + SIGN_WIDTH)
        lower.setLeft(upper.left())
        metrics = QFontMetrics(bold)
        elide = Qt.TextElideMode.ElideMiddle
        painter.drawText(upper, vertical, metrics.elidedText(pipeline.name, elide, upper.width()))
        painter.setFont(option.font)
        if not is_selected:
            painter.setPen(colours.faint)
        state, time, host = _details(pipeline)
        metrics = QFontMetrics(option.font)
        details = metrics.elidedText(
            f"{state} · {time} · {host}", Qt.TextElideMode.ElideRight, lower.width()
        )
        painter.drawText(lower, vertical, details)
        painter.restore()


def _details(pipeline: ShownPipeline) -> tuple[str, str, str]:
    snapshot = pipeline.snapshot
    return pipeline.state, wording.elapsed(snapshot.elapsed_s), snapshot.host


class PipelineList(QListView):
    """The list; one pipeline in it is chosen, as soon as there is one.

    Parameters
    ----------
    pipelines : ShownPipelines
        What to choose from.
    parent : QWidget, optional
        What it is in.
    """

    # The pipeline that was chosen; None if there is none left.
    chosen = Signal(object)

    def __init__(self, pipelines: ShownPipelines, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = PipelineListModel(pipelines)
        self._chosen: ShownPipeline | None = None
        self.setModel(self._model)
        self.setItemDelegate(PipelineDelegate(self))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setAccessibleName("Pipelines")
        self.selectionModel().currentChanged.connect(self._on_current)

    def refresh(self) -> None:
        """Show what has changed."""
        chosen = self._chosen
        self._model.refresh()
        row = -1 if chosen is None else self._model.row_of(chosen.id)
        if row < 0 and self._model.rowCount():
            row = 0
        if row >= 0:
            if row != self.currentIndex().row():
                self.choose(row)
        elif chosen is not None:
            self._chosen = None
            self.chosen.emit(None)

    def choose(self, row: int) -> None:
        """Choose the pipeline at a place."""
        self.setCurrentIndex(self._model.index(row))

    def step(self, rows: int) -> None:
        """Choose one further down, or up."""
        row = self.currentIndex().row() + rows
        if 0 <= row < self._model.rowCount():
            self.choose(row)

    def _on_current(self, current: QModelIndex) -> None:
        if not current.isValid():
            return
        pipeline = self._model.pipeline(current.row())
        if pipeline is not self._chosen:
            self._chosen = pipeline
            self.chosen.emit(pipeline)
