"""Events that did not make it, and a later run that takes just those."""

import json

import pytest

STEPS = """
import os, signal, time
from pathlib import Path

from ctapipe.pipeline import StepError

class Numbers:
    def run(self):
        stop = Path("stop").read_text() if Path("stop").exists() else ""
        for number in range(2000):
            if stop and number == 20:
                if stop == "raise":
                    raise ValueError("no more")
                os.kill(os.getpid(), signal.SIGINT)
            if stop and number > 20:
                # Until the main thread has handled it.
                time.sleep(0.001)
            yield number

class Check:
    def run(self, number):
        if number == 3 and Path("bad").exists():
            raise ValueError(number)
        if number == 17 and Path("bad").exists():
            raise StepError(self.name, "does not like 17")
        return number

class Write:
    def run(self, number):
        with open("written", "a") as file:
            file.write(f"{number}\\n")
"""


@pytest.fixture
def start(command, tmp_path, executor):
    """Runs the steps, and returns which events were written."""
    (tmp_path / "steps.py").write_text(STEPS)
    stage = {"name": "CHECK", "class": "Check", "module": "steps"}
    if executor != "sequential":
        stage["nb_thread"] = 2
    consumer = {"name": "WRITE", "class": "Write", "module": "steps", "ordered": True}
    section = {
        "executor": executor,
        "producer_conf": {"name": "NUMBERS", "class": "Numbers", "module": "steps"},
        "stagers_conf": [stage],
        "consumer_conf": consumer,
    }
    (tmp_path / "conf.json").write_text(json.dumps({"Pipeline": section}))

    def call(*arguments, returncode=0):
        written = tmp_path / "written"
        written.unlink(missing_ok=True)
        done = command("--config=conf.json", *arguments)
        assert done.returncode == returncode, done.stderr
        return [int(line) for line in written.read_text().split()] if written.exists() else []

    return call


def read(path):
    what = json.loads(path.read_text())
    return what["events"], what["onwards"]


def test_events_that_were_skipped(start, tmp_path):
    (tmp_path / "bad").touch()
    written = start("--Pipeline.on_error=skip", "--failed=failed.json")
    assert written == [number for number in range(2000) if number not in (3, 17)]
    assert read(tmp_path / "failed.json") == ([3, 17], None)
    again = start("--Pipeline.on_error=skip", "--only=failed.json", "--failed=again.json")
    assert again == []
    assert read(tmp_path / "again.json") == ([3, 17], None)
    (tmp_path / "bad").unlink()
    assert start("--only=again.json", "--failed=last.json") == [3, 17]
    assert read(tmp_path / "last.json") == ([], None)


@pytest.mark.parametrize(("how", "returncode"), [("raise", 1), ("interrupt", 130)])
def test_events_that_were_not_read(start, tmp_path, how, returncode):
    (tmp_path / "stop").write_text(how)
    first = start("--failed=failed.json", returncode=returncode)
    assert first == list(range(len(first)))
    assert 20 <= len(first) < 2000
    assert read(tmp_path / "failed.json") == ([], len(first))
    (tmp_path / "stop").unlink()
    assert start("--only=failed.json") == list(range(len(first), 2000))


def test_events_of_a_run_that_has_failed(start, tmp_path):
    (tmp_path / "bad").touch()
    first = start("--failed=failed.json", returncode=1)
    (tmp_path / "bad").unlink()
    rest = start("--only=failed.json", "--failed=last.json")
    assert set(first) | set(rest) == set(range(2000))
    # An event may have been written whose acknowledgement was under way.
    assert 3 in rest
    assert read(tmp_path / "last.json") == ([], None)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "does not exist|cannot be read"),
        ("nothing", "is no file that Pipeline.failed has written"),
        ('{"schema": 1, "events": [-1], "onwards": null}', "is no file that"),
        ('{"schema": 1, "events": 7, "onwards": null}', "is no file that"),
        ("[]", "is no file that"),
    ],
)
def test_another_file(command, start, tmp_path, text, what):
    if text is not None:
        (tmp_path / "other").write_text(text)
    done = command("--config=conf.json", "--only=other")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "other" in done.stderr
