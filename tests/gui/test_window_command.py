"""The command ``ctapipe-guipipe``, as a user types it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from common_steps import Consumer, Pass, numbers
from PySide6.QtGui import QImage

from ctapipe.pipeline import run
from ctapipe.pipeline.gui.model.receiver import Receiver

COMMAND = [sys.executable, "-m", "ctapipe.pipeline.gui"]


def call(*arguments, **environment):
    """Call it, and return its exit code and what it says."""
    process = subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return process.returncode, process.stdout


@pytest.fixture
def listening(tmp_path):
    """Opens the window in another process, and says where it listens."""
    processes = []

    def call(*arguments):
        process = subprocess.Popen(
            [*COMMAND, "--port=0", "--log-level=INFO", *arguments],
            cwd=tmp_path,
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        for line in process.stderr:
            if "listening on" in line:
                return process, line.split()[-1]
        raise AssertionError("it does not listen")

    yield call
    for process in processes:
        process.kill()
        process.communicate()


def test_screenshot_of_the_first_run_that_ends(listening, tmp_path):
    process, address = listening("--screenshot=run.png")
    run([numbers(7), Pass, Consumer], gui_address=address)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    picture = QImage(str(tmp_path / "run.png"))
    assert picture.width() > 1000
    # Nothing else is written: no provenance of data that there is none of.
    assert [path.name for path in tmp_path.iterdir()] == ["run.png"]


def test_screenshot_without_a_screen(listening, tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    process, address = listening("--screenshot=run.png")
    run([numbers(7), Pass, Consumer], gui_address=address)
    process.communicate(timeout=60)
    assert (tmp_path / "run.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_close_the_window(listening, number):
    process, _ = listening()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_it_gives_way_to_pipelines(listening):
    process, _ = listening()
    assert psutil.Process(process.pid).nice() > psutil.Process().nice()


def test_port_in_use(caplog):
    with Receiver("127.0.0.1", 0, None) as receiver:
        port = int(receiver.address.rpartition(":")[2])
        code, printed = call(f"--port={port}")
    assert code == 2
    assert f"port {port} is in use" in printed
    assert f"--PipeGui.port={port + 1}" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("PySide6", "needs PySide6: pip install 'ctapipe-pipeline[gui]'"),
        ("pyqtgraph", "needs pyqtgraph: pip install 'ctapipe-pipeline[gui]'"),
    ],
)
def test_without_what_it_needs(module, said):
    blocked = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {module!r}:\n"
        "            raise ModuleNotFoundError(name=name.split('.')[0])\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from ctapipe.pipeline.gui.tool import main\n"
        "main()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 2
    assert said in process.stderr
    assert "Traceback" not in process.stderr


def test_without_a_screen():
    code, printed = call("--port=0", DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert code == 2
    assert "there is no screen" in printed


def test_with_a_screen_that_nobody_can_reach():
    code, printed = call("--port=0", DISPLAY=":99", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="xcb")
    assert code == 2
    # What else Qt says depends on the libraries of the system.
    assert "there is no screen to show a window on (" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--PipeGui.host=no.such.host.invalid", "cannot listen on 'no.such.host.invalid'"),
        ("--PipeGui.server_key_file=missing", "missing"),
        ("--screenshot=nowhere/run.png", "PipeGui.screenshot: there is no directory"),
        ("--PipeGui.port=70000", "70000"),
        ("--prot=5566", "did you mean 'port'?"),
    ],
)
def test_mistakes(argument, said):
    code, printed = call(argument)
    assert code == 2
    assert said in printed
    assert "Traceback" not in printed


def test_help():
    code, printed = call("--help-all")
    assert code == 0
    for option in ("port", "host", "server_key_file", "screenshot"):
        assert f"--PipeGui.{option}" in printed
