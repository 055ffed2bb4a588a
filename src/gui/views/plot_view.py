"""Throughput and queues over time."""

import numpy as np
import pyqtgraph
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QAction, QKeySequence, QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from ..model.shown_pipelines import ShownPipeline
from .palette import colours_of, curve_pen

__all__ = ["PlotView"]

# More are drawn thinner.
FEW = 8
NOTE = "lines as in the table"


class PlotView(QWidget):
    """Two plots over the time since the begin of the run: events per second, and queues.

    Parameters
    ----------
    parent : QWidget, optional
        What it is in.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pipeline: ShownPipeline | None = None
        self._structure: object = None
        self._selected: list[int] = []
        self._canvas = pyqtgraph.GraphicsLayoutWidget()
        self._canvas.setAccessibleName("Throughput and queues over time")
        self._throughput = self._canvas.addPlot(row=0, col=0)
        self._queues = self._canvas.addPlot(row=1, col=0)
        self._plots = (self._throughput, self._queues)
        for plot, title in zip(self._plots, ("events/s", "in queue"), strict=True):
            plot.setLabel("left", title)
            plot.getAxis("left").setWidth(62)
            plot.getAxis("left").enableAutoSIPrefix(False)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.setLimits(xMin=0, yMin=0)
        self._throughput.getAxis("bottom").setStyle(showValues=False)
        self._queues.setLabel("bottom", "time since begin, s")
        self._queues.setXLink(self._throughput)
        self._curves: list[list[pyqtgraph.PlotDataItem]] = [[], []]

        self.pause_action = QAction("Pause", self)
        self.pause_action.setCheckable(True)
        self.pause_action.setShortcut(QKeySequence("Ctrl+P"))
        self.pause_action.setToolTip("Let the plot stand still (Ctrl+P)")
        self.pause_action.toggled.connect(self._on_pause)
        self.reset_action = QAction("Whole run", self)
        self.reset_action.setShortcut(QKeySequence("Ctrl+R"))
        self.reset_action.setToolTip(
            "Show the whole run (Ctrl+R); turn the wheel over the plot to zoom, drag to move"
        )
        self.reset_action.triggered.connect(self.show_all)
        self._note = QLabel()
        self._note.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self._note.setToolTip("Select steps in the table to see them alone")
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 4, 8, 0)
        bar.addWidget(self._note, 1)
        for action in (self.pause_action, self.reset_action):
            button = QToolButton()
            button.setDefaultAction(action)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            bar.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self._canvas, 1)
        self._colour()

    def show_pipeline(self, pipeline: ShownPipeline | None) -> None:
        """Show another pipeline, or the same again."""
        structure = pipeline and (pipeline.id, pipeline.structure)
        self._pipeline = pipeline
        if structure != self._structure:
            self._structure = structure
            self._selected = []
            self.pause_action.setChecked(False)
            self._make_curves()
            self.show_all()
        if not self.pause_action.isChecked():
            self._draw()

    def select_steps(self, steps: list[int]) -> None:
        """Show some steps only; all, if there are none."""
        self._selected = steps
        self._make_curves()
        self._draw()

    def show_all(self) -> None:
        """Show the whole run, also what is to come."""
        for plot in self._plots:
            plot.enableAutoRange()

    def _on_pause(self, is_paused: bool) -> None:
        if not is_paused:
            self._draw()

    def _draw(self) -> None:
        pipeline = self._pipeline
        if pipeline is None:
            return
        for curves, (times, values) in zip(
            self._curves,
            (pipeline.history.throughput(), pipeline.history.queues()),
            strict=True,
        ):
            for curve in curves:
                curve.setData(times, np.ascontiguousarray(values[:, curve.step]))

    def _make_curves(self) -> None:
        for plot in self._plots:
            plot.clear()
        self._curves = [[], []]
        for plot in self._plots:
            # So that what is shown begins at zero.
            plot.plot([0, 0], [0, 0], pen=(0, 0, 0, 0))
        if self._pipeline is None:
            self._note.setText("")
            return
        steps = self._pipeline.snapshot.steps
        chosen = self._selected or range(len(steps))
        self._note.setText("" if self._selected else NOTE)
        for i in chosen:
            pen = curve_pen(i, 1.6 if len(chosen) <= FEW else 1)
            for plot, curves in zip(self._plots, self._curves, strict=True):
                if plot is self._queues and not steps[i].has_queue:
                    continue
                curve = plot.plot(pen=pen)
                curve.step = i
                curves.append(curve)

    def _colour(self) -> None:
        colours = colours_of(self.palette())
        self._canvas.setBackground(colours.paper)
        for plot in self._plots:
            plot.showGrid(y=True, alpha=0.12)
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(colours.line)
                axis.setTextPen(colours.faint)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_note"):
            self._colour()
            self._make_curves()
            self._draw()
