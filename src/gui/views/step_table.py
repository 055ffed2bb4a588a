"""The table of a pipeline's steps."""

import functools
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRectF,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QGuiApplication, QPainter, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from ...status import wording
from ..model.shown_pipelines import ShownPipeline
from ..model.step_rows import COLUMNS, Cell, rows_of
from .palette import colours_of, curve_pen

__all__ = ["StepTable"]

Index = QModelIndex | QPersistentModelIndex
SORT_ROLE = Qt.ItemDataRole.UserRole
FILL_ROLE = Qt.ItemDataRole.UserRole + 1
QUEUE = [title for title, _ in COLUMNS].index("Queue")
LINE_SAMPLE_SIZE = (22, 10)


class StepTableModel(QAbstractTableModel):
    """The steps of one pipeline, a row each."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[list[Cell]] = []

    def show_pipeline(self, pipeline: ShownPipeline | None) -> None:
        """Show another pipeline, or the same again."""
        rows = [] if pipeline is None else rows_of(pipeline)
        if len(rows) != len(self._rows):
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
            return
        changed = [
            i for i, (old, new) in enumerate(zip(self._rows, rows, strict=True)) if old != new
        ]
        self._rows = rows
        if changed:
            last = len(COLUMNS) - 1
            self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], last))

    def text(self, rows: list[int]) -> str:
        """Rows as text, with a heading, separated by tabs."""
        lines = [[title for title, _ in COLUMNS]]
        lines += [[cell.text.replace(wording.SPACE, "") for cell in self._rows[i]] for i in rows]
        return "".join("\t".join(line) + "\n" for line in lines)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal:
            title, help_text = COLUMNS[section]
            if role == Qt.ItemDataRole.DisplayRole:
                return title
            if role == Qt.ItemDataRole.ToolTipRole:
                return help_text
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(section)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return self._rows[index.row()][index.column()].text
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return _line_sample(index.row())
        if role == SORT_ROLE:
            return self._rows[index.row()][index.column()].value
        if role == FILL_ROLE:
            return self._rows[index.row()][index.column()].fill
        return None


@functools.cache
def _line_sample(step: int) -> QPixmap:
    """How the curves of a step are drawn."""
    pixmap = QPixmap(*LINE_SAMPLE_SIZE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setPen(curve_pen(step, 2))
    middle = LINE_SAMPLE_SIZE[1] // 2
    painter.drawLine(0, middle, LINE_SAMPLE_SIZE[0], middle)
    painter.end()
    return pixmap


def _alignment(column: int) -> Qt.AlignmentFlag:
    is_text = column < 2
    side = Qt.AlignmentFlag.AlignLeft if is_text else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter


class SortedByValue(QSortFilterProxyModel):
    """Compares the values of cells, not their texts."""

    def lessThan(self, left: Index, right: Index) -> bool:
        return left.data(SORT_ROLE) < right.data(SORT_ROLE)


class QueueDelegate(QStyledItemDelegate):
    """Draws how full a queue is behind its numbers."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        fill = index.data(FILL_ROLE)
        if fill is not None:
            style = option.widget.style()
            style.drawPrimitive(
                QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget
            )
            colours = colours_of(option.palette)
            frame = QRectF(option.rect).adjusted(3, 3.5, -3, -3.5)
            painter.save()
            painter.fillRect(frame, colours.grid)
            frame.setWidth(frame.width() * fill)
            painter.fillRect(frame, colours.queue)
            painter.setPen(colours.ink)
            painter.drawText(option.rect.adjusted(0, 0, -8, 0), _alignment(QUEUE), index.data())
            painter.restore()
            return
        super().paint(painter, option, index)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return super().sizeHint(option, index) + QSize(16, 0)


class StepTable(QTableView):
    """The table; it can be sorted, and copied as text.

    Parameters
    ----------
    parent : QWidget, optional
        What it is in.
    """

    # The indices of the steps that are selected, a list.
    steps_selected = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = StepTableModel()
        self._sorted = SortedByValue(self)
        self._sorted.setSourceModel(self._model)
        self.setModel(self._sorted)
        self._structure: object = None
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setSortIndicatorClearable(True)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 9)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setItemDelegateForColumn(QUEUE, QueueDelegate(self))
        self.setAccessibleName("Steps")
        self.selectionModel().selectionChanged.connect(self._on_selection)

    def show_pipeline(self, pipeline: ShownPipeline | None) -> None:
        """Show another pipeline, or the same again."""
        structure = pipeline and (pipeline.id, pipeline.structure)
        is_other = structure != self._structure
        if is_other:
            self.clearSelection()
        self._model.show_pipeline(pipeline)
        if is_other and pipeline is not None:
            self._structure = structure
            self._make_room()

    def select_step(self, step: int) -> None:
        """Select the row of a step, and only it."""
        row = self._sorted.mapFromSource(self._model.index(step, 0)).row()
        self.selectRow(row)

    def selected_steps(self) -> list[int]:
        """The indices of the selected steps."""
        rows = self.selectionModel().selectedRows()
        return sorted(self._sorted.mapToSource(index).row() for index in rows)

    def text(self) -> str:
        """The selected rows, or all, as they are sorted, separated by tabs."""
        selected = self.selected_steps()
        in_order = [
            self._sorted.mapToSource(self._sorted.index(row, 0)).row()
            for row in range(self._sorted.rowCount())
        ]
        return self._model.text([i for i in in_order if not selected or i in selected])

    def copy(self) -> None:
        """Copy `text` to the clipboard."""
        QGuiApplication.clipboard().setText(self.text())

    def _make_room(self) -> None:
        """Make the columns as wide as numbers that are still small may become."""
        metrics = self.fontMetrics()
        digits = metrics.horizontalAdvance("0")
        for column, least in enumerate((10, 7, 6, 11, 7, 7, 6, 7, 7, 11)):
            self.resizeColumnToContents(column)
            widest = 26 * digits
            width = max(self.columnWidth(column) + (16 if column == 0 else 0), least * digits + 10)
            self.setColumnWidth(column, min(width, widest))

    def _on_selection(self) -> None:
        self.steps_selected.emit(self.selected_steps())
