"""The display of the progress, on a pseudo-terminal."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from ctapipe.pipeline import Pipeline
from ctapipe.pipeline.progress.bottom_lines import BottomLines

STEPS = """
import sys
import time
from pathlib import Path

from ctapipe.core import Component


def wait_for(name):
    while not Path(name).exists():
        time.sleep(0.01)


class Numbers:
    n_messages = 40

    def run(self):
        yield from range(40)


class Unknown(Numbers):
    @property
    def n_messages(self):
        raise ValueError("not known")


class Half(Numbers):
    n_messages = None
    fraction_done = 0.5

    def run(self):
        yield from range(10)
        wait_for("go on")


class Waits(Component):
    def run(self, number):
        if number == 5:
            wait_for("go on")
        return number


class Says(Waits):
    def run(self, number):
        if number == 1:
            self.log.warning("logged\\nin two lines")
            print("printed", end=" ")
            print("to stdout")
            sys.stderr.write("written to stderr\\n")
        return super().run(number)


class Fails:
    def run(self, number):
        return 1 / (number - 3)


class End:
    def run(self, number):
        pass
"""

COMMAND = """
import fcntl, signal, termios
from ctapipe.pipeline.tool import main

# So that Ctrl-C is a signal.
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""

ESCAPE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


def as_shown(text):
    """What a terminal of any width shows in the end of what was written to it."""
    rows, row, column = [""], 0, 0
    for part in re.split(r"(\x1b\[[?\d;]*[A-Za-z]|\r\n|\r|\n)", text):
        escape = ESCAPE.fullmatch(part)
        if part == "\r":
            column = 0
        elif part in ("\n", "\r\n"):
            row, column = row + 1, 0
            rows += [""] * (row == len(rows))
        elif escape and escape[2] == "A":
            row -= int(escape[1])
            assert row >= 0
        elif escape and escape[2] == "J":
            rows[row:] = [rows[row][:column]]
        elif escape:
            assert escape[2] == "m", part
        else:
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return "\n".join(line.rstrip() for line in rows)


class Terminal:
    """A pseudo-terminal with the command on it."""

    def __init__(self, directory, *arguments, columns=100, **environment):
        self.end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # Ctrl-C is not to drop what has been written to it, and is not read yet.
        settings = termios.tcgetattr(other)
        settings[3] |= termios.NOFLSH
        termios.tcsetattr(other, termios.TCSANOW, settings)
        self.settings = termios.tcgetattr(other)
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "--config=conf.json", *arguments],
            cwd=directory,
            env={**os.environ, "TERM": "xterm", **environment},
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)

    def read(self):
        """Read on; False at the end."""
        try:
            data = os.read(self.end, 1 << 16)
        except OSError:
            return False
        # No letter is cut in two, because what is written comes in one piece, or is read again.
        self.text += data.decode(errors="replace")
        return bool(data)

    def read_until(self, pattern):
        """Read until it shows something, and return all that it shows then."""
        while not re.search(pattern, as_shown(self.text)):
            assert self.read(), self.text
        return as_shown(self.text)

    def read_to_end(self):
        while self.read():
            pass
        self.process.wait(timeout=30)
        return as_shown(self.text)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.end)


def configure(directory, producer="Numbers", stage="Waits", **options):
    (directory / "steps.py").write_text(STEPS)
    names = {"NUMBERS": producer, "STAGE": stage, "END": "End"}
    steps = [
        {"name": name, "class": step, "module": "steps", "queue_limit": 10}
        for name, step in names.items()
    ]
    del steps[0]["queue_limit"]
    # What is done is told at once.
    steps[1]["prefetch"] = 1
    pipeline = {"producer_conf": steps[0], "stagers_conf": steps[1:2], "consumer_conf": steps[2]}
    (directory / "conf.json").write_text(json.dumps({"Pipeline": {**pipeline, **options}}))


@pytest.fixture
def terminal(tmp_path):
    """Starts the command on a terminal."""
    terminals = []

    def start(*arguments, **options):
        terminals.append(Terminal(tmp_path, *arguments, **options))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_steps_and_how_far_they_are(terminal, tmp_path, executor):
    configure(tmp_path)
    shown = terminal(f"--executor={executor}")
    text = shown.read_until(r"▲ STAGE +1/1 .* \d+/10 +\d+ +0")
    assert re.search(r"^conf.json +running +0:\d\d .* \d+ / 40 events .*/s", text, re.M)
    assert re.search(r"^ +NUMBERS +1/1 +- +\d+ +0 ", text, re.M)
    assert re.search(r"^ +END +0/1 .* 0/10 +\d+ +0 ", text, re.M)
    (tmp_path / "go on").touch()
    text = shown.read_to_end()
    assert shown.process.returncode == 0
    lines = text.splitlines()
    assert len(lines) == 5
    assert re.match(r"conf.json +finished +0:\d\d +40 events ", lines[0])
    assert re.match(r" +STAGE +0/1 .* 0/10 +40 +0 ", lines[3])
    # The cursor is never hidden.
    assert "?" not in shown.text


def test_where_there_is_little_room_the_bar_is_shorter(terminal, tmp_path):
    configure(tmp_path)
    shown = terminal(columns=66)
    text = shown.read_until(r"▲ STAGE +1/1 .* [1-9]\d*/10 +\d+ +0")
    left = r"( +0:\d\d left)?"
    assert re.search(
        rf"^conf.json +running +0:\d\d .* \d+ / 40 events +[\d.]+/s{left} *$", text, re.M
    )
    (tmp_path / "go on").touch()
    shown.read_to_end()


def test_what_is_logged_and_printed_comes_above(terminal, tmp_path):
    configure(tmp_path, stage="Says")
    shown = terminal("--gui_address=")
    shown.read_until("▲ STAGE")
    (tmp_path / "go on").touch()
    lines = shown.read_to_end().splitlines()
    assert lines[0].endswith("logged")
    assert lines[1:4] == ["in two lines", "printed to stdout", "written to stderr"]
    assert lines[4].startswith("conf.json  finished")
    assert len(lines) == 9


def test_a_number_of_events_that_is_not_known(terminal, tmp_path):
    configure(tmp_path, producer="Unknown")
    shown = terminal()
    text = shown.read_until(r"▲ STAGE")
    assert re.search(r"running +0:\d\d +5 events +[\d.]+/s$", text, re.M)


def test_a_number_of_events_by_how_much_is_done(terminal, tmp_path):
    configure(tmp_path, producer="Half", stage="End")
    terminal().read_until(r"running .* 10 / 20 events .* left")


def test_ctrl_c(terminal, tmp_path):
    configure(tmp_path)
    shown = terminal()
    shown.read_until(r"▲ STAGE")
    os.write(shown.end, b"\x03")
    shown.read_until("SIGINT: no more events are read")
    (tmp_path / "go on").touch()
    text = shown.read_to_end()
    assert shown.process.returncode == 130
    assert re.search(r"^conf.json +interrupted ", text, re.M)
    assert "Traceback" not in text
    assert text.count("NUMBERS") == 1


def test_a_second_ctrl_c(terminal, tmp_path):
    configure(tmp_path)
    shown = terminal()
    shown.read_until(r"▲ STAGE")
    os.write(shown.end, b"\x03")
    shown.read_until("SIGINT: no more events are read")
    os.write(shown.end, b"\x03")
    # The job in hand has to end, too.
    (tmp_path / "go on").touch()
    text = shown.read_to_end()
    assert shown.process.returncode == 130
    assert re.search(r"^conf.json +interrupted ", text, re.M)
    assert "Traceback" not in text


def test_a_step_that_fails_is_said_below_the_table(terminal, tmp_path):
    configure(tmp_path, stage="Fails")
    shown = terminal()
    text = shown.read_to_end()
    assert shown.process.returncode == 1
    assert re.search(r"^conf.json +failed .*END.*ZeroDivisionError", text, re.M | re.S)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--no-progress"], {}),
        (["--quiet"], {}),
        (["--Pipeline.progress_bar=False"], {}),
        (["--executor=sequential"], {}),
        ([], {"TERM": "dumb"}),
    ],
)
def test_where_nothing_is_shown(terminal, tmp_path, arguments, environment):
    configure(tmp_path, stage="End")
    shown = terminal(*arguments, **environment)
    assert shown.read_to_end() == ""
    assert shown.process.returncode == 0


def test_neither_in_a_pipe_nor_in_a_log_file(tmp_path):
    configure(tmp_path, stage="End")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ctapipe.pipeline",
            "--config=conf.json",
            "--progress",
            "--log-file=run.log",
        ],
        cwd=tmp_path,
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "\x1b" not in (tmp_path / "run.log").read_text()


def test_more_steps_than_lines(terminal, tmp_path):
    configure(tmp_path)
    path = tmp_path / "conf.json"
    content = json.loads(path.read_text())
    (first,) = content["Pipeline"]["stagers_conf"]
    more = [{"name": f"S{i}", "class": "Waits", "module": "steps"} for i in range(30)]
    content["Pipeline"]["stagers_conf"] = [first, *more]
    path.write_text(json.dumps(content))
    shown = terminal()
    text = shown.read_until(r"▲ STAGE")
    assert text.splitlines()[-1] == "... and 13 more steps"
    assert len(text.splitlines()) == 23
    (tmp_path / "go on").touch()
    assert len(shown.read_to_end().splitlines()) == 35


def test_a_terminal_that_becomes_narrower(monkeypatch):
    end, other = pty.openpty()
    with os.fdopen(end, "rb", 0) as written, os.fdopen(other, "w") as terminal:
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with BottomLines(terminal) as lines:
            lines.show(["\x1b[1m" + 60 * "x" + "\x1b[0m", "y"])
            written.read(1000)
            fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
            lines.show(["z"])
            # The terminal has broken the first line in two.
            assert written.read(1000) == b"\r\x1b[2A\x1b[Jz"


def test_a_terminal_that_is_gone(tmp_path, monkeypatch):
    """Its thread ends, and the run goes on: the fixture for all tests looks for threads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    configure(tmp_path)
    (tmp_path / "go on").touch()
    end, other = pty.openpty()
    with open(other, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        tool = Pipeline()
        os.close(end)
        with pytest.raises(SystemExit, match="0"):
            tool.run(["--config=conf.json"])
        assert sys.stderr is terminal
        monkeypatch.undo()
    sys.modules.pop("steps", None)
