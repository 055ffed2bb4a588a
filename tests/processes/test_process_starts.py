"""How worker processes start, and what a traceback from one shows."""

import json
import linecache
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from common_steps import collector, numbers
from worker_processes import run_processes

from ctapipe.pipeline import StepError

pytestmark = pytest.mark.usefixtures("nothing_is_left")

STEPS = """
import os, signal, sys, time
from pathlib import Path

IS_IMPORTED = Path(__file__).with_name("imported")
IN_SERVER = "ctapipe.pipeline.processes.fork_server" in str(sys.modules["__main__"].__spec__)

def wait_for_the_other():
    if IN_SERVER:
        IS_IMPORTED.touch()
    deadline = time.monotonic() + 30
    while not IS_IMPORTED.exists():
        assert time.monotonic() < deadline, "nobody else has imported it"
        os.sched_yield()

{at_import}

class Producer:
    def run(self):
        yield from range(10)

class Stage:
    def run(self, number):
        return number

class Consumer:
    def run(self, number):
        print(number, flush=True)
"""


def write_steps(tmp_path, at_import):
    (tmp_path / "steps.py").write_text(STEPS.replace("{at_import}", at_import))
    conf = {
        "executor": "processes",
        "producer_conf": {"name": "PRODUCER", "class": "Producer", "module": "steps"},
        "stagers_conf": [{"name": "STAGE", "class": "Stage", "module": "steps"}],
        "consumer_conf": {
            "name": "CONSUMER",
            "class": "Consumer",
            "module": "steps",
            "ordered": True,
        },
    }
    (tmp_path / "pipeline.json").write_text(json.dumps({"Pipeline": conf}))


def start(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )


def start_command(tmp_path, at_import, *options):
    write_steps(tmp_path, at_import)
    return start(tmp_path, "-m", "ctapipe.pipeline", "--config=pipeline.json", *options)


def test_modules_are_imported_for_the_workers_at_the_same_time(tmp_path):
    result = start_command(tmp_path, "wait_for_the_other()")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(i) for i in range(10)]


def test_a_mistake_is_reported_without_waiting_for_the_import(tmp_path):
    at_import = "if IN_SERVER: time.sleep(1000)"
    result = start_command(tmp_path, at_import, "--STAGE.unknown=1")
    assert result.returncode == 2
    assert "step 'STAGE'" in result.stderr


def test_a_module_that_only_threads_need_may_fail_for_the_workers(tmp_path):
    write_steps(tmp_path, "")
    (tmp_path / "local.py").write_text("from steps import IN_SERVER, Stage\nassert not IN_SERVER\n")
    path = tmp_path / "pipeline.json"
    configuration = json.loads(path.read_text())
    stages = configuration["Pipeline"]["stagers_conf"]
    stages.append({"name": "LOCAL", "class": "Stage", "module": "local", "executor": "threads"})
    path.write_text(json.dumps(configuration))
    result = start(tmp_path, "-m", "ctapipe.pipeline", "--config=pipeline.json")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(i) for i in range(10)]


def test_what_is_wrong_with_a_module_is_a_mistake_without_a_traceback(tmp_path):
    result = start_command(tmp_path, "raise RuntimeError('not today')")
    assert result.returncode == 2
    assert "RuntimeError: not today" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_workers_survive_an_interrupt_from_their_very_start(tmp_path):
    at_import = """
if not IN_SERVER:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # As a terminal does: all processes get it, the other one while it starts.
    os.killpg(0, signal.SIGINT)
wait_for_the_other()
"""
    write_steps(tmp_path, at_import)
    result = start(tmp_path, "-c", "from ctapipe.pipeline import run; run('pipeline.json')")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_a_module_that_starts_a_program_when_it_is_imported(tmp_path):
    at_import = """
if IN_SERVER:
    import subprocess
    subprocess.Popen([sys.executable, "-c", "pass"])
"""
    result = start_command(tmp_path, at_import)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(i) for i in range(10)]


def test_another_executor_on_the_command_line(tmp_path):
    result = start_command(tmp_path, "assert not IN_SERVER", "--executor=sequential")
    assert result.returncode == 0, result.stderr


FAILING_SCRIPT = """
import sys
from ctapipe.pipeline import run

class Numbers:
    def run(self):
        yield from range(3)

def check(number):
    assert number < 2, "too much"  # a line of the script

class Stage:
    def run(self, number):
        return [check(n) for n in [number]]  # another one

class Consumer:
    def run(self, message):
        pass

run([Numbers, Stage, Consumer], executor="processes")
"""


def test_a_traceback_from_a_process_shows_the_lines_of_a_script(tmp_path):
    script = tmp_path / "failing.py"
    script.write_text(FAILING_SCRIPT)
    result = start(tmp_path, script)
    assert result.returncode == 1
    for line, text in enumerate(FAILING_SCRIPT.splitlines(), 1):
        if "a line" in text or "another one" in text:
            # What is between them differs between versions of Python.
            where = result.stderr.partition(f'File "{script}", line {line}, in ')[2]
            assert where.splitlines()[1].strip() == text.strip()


def test_a_traceback_from_a_process_shows_the_lines_of_a_notebook(monkeypatch):
    """Which only the main process knows: its kernel keeps them for tracebacks."""
    cell = "class Stage:\n    def run(self, number):\n        return number / 0  # in a cell\n"
    entry = (len(cell), None, cell.splitlines(keepends=True), "<cell 1>")
    monkeypatch.setitem(linecache.cache, "<cell 1>", entry)
    namespace = {"__name__": "__main__"}
    exec(compile(cell, "<cell 1>", "exec"), namespace)
    with pytest.raises(StepError) as info:
        run_processes(numbers(1), namespace["Stage"], collector())
    last = traceback.extract_tb(info.value.__cause__.__traceback__)[-1]
    assert (last.filename, last.lineno) == ("<cell 1>", 3)
    assert last.line == "return number / 0  # in a cell"


def test_a_step_whose_code_has_constants_of_any_kind(tmp_path):
    """As tools leave it behind that rewrite code."""

    def double(self, number):
        return number * 2

    constants = tuple(Path(tmp_path) if c == 2 else c for c in double.__code__.co_consts)
    where = type(lambda: 0)(double.__code__.replace(co_consts=constants), {})
    stage = type("Stage", (), {"run": lambda self, number: where.__code__.co_consts})
    collect = collector()
    run_processes(numbers(1), stage, collect)
    assert collect.received == [constants]


UNREADABLE = """
import logging
from ctapipe.pipeline import run

class CannotBeLoaded:
    def __reduce__(self):
        return (int, ("no number",))

class Endless:
    def run(self):
        while True:
            yield 1

class Stage:
    def run(self, number):
        logging.getLogger("ctapipe.pipeline").warning("!", extra={"what": CannotBeLoaded()})

class Consumer:
    def run(self, message):
        pass

run([Endless, Stage, Consumer], executor="processes")
"""


def test_what_a_process_says_that_cannot_be_read_ends_the_run(tmp_path):
    (tmp_path / "unreadable.py").write_text(UNREADABLE)
    result = start(tmp_path, "unreadable.py")
    assert result.returncode == 1
    assert "RunError: worker processes can no longer be watched: " in result.stderr
    assert "no number" in result.stderr
