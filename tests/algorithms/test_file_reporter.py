"""The report says what became of each file, at every moment."""

import logging
import os
import re

import pytest
from astropy.table import Table
from ctapipe.core import Component, ToolConfigurationError
from files_done import run_files, run_killed

from ctapipe.pipeline import ConfigurationError, StepError
from ctapipe.pipeline.algorithms.file_reporter import FileReporter

FAILED = {"state": "failed", "n_events": None, "error": 'it is\nempty, or "damaged"'}
REPORT = "report.ecsv"


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def states():
    """The state of each file, in the order of the report."""
    table = Table.read(REPORT)
    assert len(set(table["input"])) == len(table)
    return dict(zip(table["input"], table["state"], strict=True))


def test_a_row_for_each_file(executor_here, caplog):
    with caplog.at_level(logging.INFO, "ctapipe.pipeline"):
        run_files(FileReporter, ["b", "a"], {"b": FAILED}, executor_here)
    bad, good = Table.read(REPORT)
    assert [*bad.columns] == [
        *("input", "output", "state", "events", "seconds", "peak_memory"),
        *("warnings", "last_warnings", "error"),
    ]
    assert tuple(good)[:3] == ("a", "a", "done")
    assert (good["events"], good["seconds"], good["warnings"]) == (3, 1.5, 1)
    table = Table.read(REPORT)
    assert (str(table["seconds"].unit), str(table["peak_memory"].unit)) == ("s", "Mbyte")
    assert bad["state"] == "failed"
    assert table["events"].mask.tolist() == [True, False]
    assert bad["error"] == 'it is empty, or "damaged"'
    assert "step 'LAST' b: it is" in caplog.text
    assert "1 done, 0 skipped, 1 failed, 0 without a result: see " in caplog.text


def test_a_failed_file_is_an_error():
    with pytest.raises(StepError, match="step 'LAST' a: it is"):
        run_files(FileReporter, ["a", "b"], {"a": FAILED}, on_error="stop")
    assert states() == {"a": "failed", "b": "missing"}


def test_files_without_a_result():
    run_files(FileReporter, ["a", "b", "c"], {"b": "lost"})
    table = Table.read(REPORT)
    assert [*table["state"]] == ["done", "missing", "done"]
    assert "no result came" in table["error"][1]


def test_started_again():
    names = ["a", "b", "c"]
    run_files(FileReporter, ["0", *names], {"a": {"n_events": 7}, "b": FAILED, "c": "lost"})
    assert states() == {"0": "done", "a": "done", "b": "failed", "c": "missing"}
    run_files(FileReporter, [*names, "d"], {"a": {"state": "skipped", "seconds": 0.0}})
    assert states() == dict.fromkeys(["0", *names, "d"], "done")
    table = Table.read(REPORT)
    assert (table["events"][1], table["seconds"][1]) == (7, 1.5)


def test_made_again():
    run_files(FileReporter, ["a", "b"], {"a": {"n_events": 7}})
    run_files(FileReporter, ["a", "b"], {"a": {"n_events": 8}, "b": FAILED})
    assert states() == {"a": "done", "b": "failed"}
    assert Table.read(REPORT)["events"][0] == 8


def test_killed_and_started_again():
    names = ["a", "b", "c", "d"]
    run_killed(FileReporter, {"names": names, "results": {"b": FAILED, "c": "killed"}})
    assert states() == {"a": "done", "b": "failed"}
    skipped = {"a": {"state": "skipped", "seconds": 0.0}}
    run_killed(FileReporter, {"names": names, "results": {**skipped, "b": "killed"}})
    assert states() == {"a": "done"}
    run_files(FileReporter, names, skipped)
    assert states() == dict.fromkeys(names, "done")
    assert Table.read(REPORT)["seconds"][0] == 1.5
    assert os.listdir() == [REPORT]


class NoStart(Component):
    """A stage that cannot begin."""

    def init(self):
        raise ToolConfigurationError("no")

    def run(self, result):
        raise AssertionError


def test_a_run_that_does_not_begin_leaves_it_as_it_is(executor_here):
    run_files(FileReporter, ["a"], {"a": FAILED})
    with open(REPORT) as file:
        before = file.read()
    stage = {"name": "NO", "class": NoStart}
    with pytest.raises(ConfigurationError, match="step 'NO': no"):
        run_files(FileReporter, ["a", "b"], executor=executor_here, stages=[stage])
    with open(REPORT) as file:
        assert file.read() == before
    os.unlink(REPORT)
    with pytest.raises(ConfigurationError):
        run_files(FileReporter, ["a", "b"], executor=executor_here, stages=[stage])
    assert os.listdir() == []


def test_a_row_that_was_being_written():
    run_files(FileReporter, ["a", "b"])
    os.truncate(REPORT, os.stat(REPORT).st_size - 3)
    run_files(FileReporter, ["c"])
    assert states() == {"a": "done", "c": "done"}


def test_names_of_any_bytes():
    names = ["a,b", 'a "quoted" one', "two\nlines", os.fsdecode(b"\xff"), "é"]
    for _ in range(2):
        run_files(FileReporter, names)
        assert [*states()] == ["a,b", 'a "quoted" one', "two\\nlines", "\\udcff", "é"]


@pytest.mark.parametrize("content", [b"", b"# %ECSV 1.0\nmine\n", b"\xff\x00"])
def test_a_file_of_somebody_else_stays(content, tmp_path):
    other = tmp_path / "mine.txt"
    other.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(f"'{other}' exists and is no report")):
        run_files(FileReporter, ["a"], FileReporter={"filename": str(other)})
    assert other.read_bytes() == content


def test_no_such_directory():
    with pytest.raises(ConfigurationError, match="cannot write '.*/none/report.ecsv'"):
        run_files(FileReporter, ["a"], FileReporter={"filename": "none/report.ecsv"})
