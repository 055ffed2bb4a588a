"""``--dry-run``: what would be run, without a run."""

import json
import re
import subprocess
import sys

import pytest

from ctapipe.pipeline import running

STEPS = '''
from pathlib import Path

from ctapipe.core import Component, ToolConfigurationError
from ctapipe.core.traits import Int, List, Unicode


class Lines(Component):
    """The lines of a file."""

    filename = Unicode("lines.txt").tag(config=True)
    skip = Int(0).tag(config=True)

    def init(self):
        if not Path(self.filename).exists():
            raise ToolConfigurationError(f"there is no file {self.filename!r}")
        self.lines = Path(self.filename).read_text().splitlines()[self.skip :]
        self.n_messages = len(self.lines)

    def run(self):
        raise AssertionError

    def finish(self):
        self.lines = None


class Breaks(Lines):
    def init(self):
        raise OSError("broken")


class Offset(Component):
    value = Int(0).tag(config=True)


class Base(Component):
    inherited = Int(1).tag(config=True)

    def __init__(self, **options):
        raise AssertionError("is made")


class Stage(Base):
    numbers = List(Int(), default_value=[1]).tag(config=True)

    def run(self, line):
        return line


class Plain:
    def __init__(self):
        raise AssertionError("is made")

    def run(self, line):
        pass
'''


def step(name, step_class, **keys):
    return {"name": name, "class": step_class, "module": "steps", **keys}


PIPELINE = {
    "producer_conf": step("LINES", "Lines", next_steps="ONE,TWO"),
    "stagers_conf": [
        step("ONE", "Stage", nb_thread=3, queue_limit=7, next_steps="LAST"),
        step("TWO", "Stage", executor="processes", nb_process=2, next_steps="CHAINED"),
        step("CHAINED", "Stage", chained=True, next_steps="LAST"),
    ],
    "consumer_conf": step("LAST", "Plain", ordered=True),
}
FIRST = {"Pipeline": PIPELINE, "Stage": {"inherited": 2}, "ONE": {"Offset": {"value": 5}}}
SECOND = {"Pipeline": {"on_error": "skip"}, "TWO": {"inherited": 3}, "Base": {"inherited": 9}}
SHOWN = """\
LINES: Lines, producer, 1 thread, 2 messages
│     filename = 'lines.txt'  (default)
│     skip = 1                (command line)
├─ ONE: Stage, stage, 3 threads, queue_limit 7
│  │     inherited = 2     (first.json)
│  │     numbers = [4, 5]  (command line)
│  │     Offset.value = 5  (first.json)
│  └─ LAST: Plain, consumer, 1 thread, queue_limit 100, ordered
└─ TWO: Stage, stage, 2 processes, queue_limit 100
   │     inherited = 3  (second.json)
   │     numbers = [1]  (default)
   └─ CHAINED: Stage, stage, in the workers of TWO
      │     inherited = 2  (first.json)
      │     numbers = [1]  (default)
      └─ LAST (above)

Also set:
      Pipeline.on_error = 'skip'  (second.json)
      Base.inherited = 9          (second.json)
      Pipeline.summary = 's.json'  (command line)
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "lines.txt").write_text("a\nb\nc\n")
    (tmp_path / "first.json").write_text(json.dumps(FIRST))
    (tmp_path / "second.json").write_text(json.dumps(SECOND))

    def refuse(modules):
        raise AssertionError("a process is started")

    monkeypatch.setattr(running, "ForkServerClient", refuse)


def contents(directory):
    return {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.is_file()}


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_graph_and_where_options_come_from(command, tmp_path):
    before = contents(tmp_path)
    done = command(
        *("--config=first.json", "--config=second.json", "--dry-run", "--summary=s.json"),
        *("--Lines.skip=1", "--ONE.numbers=4", "--ONE.numbers=5", "--log-file=run.log"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line for line in squeezed(done.stdout) if "log_file" not in line]
    assert shown == squeezed(SHOWN)
    assert contents(tmp_path) == before


def test_the_sequential_executor(command):
    done = command("--config=first.json", "--dry-run", "--executor=sequential")
    assert "ONE: Stage, stage, in the main thread\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--Lines.filename=no.txt"], "step 'LINES': there is no file 'no.txt'"),
        (["--Stage.inherited=x"], "option 'inherited'"),
        (["--summary=nowhere/s.json"], "Pipeline.summary: there is no directory"),
        (["--summary=lines.txt"], "lines.txt exists"),
        (["--only=steps.py"], "is no file that Pipeline.failed has written"),
        (["--log-file=nowhere/run.log"], "nowhere/run.log': No such file"),
    ],
)
def test_a_mistake_is_said_as_in_a_run(command, tmp_path, monkeypatch, arguments, message):
    conf = {"Pipeline": {**PIPELINE, "consumer_conf": step("LAST", "Offset")}}
    (tmp_path / "wrong.json").write_text(json.dumps(conf))
    (tmp_path / "steps.py").write_text(STEPS.replace("raise AssertionError", "return # ") + RUN)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    real = command("--config=wrong.json", *arguments)
    dry = command("--config=wrong.json", "--dry-run", *arguments)
    assert real.returncode == dry.returncode == 2
    assert message in dry.stderr
    assert dry.stdout == ""
    times = re.compile(r"^[\d-]+ [\d:,]+ ", re.M)
    assert times.sub("", dry.stderr) == times.sub("", real.stderr)


RUN = "\n\nOffset.run = Plain.run\n"


def test_an_input_that_breaks(command, tmp_path):
    conf = {
        "Pipeline": {**PIPELINE, "producer_conf": step("LINES", "Breaks", next_steps="ONE,TWO")}
    }
    (tmp_path / "breaks.json").write_text(json.dumps(conf))
    done = command("--config=breaks.json", "--dry-run")
    assert done.returncode == 1
    assert "step 'LINES' raised OSError in init()" in done.stderr
    assert done.stdout == ""


def test_of_which_only_the_first_line_is_read(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "ctapipe.pipeline", "--config=first.json", "--dry-run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
