"""What a window makes of snapshots, before it draws anything."""

import ast
import itertools
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from window_snapshots import snapshot

from ctapipe.pipeline import gui, status
from ctapipe.pipeline.gui import model, views
from ctapipe.pipeline.gui.model.history import SIZE, History
from ctapipe.pipeline.gui.model.layout import lay_out
from ctapipe.pipeline.gui.model.shown_pipelines import ShownPipelines
from ctapipe.pipeline.status import wording
from ctapipe.pipeline.status.snapshot import read_snapshot


def read(**options):
    return read_snapshot(json.dumps(snapshot(**options)).encode())


def read_with_queues(queues, elapsed_s, **of_steps):
    content = snapshot(n_steps=len(queues), elapsed_s=elapsed_s)
    for i, (step, queue) in enumerate(zip(content["steps"], queues, strict=True)):
        step["queue"] = queue
        step.update({key: values[i] for key, values in of_steps.items()})
    return read_snapshot(json.dumps(content).encode())


def test_history_reaches_back_to_the_begin_however_long_it_is():
    history = History(2)
    for k in range(20 * SIZE):
        history.add(k * 0.3, [k, 2 * k], [k % 7, 0], last=False)
    history.add(6000 * SIZE, [1, 2], [5, 5], last=True)
    times, queues = history.queues()
    assert times[0] == 0
    assert times[-1] == 6000 * SIZE
    assert SIZE / 2 <= len(times) == len(queues) <= SIZE
    times, rates = history.throughput()
    assert rates[:-1] == pytest.approx(np.array([[1 / 0.3, 2 / 0.3]]).repeat(len(times) - 1, 0))


def test_rate_is_of_late_and_of_the_whole_run_at_the_end():
    pipelines = ShownPipelines()
    for k in range(101):
        # Ten per second, and a hundred in the last two.
        done = 10 * k // 10 if k <= 80 else 80 + 10 * (k - 80)
        pipeline = pipelines.update(read(done=done, elapsed_s=k / 10), k / 10)
    assert pipeline.rates() == pytest.approx([100] * 3, rel=0.06)
    pipeline = pipelines.update(read(done=300, elapsed_s=10.0, state="finished"), 10)
    assert pipeline.rates() == [30] * 3


def test_snapshots_out_of_order_are_left_out():
    pipelines = ShownPipelines()
    pipelines.update(read(done=5, elapsed_s=5), 0)
    pipelines.update(read(done=4, elapsed_s=4), 0)
    pipeline = pipelines.update(read(done=6, elapsed_s=6, state="finished"), 0)
    pipelines.update(read(done=6, elapsed_s=6), 0)
    assert pipeline.state == "finished"
    assert pipeline.snapshot.steps[0].done == 6


def test_lost_when_silent_and_found_again():
    pipelines = ShownPipelines()
    pipeline = pipelines.update(read(elapsed_s=1), 0)
    assert not pipelines.find_lost(4)
    assert pipelines.find_lost(6) == [pipeline]
    assert (pipeline.state, pipelines.n_connected) == ("lost", 0)
    pipelines.update(read(elapsed_s=9), 8)
    assert (pipeline.state, pipelines.n_connected) == ("running", 1)


@pytest.mark.parametrize(
    ("queues", "chained", "expected"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), []),
        ((0, 10, 8, 0), (0, 0, 0, 0), [2]),
        ((0, 10, 0, 0), (0, 0, 0, 0), [1]),
        ((0, 10, 10, 10), (0, 0, 0, 0), [3]),
        ((0, 10, 0, 9), (0, 0, 1, 0), [3]),
        ((0, 3, 0, 0), (0, 0, 0, 0), []),
    ],
)
def test_bottleneck(queues, chained, expected):
    pipelines = ShownPipelines()
    for k in range(100):
        current = read_with_queues(queues, k / 10, chained=list(map(bool, chained)))
        pipeline = pipelines.update(current, k / 10)
    assert pipeline.bottlenecks() == expected


def chain(n):
    return [[i + 1] for i in range(n - 1)] + [[]]


def branches(n, length):
    """A splitter, branches, and where they come together."""
    first = [2 + length * k for k in range(n)]
    end = 2 + n * length
    inner = [[start + i + 1] if i + 1 < length else [end] for start in first for i in range(length)]
    return [[1], first, *inner, [end + 1], []]


@pytest.mark.parametrize(
    "next_steps",
    [
        chain(3),
        chain(7),
        chain(40),
        branches(4, 9),
        branches(9, 4),
        [[1], [2, 1], [1, 3], []],
        [[1, 2, 3], [2, 3], [3], []],
        [[0], [1], []],
        [[(i * 7 + 3) % 40, (i * 11 + 5) % 40] for i in range(40)],
    ],
    ids=str,
)
def test_layout_has_no_step_on_another(next_steps):
    width, heights = 300.0, [70.0 + 40 * (i % 5 == 0) for i in range(len(next_steps))]
    layout = lay_out(next_steps, width, heights)
    boxes = list(zip(layout.positions, heights, strict=True))
    for ((x, y), height), ((other_x, other_y), other_height) in itertools.combinations(boxes, 2):
        assert abs(x - other_x) >= width or abs(y - other_y) >= (height + other_height) / 2
    links = {(link.source, link.target) for link in layout.links}
    assert links == {(i, j) for i, following in enumerate(next_steps) for j in following}
    for link in layout.links:
        x, y = layout.positions[link.source]
        assert link.points[0] == (x + width, y)
        assert link.points[-1] == layout.positions[link.target]
    assert lay_out(next_steps, width, heights) == layout


def test_layout_goes_from_left_to_right():
    # Two stages beside each other, between the producer and the consumer.
    positions = lay_out([[1, 2], [3], [3], []], 300, [70] * 4).positions
    assert positions[0][0] < positions[1][0] == positions[2][0] < positions[3][0]
    assert positions[1][1] != positions[2][1]


def test_wording():
    assert wording.count(1234567).replace(wording.SPACE, " ") == "1 234 567"
    assert [wording.rate(value) for value in (0, 0.123, 12.34, 999.6)] == [
        *("0", "0.12", "12.3"),
        f"1{wording.SPACE}000",
    ]
    assert [wording.duration(value) for value in (float("nan"), 2e-7, 0.00123, 0.99999, 75)] == [
        *("-", "0.20 µs", "1.23 ms", "1.00 s", "75.0 s")
    ]
    assert [wording.elapsed(value) for value in (0.9, 61, 3661)] == ["0:00", "1:01", "1:01:01"]


# ---------------------------------------------------------------- what knows what


def modules_of(package):
    return [info.name for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


def of_the_package(module):
    """The modules of the package that one of them imports, anywhere in it."""
    path = Path(pkgutil.resolve_name(module).__file__)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            name = ".".join([*parents, *([node.module] if node.module else [])])
            yield from [name] if node.module else [f"{name}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def printed_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_neither_what_is_shown_nor_the_status_needs_qt():
    names = [*modules_of(model), *modules_of(status)]
    assert len(names) > 7
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    code += "print([name for name in sys.modules if name.startswith('PySide6')])"
    assert printed_by(code) == "[]\n"


def test_the_format_of_a_snapshot_needs_nothing_of_the_package():
    path = pkgutil.resolve_name(f"{status.__name__}.snapshot").__file__
    code = f"import runpy, sys\nkeys = runpy.run_path({path!r})\nassert 'read_snapshot' in keys\n"
    code += "print([name for name in sys.modules if name.startswith('ctapipe')])"
    assert printed_by(code) == "[]\n"


def test_a_window_knows_of_a_pipeline_only_its_status():
    package = "ctapipe.pipeline"
    of_status = ("status", "status.recent", "status.snapshot")
    allowed = {f"{package}.errors", *(f"{package}.{module}" for module in of_status)}
    names = [*modules_of(model), *modules_of(views)]
    imported = {name for module in names for name in of_the_package(module)}
    ours = {name for name in imported if name.startswith("ctapipe.")}
    assert allowed <= ours
    assert {name for name in ours - allowed if not name.startswith(f"{gui.__name__}.")} == set()
