"""When each worker was at what, in the format of Chrome's traces."""

import itertools
import json

import pytest

N_EVENTS = 40

STEPS = f"""
import time


class Numbers:
    def run(self):
        yield from range({N_EVENTS})


class Same:
    def run(self, number):
        return number


class Slow:
    def run(self, number):
        time.sleep(0.002)
"""


def write_configuration(tmp_path, executor):
    (tmp_path / "steps.py").write_text(STEPS)
    conf = {
        "Pipeline": {
            "executor": executor,
            "gui_address": "",
            "producer_conf": {"name": "NUMBERS", "class": "Numbers", "module": "steps"},
            "stagers_conf": [
                {"name": "SAME", "class": "Same", "module": "steps", "nb_thread": 2, "prefetch": 1}
            ],
            "consumer_conf": {
                "name": "SLOW",
                "class": "Slow",
                "module": "steps",
                "queue_limit": 2,
                "prefetch": 1,
            },
        }
    }
    (tmp_path / "conf.json").write_text(json.dumps(conf))


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_trace(command, tmp_path, executor):
    write_configuration(tmp_path, executor)
    done = command("--config=conf.json", "--trace=trace.json")
    assert done.returncode == 0, done.stderr
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert list(names.values()) == ["NUMBERS", "SAME", "SLOW"]
    spans = [event for event in events if event["ph"] == "X"]
    for step in ("SAME", "SLOW"):
        jobs = [s for s in spans if names[s["pid"]] == step and s["cat"] == "job"]
        assert sorted(job["args"]["event"] for job in jobs) == list(range(N_EVENTS))
        assert all(job["name"] == f"event {job['args']['event']}" for job in jobs)
    workers = {s["tid"] for s in spans if names[s["pid"]] == "SAME"}
    assert workers == {0, 1}
    slow = [s["dur"] for s in spans if names[s["pid"]] == "SLOW"]
    assert min(slow) >= 2000
    # Somebody had to wait for the slow one.
    assert "SAME" in {names[s["pid"]] for s in spans if s["cat"] == "blocked"}
    for _, of_worker in itertools.groupby(
        sorted(spans, key=lambda s: (s["pid"], s["tid"], s["ts"], -s["dur"])),
        key=lambda s: (s["pid"], s["tid"]),
    ):
        ends = []
        for span in of_worker:
            # One is in another, or after it. The file has ns, as fractions of µs.
            while ends and ends[-1] <= span["ts"] + 0.001:
                ends.pop()
            end = span["ts"] + span["dur"]
            assert not ends or end <= ends[-1] + 0.001
            ends.append(end)


def test_mistakes(command, tmp_path):
    write_configuration(tmp_path, "sequential")
    done = command("--config=conf.json", "--trace=trace.json")
    assert done.returncode == 2
    assert "Pipeline.trace: the executor 'sequential' has no workers to trace" in done.stderr
    (tmp_path / "trace.json").write_text("mine")
    done = command("--config=conf.json", "--executor=threads", "--trace=trace.json")
    assert done.returncode != 0
    assert "trace.json exists" in done.stderr
    assert (tmp_path / "trace.json").read_text() == "mine"
