"""What the tests share."""

import importlib
import io
import os
import platform
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata

import pytest
from checkout import EXAMPLES, ROOT
from ctapipe.core import Provenance

from ctapipe.pipeline import Pipeline

TESTS_OF_THE_WINDOW = ROOT / "tests" / "gui"
# Without a screen, and the same everywhere.
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["PYTEST_QT_API"] = "pyside6"
try:
    importlib.import_module("PySide6.QtWidgets")
except ImportError as error:
    if os.environ.get("CI"):
        raise
    # pytest-qt would stop everything.
    NO_QT = f"the window cannot be tested: {error}"
    pytest_plugins = ["event_files", "commands"]
else:
    NO_QT = ""
    pytest_plugins = ["event_files", "commands", "pytestqt.plugin"]


def pytest_addoption(parser):
    parser.addoption(
        "--full", action="store_true", help="also the tests of whole files, which take minutes"
    )


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="only with --full"))


def pytest_ignore_collect(collection_path):
    """The tests of the window, where there can be none."""
    return True if NO_QT and collection_path.is_relative_to(TESTS_OF_THE_WINDOW) else None


def pytest_report_header():
    """Say that they are left out."""
    return NO_QT or None


@pytest.fixture(scope="session", autouse=True)
def versions_in_report(record_testsuite_property):
    """What docs/make_compatibility.py has to know of a run."""
    record_testsuite_property("Python", platform.python_version())
    for package in ("ctapipe", "NumPy", "pyzmq"):
        record_testsuite_property(package, metadata.version(package))
    record_testsuite_property("System", f"{platform.system()} {platform.machine()}")


@pytest.fixture
def examples():
    """The directory with the example configurations."""
    return EXAMPLES


@pytest.fixture(params=["threads", "processes", "sequential"])
def executor(request):
    """Every executor."""
    return request.param


@pytest.fixture(params=["threads", "sequential"])
def executor_here(request):
    """Those whose stages a test can look into; and that do not take back what a job sent."""
    return request.param


@pytest.fixture(autouse=True)
def no_thread_left():
    """No test leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Calls ``ctapipe-pipeline`` in an empty directory, and returns what came of it."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        Provenance().clear()
        with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()) as stderr:
            try:
                Pipeline().run([str(argument) for argument in arguments])
            except SystemExit as end:
                returncode = end.code
        return subprocess.CompletedProcess(
            arguments, returncode, stdout.getvalue(), stderr.getvalue()
        )

    yield call
    # Other tests have modules of this name, too.
    sys.modules.pop("steps", None)
