"""The window, on a real if invisible screen, with real pipelines in other processes."""

import json
import logging
import os
import subprocess
import sys

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette

from ctapipe.pipeline.gui.model import shown_pipelines
from ctapipe.pipeline.gui.model.receiver import Receiver
from ctapipe.pipeline.gui.views.feed import Feed
from ctapipe.pipeline.gui.views.palette import DARK, LIGHT, colours_of
from ctapipe.pipeline.gui.views.window import Window

WAIT_MS = 45_000

STEPS = """
import os


class Producer:
    def run(self):
        yield from range(10)
        # Until the test opens its end.
        with open("gate") as gate:
            gate.read()
        yield from range(20)


class Pass:
    def run(self, number):
        return number


class Fail:
    def run(self, number):
        if number == 15:
            raise ValueError("fifteen")
        return number


class Consumer:
    def run(self, number):
        pass
"""


class Run:
    """A pipeline in a process of its own, that waits after ten events.

    Parameters
    ----------
    directory : Path
        Where its files are.
    address : str
        The window's.
    stage : str
        The class of its stage.
    """

    def __init__(self, directory, address, stage="Pass"):
        directory.mkdir()
        self._gate = directory / "gate"
        self._summary = directory / "summary.json"
        os.mkfifo(self._gate)
        (directory / "steps.py").write_text(STEPS)
        self.name = f"{directory.name}.json"
        step = {"module": "steps"}
        configuration = {
            "producer_conf": {"name": "PRODUCER", "class": "Producer", **step},
            "stagers_conf": [{"name": "STAGE", "class": stage, "nb_thread": 3, **step}],
            "consumer_conf": {"name": "CONSUMER", "class": "Consumer", **step},
        }
        (directory / self.name).write_text(json.dumps({"Pipeline": configuration}))
        command = [sys.executable, "-m", "ctapipe.pipeline", f"--config={self.name}", "--quiet"]
        self.process = subprocess.Popen(
            [*command, f"--gui_address={address}", "--summary=summary.json"],
            cwd=directory,
            stderr=subprocess.DEVNULL,
        )

    def go_on(self):
        """Let it send the rest, and end."""
        self._gate.write_text("")
        self.process.wait(60)

    def summary(self):
        """What it says of itself."""
        return json.loads(self._summary.read_text())

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def open_window(qtbot):
    """Opens windows."""
    opened = []

    def call(port=0, settings=None):
        receiver = Receiver("127.0.0.1", port, logging.getLogger("ctapipe.window"))
        window = Window(Feed(receiver), settings)
        opened.append(window)
        qtbot.addWidget(window)
        with qtbot.waitExposed(window):
            window.show()
        return window

    yield call
    for window in opened:
        shut(window)


def shut(window):
    window.close()
    window._feed.close()
    window._feed.receiver.close()


def address_of(window):
    return window._feed.receiver.address


@pytest.fixture
def start(tmp_path):
    """Starts pipelines, and ends those that are left."""
    runs = []

    def call(window, name="run", stage="Pass"):
        runs.append(Run(tmp_path / name, address_of(window), stage))
        return runs[-1]

    yield call
    for run in runs:
        run.close()


def counts(pipeline):
    return [
        (step.name, step.received, step.done, step.failed, step.sent)
        for step in pipeline.snapshot.steps
    ]


def counts_of_summary(summary):
    return [
        (step["name"], step["received"], step["done"], step["failed"], step["sent"])
        for step in summary["steps"]
    ]


def at_the_gate(window, n=1):
    """Whether the chosen pipeline has done all that it does before it waits."""
    listed = list(window._feed.receiver.pipelines)
    return len(listed) == n and all(pipeline.snapshot.steps[-1].done == 10 for pipeline in listed)


def state(window):
    return window.pipeline and window.pipeline.state


def test_appears_works_and_finishes(qtbot, open_window, start):
    window = open_window()
    assert window.windowTitle() == "ctapipe pipelines"
    assert window.list.model().rowCount() == 0
    run = start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    window._show_all()
    assert state(window) == "running"
    assert window.windowTitle() == "run.json - ctapipe pipelines"
    assert window._connected.text() == "1 pipeline connected"
    assert window.statusBar().findChildren(type(window._connected))[0].text() == (
        f"Listening on {address_of(window)}"
    )
    assert "run.json: running" in window.header._title.text()
    places = [item.pos() for item in window.graph._items]
    shown = [item._shown.step for item in window.graph._items]
    assert [step.done for step in shown] == [10, 10, 10]
    # The producer waits at the gate, in run(); all others have nothing to do.
    assert [step.worker_states for step in shown] == [("busy",), ("idle",) * 3, ("idle",)]
    assert window.table.text().splitlines()[1].split("\t")[:6] == (
        ["PRODUCER", "producer", "1 / 1", "-", "0", "10"]
    )
    with qtbot.waitSignal(window.run_shown, timeout=WAIT_MS):
        run.go_on()
    assert state(window) == "finished"
    assert window._connected.text() == "0 pipelines connected"
    assert counts(window.pipeline) == counts_of_summary(run.summary())
    assert [item._shown.step.done for item in window.graph._items] == [30, 30, 30]
    assert [item.pos() for item in window.graph._items] == places
    times, queues = window.pipeline.history.queues()
    assert len(times) == len(queues) > 1


def test_a_failure_is_shown(qtbot, open_window, start):
    window = open_window()
    run = start(window, stage="Fail")
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    run.go_on()
    qtbot.waitUntil(lambda: state(window) == "failed", timeout=WAIT_MS)
    assert counts(window.pipeline) == counts_of_summary(run.summary())
    assert "✗ 1" in window.table.text()
    assert "failed" in window.header._title.text()


def test_one_that_vanishes_is_lost_and_can_be_cleared(qtbot, open_window, start, monkeypatch):
    window = open_window()
    run = start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    # It is not lost while it is only quiet: it says about once a second that it is there.
    run.process.kill()
    monkeypatch.setattr(shown_pipelines, "LOST_AFTER_S", 1.0)
    qtbot.waitUntil(lambda: state(window) == "lost", timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "lost" in window.header._title.text(), timeout=WAIT_MS)
    assert window._connected.text() == "0 pipelines connected"
    assert window.list.model().rowCount() == 1
    qtbot.keyClick(window, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    assert window.list.model().rowCount() == 0
    assert window.pipeline is None
    assert window.windowTitle() == "ctapipe pipelines"


def test_two_at_once(qtbot, open_window, start):
    window = open_window()
    runs = {run.name: run for run in (start(window, "one"), start(window, "two", "Fail"))}
    qtbot.waitUntil(lambda: at_the_gate(window, 2), timeout=WAIT_MS)
    window._show_all()
    assert window._connected.text() == "2 pipelines connected"
    first = window.pipeline
    names = {first.name}
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
        qtbot.keyClick(window, key, Qt.KeyboardModifier.AltModifier)
        names.add(window.pipeline.name)
    assert names == {"one.json", "two.json"}
    for run in runs.values():
        run.go_on()
    listed = list(window._feed.receiver.pipelines)
    qtbot.waitUntil(
        lambda: {pipeline.state for pipeline in listed} == {"finished", "failed"}, timeout=WAIT_MS
    )
    for pipeline in listed:
        assert counts(pipeline) == counts_of_summary(runs[pipeline.name].summary())


def test_closed_and_opened_again_while_it_runs(qtbot, open_window, start):
    window = open_window()
    run = start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    port = int(address_of(window).rpartition(":")[2])
    shut(window)
    window = open_window(port)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    run.go_on()
    qtbot.waitUntil(lambda: state(window) == "finished", timeout=WAIT_MS)
    assert counts(window.pipeline) == counts_of_summary(run.summary())


TWENTY_RUNS = """
import json
import sys

from ctapipe.pipeline import run


class Producer:
    def run(self):
        yield from range(n)


class Pass:
    def run(self, number):
        return number


class Even:
    def run(self, number):
        if number % 2 == 0:
            return number


class Consumer:
    def run(self, number):
        pass


for k in range(20):
    n = 1000 + 37 * k
    steps = [Producer, {"class": Pass, "nb_thread": 1 + k % 3}, {"class": Even}, Consumer]
    print(json.dumps(run(steps, gui_address=sys.argv[1])))
"""


def test_counts_at_the_end_are_those_of_the_summary_in_20_of_20_runs(qtbot, open_window):
    window = open_window()
    process = subprocess.Popen(
        [sys.executable, "-c", TWENTY_RUNS, address_of(window)], stdout=subprocess.PIPE, text=True
    )
    try:
        qtbot.waitUntil(lambda: process.poll() is not None, timeout=WAIT_MS)
        summaries = [json.loads(line) for line in process.stdout]
    finally:
        process.kill()
        process.communicate()
    assert len(summaries) == 20
    listed = window._feed.receiver.pipelines
    qtbot.waitUntil(
        lambda: [pipeline.state for pipeline in listed] == ["finished"] * 20, timeout=WAIT_MS
    )
    for pipeline, summary in zip(listed, summaries, strict=True):
        assert counts(pipeline) == counts_of_summary(summary)
        assert pipeline.snapshot.elapsed_s == summary["elapsed_s"]


def test_table_sorts_selects_and_is_copied(qtbot, open_window, start):
    window = open_window()
    start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    window._show_all()
    table = window.table
    table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    names = [line.split("\t")[0] for line in table.text().splitlines()]
    assert names == ["Step", "STAGE", "PRODUCER", "CONSUMER"]
    window.graph.step_chosen.emit(1)
    assert table.selected_steps() == [1]
    assert [item.isSelected() for item in window.graph._items] == [False, True, False]
    assert {curve.step for curves in window.plot._curves for curve in curves} == {1}
    qtbot.keyClick(window, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["Step", "STAGE"]
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert table.selected_steps() == []


def test_plot_can_be_paused(qtbot, open_window, start):
    window = open_window()
    run = start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    window._show_all()
    qtbot.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    before = len(window.plot._curves[1][0].getData()[0])
    run.go_on()
    qtbot.waitUntil(lambda: state(window) == "finished", timeout=WAIT_MS)
    assert len(window.plot._curves[1][0].getData()[0]) == before
    qtbot.keyClick(window, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert len(window.plot._curves[1][0].getData()[0]) > before


def test_graph_zooms_and_fits(qtbot, open_window, start):
    window = open_window()
    start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    graph = window.graph
    fitted = graph.transform()
    qtbot.keyClick(window, Qt.Key.Key_Minus, Qt.KeyboardModifier.ControlModifier)
    assert graph.transform().m11() < fitted.m11()
    qtbot.keyClick(window, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert graph.transform() == fitted
    assert graph.rect().contains(
        graph.mapFromScene(graph.scene().itemsBoundingRect()).boundingRect()
    )


def test_size_and_arrangement_are_remembered(open_window, tmp_path):
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    window = open_window(settings=settings)
    window.resize(760, 640)
    window._docks[2].hide()
    shut(window)
    window = open_window(settings=settings)
    assert (window.width(), window.height()) == (760, 640)
    assert not window._docks[2].isVisible()
    assert window._docks[1].isVisible()


def test_colours_follow_the_palette(open_window, qtbot, start):
    window = open_window()
    start(window)
    qtbot.waitUntil(lambda: at_the_gate(window), timeout=WAIT_MS)
    assert colours_of(window.palette()) is LIGHT
    window.setPalette(QPalette(QColor("#303030")))
    assert colours_of(window.graph.palette()) is DARK
    assert window.graph._items[0]._colours is DARK
    picture = window.graph.grab().toImage()
    assert picture.pixelColor(4, 4).lightness() < 80
