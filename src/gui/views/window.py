"""The window: the views, and what can be done with them."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSettings, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QDockWidget,
    QFileDialog,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from ..model.shown_pipelines import ShownPipeline
from .feed import Feed
from .graph_view import GraphView
from .header import Header
from .pipeline_list import PipelineList
from .plot_view import PlotView
from .step_table import StepTable
from .throttle import Throttle

__all__ = ["Window"]

TITLE = "ctapipe pipelines"
SIZE = (1400, 840)
# Changes with the arrangement of the window, so that an old one is not taken for it.
LAYOUT_VERSION = 1
# A large graph takes longer to draw.
GRAPH_INTERVAL_MS = 100
INTERVAL_PER_STEP_MS = 6
NUMBERS_INTERVAL_MS = 250
PLOT_INTERVAL_MS = 1000
DEFAULT_PORT = "5565"


class Window(QMainWindow):
    """Shows the pipelines that a feed knows of.

    Parameters
    ----------
    feed : Feed
        Where they come from; the caller closes it.
    settings : QSettings, optional
        Where the arrangement of the window is kept; it is not, without.
    """

    # The chosen pipeline, a `ShownPipeline`, has ended, and all views show its end.
    run_shown = Signal(object)

    def __init__(self, feed: Feed, settings: QSettings | None = None) -> None:
        super().__init__()
        self._feed = feed
        self._settings = settings
        self._pipeline: ShownPipeline | None = None
        self._known: set[str] = set()
        address = feed.receiver.address
        self.list = PipelineList(feed.receiver.pipelines)
        self.header = Header()
        self.graph = GraphView(_hint(address))
        self.table = StepTable()
        self.plot = PlotView()
        self._connected = QLabel()
        self.statusBar().addWidget(QLabel(f"Listening on {address}"))
        self.statusBar().addPermanentWidget(self._connected)

        centre = QWidget()
        layout = QVBoxLayout(centre)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addWidget(self.graph, 1)
        self.setCentralWidget(centre)
        left, bottom = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea
        self._docks = [
            self._dock("Pipelines", self.list, left),
            self._dock("Steps", self.table, bottom),
            self._dock("Over time", self.plot, bottom),
        ]
        self.setCorner(Qt.Corner.BottomLeftCorner, left)
        self.resize(*SIZE)
        self.resizeDocks(self._docks[:1], [200], Qt.Orientation.Horizontal)
        self.resizeDocks(self._docks[1:], [900, 290], Qt.Orientation.Horizontal)
        self.resizeDocks(self._docks[1:], [300, 300], Qt.Orientation.Vertical)
        self._make_menus()

        self._graph_throttle = Throttle(GRAPH_INTERVAL_MS, self._show_graph, self)
        self._numbers_throttle = Throttle(NUMBERS_INTERVAL_MS, self._show_numbers, self)
        self._plot_throttle = Throttle(PLOT_INTERVAL_MS, self._show_plot, self)
        feed.updated.connect(self._on_updated)
        self.list.chosen.connect(self._on_chosen)
        self.table.steps_selected.connect(self.graph.select_steps)
        self.table.steps_selected.connect(self.plot.select_steps)
        self.graph.step_chosen.connect(self.table.select_step)
        self._restore()
        self._show_numbers()
        self._show_title()

    @property
    def pipeline(self) -> ShownPipeline | None:
        """The chosen pipeline."""
        return self._pipeline

    def save_picture(self, path: str | Path) -> bool:
        """Write what the window shows to a file, and say whether that went well."""
        self._show_all()
        # What follows from it: the sizes of texts, the ranges of the plots.
        for _ in range(2):
            self.grab()
            QApplication.sendPostedEvents()
        return self.grab().save(str(path))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._settings is not None:
            self._settings.setValue("geometry", self.saveGeometry())
            self._settings.setValue("layout", self.saveState(LAYOUT_VERSION))
        super().closeEvent(event)

    def _restore(self) -> None:
        if self._settings is None:
            return
        geometry, layout = self._settings.value("geometry"), self._settings.value("layout")
        if geometry is not None:
            self.restoreGeometry(geometry)
        if layout is not None:
            self.restoreState(layout, LAYOUT_VERSION)

    def _dock(self, title: str, view: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        dock = QDockWidget(title, self)
        dock.setObjectName(title)
        dock.setWidget(view)
        self.addDockWidget(area, dock)
        return dock

    def _make_menus(self) -> None:
        menu = self.menuBar().addMenu("&File")
        _add(menu, "&Save picture…", self._choose_picture, "Ctrl+S")
        menu.addSeparator()
        _add(menu, "&Quit", self.close, "Ctrl+Q")

        menu = self.menuBar().addMenu("&Edit")
        _add(menu, "&Copy steps as text", self.table.copy, "Ctrl+C")
        _add(menu, "Select &no step", self.table.clearSelection, "Escape")

        menu = self.menuBar().addMenu("&Pipelines")
        _add(menu, "&Next", lambda: self.list.step(1), "Alt+Down")
        _add(menu, "&Previous", lambda: self.list.step(-1), "Alt+Up")
        menu.addSeparator()
        _add(menu, "&Clear ended", self._clear_ended, "Ctrl+L")

        menu = self.menuBar().addMenu("&View")
        _add(menu, "Zoom &in", self.graph.zoom_in, "Ctrl++", "Ctrl+=")
        _add(menu, "Zoom &out", self.graph.zoom_out, "Ctrl+-")
        _add(menu, "&Fit graph", self.graph.fit, "Ctrl+0")
        menu.addSeparator()
        menu.addAction(self.plot.pause_action)
        menu.addAction(self.plot.reset_action)
        menu.addSeparator()
        places = (("Pipelines", self.list), ("Graph", self.graph), ("Steps", self.table))
        for number, (name, view) in enumerate(places, start=1):
            _add(menu, f"Go to {name.lower()}", view.setFocus, f"Ctrl+{number}")
        menu.addSeparator()
        for dock in self._docks:
            menu.addAction(dock.toggleViewAction())

        menu = self.menuBar().addMenu("&Help")
        _add(menu, "&Keyboard shortcuts", self._show_shortcuts, "F1")

    def _on_updated(self, changed: list[ShownPipeline]) -> None:
        new = [pipeline for pipeline in changed if pipeline.id not in self._known]
        if new:
            self._known = {pipeline.id for pipeline in self._feed.receiver.pipelines}
            self._show_numbers()
            if self._pipeline is None or not self._pipeline.is_connected:
                self.list.choose(0)
        self._numbers_throttle.request()
        if self._pipeline not in changed:
            return
        if self._pipeline.is_connected:
            self._graph_throttle.request()
            self._plot_throttle.request()
        else:
            self._show_all()
            if self._pipeline.snapshot.ended:
                self.run_shown.emit(self._pipeline)

    def _on_chosen(self, pipeline: ShownPipeline | None) -> None:
        self._pipeline = pipeline
        if pipeline is not None:
            n_steps = len(pipeline.snapshot.steps)
            self._graph_throttle.set_interval(
                max(GRAPH_INTERVAL_MS, INTERVAL_PER_STEP_MS * n_steps)
            )
        self._feed.first = None if pipeline is None else pipeline.id
        self._show_all()

    def _show_all(self) -> None:
        for throttle in (self._graph_throttle, self._numbers_throttle, self._plot_throttle):
            throttle.at_once()
        self._show_title()

    def _show_graph(self) -> None:
        self.graph.show_pipeline(self._pipeline)

    def _show_plot(self) -> None:
        self.plot.show_pipeline(self._pipeline)

    def _show_numbers(self) -> None:
        self.list.refresh()
        self.header.show_pipeline(self._pipeline)
        self.table.show_pipeline(self._pipeline)
        n = self._feed.receiver.pipelines.n_connected
        self._connected.setText(f"{n} pipeline{'' if n == 1 else 's'} connected")

    def _show_title(self) -> None:
        if self._pipeline is None:
            self.setWindowTitle(TITLE)
        else:
            self.setWindowTitle(f"{self._pipeline.name} - {TITLE}")

    def _clear_ended(self) -> None:
        self._feed.receiver.pipelines.clear_ended()
        self._known = {pipeline.id for pipeline in self._feed.receiver.pipelines}
        self._show_numbers()

    def _choose_picture(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save picture", "pipeline.png", "PNG (*.png)")
        if name and not self.save_picture(name):
            QMessageBox.warning(self, TITLE, f"{name} could not be written.")

    def _show_shortcuts(self) -> None:
        lines = [
            f"{action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)}\t"
            f"{action.text().replace('&', '')}"
            for menu in self.menuBar().findChildren(QMenu)
            for action in menu.actions()
            if not action.shortcut().isEmpty()
        ]
        box = QMessageBox(self)
        box.setWindowTitle("Keyboard shortcuts")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText("\n".join(lines))
        box.open()


def _add(menu: QMenu, text: str, call: Callable[[], object], *shortcuts: str) -> QAction:
    action = menu.addAction(text)
    action.setShortcuts([QKeySequence(shortcut) for shortcut in shortcuts])
    action.triggered.connect(lambda: call())
    return action


def _hint(address: str) -> str:
    host, _, port = address.rpartition(":")
    address_option = "" if port == DEFAULT_PORT else f" --gui_address={host}:{port}"
    return (
        f"Waiting for pipelines on {address}.\n\n"
        f"    ctapipe-pipeline --config=FILE{address_option}\n"
    )
