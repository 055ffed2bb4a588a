"""Worker processes: the same pipelines, processes that die, and what is left of them."""

import json
import linecache
import logging
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
from pathlib import Path

import numpy as np
import psutil
import pytest
from common_steps import collector, numbers

from ctapipe.pipeline import ConfigurationError, StepError, run

N = 2000


class Square:
    def run(self, number):
        return number**2


def run_processes(*steps, **options):
    return run(
        {
            "Pipeline": {
                "executor": "processes",
                "producer_conf": {"name": "Producer", "class": steps[0]},
                "stagers_conf": [
                    {"name": f"Stage{i}", **(step if isinstance(step, dict) else {"class": step})}
                    for i, step in enumerate(steps[1:-1])
                ],
                "consumer_conf": {"name": "Consumer", "class": steps[-1], "ordered": True},
                **options,
            }
        }
    )


def is_alive(pid):
    # Where nobody reaps orphans, they stay as zombies.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(pid):
    deadline = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline
        os.sched_yield()


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch, tmp_path_factory):
    """A temporary directory, with a name that is short enough for sockets, stays empty."""
    # Made now, where it belongs.
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield
        assert not os.listdir(directory)
    # What other programs have there has other names.
    assert not [name for name in os.listdir("/dev/shm") if "ctapipe" in name]


def test_every_message_once_in_processes_of_their_own():
    class Where:
        def run(self, number):
            return number, os.getpid()

    collect = collector()
    summary = run_processes(numbers(N), {"class": Where, "nb_process": 2}, collect)
    assert [number for number, _ in collect.received] == list(range(N))
    pids = {pid for _, pid in collect.received}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert summary["events"] == {"sent": N, "finished": N}
    assert [step["done"] for step in summary["steps"]] == [N, N, N]


def test_workers_give_way_to_the_main_process():
    collect = collector()

    class Niceness:
        def run(self, number):
            return os.nice(0)

    run_processes(numbers(1), Niceness, collect)
    assert collect.received[0] > os.nice(0)


def test_both_kinds_of_workers_in_one_pipeline():
    class Tag:
        def run(self, message):
            number, pids = message
            return number, (*pids, os.getpid())

    producer = type("P", (), {"run": lambda self: iter([(i, ()) for i in range(200)])})
    collect = collector()
    run(
        [
            producer,
            {"class": Tag, "name": "A", "executor": "processes", "nb_thread": 2},
            {"class": Tag, "name": "B", "nb_thread": 2},
            {"class": Tag, "name": "C", "executor": "processes"},
            {"class": collect, "ordered": True},
        ]
    )
    assert [number for number, _ in collect.received] == list(range(200))
    for _, (first, second, third) in collect.received:
        assert second == os.getpid()
        assert len({first, second, third}) == 3


@pytest.mark.parametrize("memory_mb", [1, 64])
@pytest.mark.parametrize("size", [10, 2000, 50_000, 200_000])
def test_arrays_arrive_as_they_were_and_can_be_kept_and_changed(size, memory_mb):
    """In shared memory, and where there is no room in it."""
    n = 20

    class Arrays:
        def run(self):
            for i in range(n):
                yield np.full(size, i, dtype=np.int64)

    class Negative:
        def init(self):
            self.kept = []

        def run(self, array):
            array *= -1
            self.kept.append(array)
            for i, kept in enumerate(self.kept):
                assert (kept == kept[0]).all(), i
            return array

    collect = collector()
    run_processes(Arrays, Negative, collect, shared_memory_mb=memory_mb)
    for i, array in enumerate(collect.received):
        assert array.flags.writeable
        np.testing.assert_array_equal(array, np.full(size, -i))
        array += 1
    for i, array in enumerate(collect.received):
        np.testing.assert_array_equal(array, np.full(size, -i + 1))


def test_chained_stages_in_a_process():
    class Add:
        def run(self, message):
            return (*message, os.getpid())

    producer = type("P", (), {"run": lambda self: iter([(i,) for i in range(100)])})
    collect = collector()
    summary = run_processes(
        producer,
        {"class": Add, "name": "A", "nb_thread": 2},
        {"class": Add, "name": "B", "chained": True},
        collect,
    )
    assert [message[0] for message in collect.received] == list(range(100))
    assert all(first == second for _, first, second in collect.received)
    assert [step["done"] for step in summary["steps"]] == [100] * 4
    assert [step["received"] for step in summary["steps"][1:]] == [100] * 3


class BadNumber(Exception):
    def __init__(self, number, why):
        super().__init__(f"{number}: {why}")


@pytest.mark.parametrize("kind", [ValueError, BadNumber])
def test_what_a_step_raises_comes_with_its_traceback(kind):
    class Fails:
        def run(self, number):
            if number == 7:
                raise kind(number, "odd")
            return number

    with pytest.raises(StepError, match=r"step 'Stage0' raised .* in run\(\) on event 7") as info:
        run_processes(numbers(N), Fails, collector())
    assert str(kind(7, "odd")) in str(info.value.__cause__)
    frames = []
    trace = info.value.__cause__.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] == "run"


@pytest.mark.parametrize("call", ["init", "finish"])
def test_what_init_and_finish_raise(call):
    def fail(self):
        raise OSError("no disk")

    stage = type("Stage", (Square,), {call: fail})
    with pytest.raises(StepError, match=rf"step 'Stage0' raised OSError in {call}\(\)"):
        run_processes(numbers(10), {"class": stage, "nb_process": 2}, collector())


def test_a_class_that_cannot_be_made_in_a_process():
    lock = __import__("threading").Lock()
    stage = type("Stage", (), {"run": lambda self, number: lock})
    with pytest.raises(ConfigurationError, match="cannot be sent to a worker process"):
        run_processes(numbers(N), stage, collector())


def test_what_is_logged_and_printed_arrives(caplog, capfd):
    class Talks:
        def run(self, number):
            logging.getLogger("ctapipe.pipeline").warning("number %d", number)
            print("printed", number)
            return number

    run_processes(numbers(2), Talks, collector())
    assert [r.getMessage() for r in caplog.records if "number" in r.getMessage()] == [
        "number 0",
        "number 1",
    ]
    assert capfd.readouterr().out == "printed 0\nprinted 1\n"


# ------------------------------------------------------------ processes that die


def kills_itself(directory, when):
    """A stage whose process dies with some numbers, each once."""

    class Dies:
        def run(self, number):
            marker = Path(directory) / str(number)
            if when(number) and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield number
            yield -number

    return Dies


@pytest.mark.parametrize("limit", [1, 100])
def test_messages_of_a_dead_process_go_to_another_one(tmp_path, caplog, limit):
    collect = collector()
    dies = kills_itself(tmp_path, lambda number: number % 250 == 100)
    summary = run_processes(
        numbers(N),
        {"class": dies, "nb_process": 2, "queue_limit": limit},
        {"class": Square, "nb_process": 2},
        collect,
    )
    assert collect.received == [number**2 for number in range(N) for _ in range(2)]
    assert summary["events"] == {"sent": N, "finished": N}
    assert [step["done"] for step in summary["steps"]] == [N, N, 2 * N, 2 * N]
    deaths = [r for r in caplog.records if "was killed by SIGKILL" in r.getMessage()]
    assert len(deaths) == 8


def test_what_a_dead_process_had_changed_does_not_reach_the_next(tmp_path):
    class Arrays:
        def run(self):
            for i in range(50):
                yield np.full(100_000, i)

    class ChangesAndDies:
        def run(self, array):
            number = int(array[0])
            array += 1
            marker = Path(tmp_path) / str(number)
            if number % 10 == 5 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return array

    collect = collector()
    run_processes(Arrays, {"class": ChangesAndDies, "nb_process": 2}, collect)
    for i, array in enumerate(collect.received):
        np.testing.assert_array_equal(array, np.full(100_000, i + 1))


class Poison:
    def run(self, number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number


@pytest.mark.parametrize("retries", [0, 2])
def test_a_message_that_kills_every_process_is_given_up(retries):
    what = r"step 'Stage0' lost (a|3) worker process(es)? to one message on event 3"
    with pytest.raises(StepError, match=what):
        run_processes(numbers(N), {"class": Poison, "nb_process": 2}, collector(), retries=retries)


@pytest.mark.timeout(150)
def test_every_message_once_whoever_is_killed():
    soak = Path(__file__).with_name("soak.py")
    command = [sys.executable, soak, "--messages=20000", "--pause=0.05"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "20000 messages arrived, 20000 of them different, in order" in result.stdout
    assert " 0 processes killed" not in result.stdout


def test_a_message_that_kills_every_process_can_be_skipped():
    collect = collector()
    summary = run_processes(
        numbers(100), {"class": Poison, "nb_process": 2}, collect, on_error="skip"
    )
    assert collect.received == [number for number in range(100) if number != 3]
    assert summary["steps"][1]["failed"] == 1
    assert summary["steps"][1]["done"] == 99
    assert summary["events"] == {"sent": 100, "finished": 99}


def test_what_a_failed_job_had_sent_is_dropped():
    class SendsAndFails:
        def run(self, number):
            yield number
            if number % 10 == 3:
                raise ValueError(number)

    collect = collector()
    summary = run_processes(
        numbers(100), {"class": SendsAndFails, "nb_process": 2}, collect, on_error="skip"
    )
    assert collect.received == [number for number in range(100) if number % 10 != 3]
    assert summary["steps"][1]["failed"] == 10


def test_a_run_that_does_not_begin_leaves_nothing():
    with pytest.raises(ConfigurationError, match="gui_address"):
        run([numbers(N), Square, collector()], executor="processes", gui_address="nowhere")


def test_a_process_that_dies_in_init():
    stage = type("Stage", (Square,), {"init": lambda self: os.kill(os.getpid(), signal.SIGKILL)})
    with pytest.raises(StepError, match=r"lost its worker process in init\(\): .* by SIGKILL"):
        run_processes(numbers(N), stage, collector())


# ------------------------------------------------------------------------- the start

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
    assert "StepError: step 'Stage' cannot go on: worker processes can no longer be watched: " in (
        result.stderr
    )
    assert "no number" in result.stderr


# ------------------------------------------------------- interrupted, and killed

SCRIPT = """
import os, signal, sys, time
from ctapipe.pipeline import run

class Endless:
    def run(self):
        number = 0
        while True:
            yield number
            number += 1

class Stage:
    def run(self, number):
        if number > 1000:
            time.sleep(float(sys.argv[1]))
        return number, os.getpid()

class Consumer:
    def run(self, message):
        number, pid = message
        if number == 1000:
            print(pid, flush=True)

if __name__ == "__main__":
    run([Endless, {"class": Stage, "nb_process": 2}, Consumer], executor="processes")
"""


@pytest.fixture
def endless(tmp_path, request):
    """A program that runs a pipeline without end, and the process of one of its workers."""
    job_s = getattr(request, "param", 0)
    script = tmp_path / "endless.py"
    script.write_text(textwrap.dedent(SCRIPT))
    with subprocess.Popen(
        [sys.executable, script, str(job_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        pid = int(process.stdout.readline())
        yield process, pid
        process.kill()


def test_an_interrupt_lets_what_was_sent_run_out(endless):
    process, _ = endless
    # As a terminal does: all processes get it.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert "killed" not in errors


@pytest.mark.parametrize("endless", [1000], indirect=True)
def test_a_second_interrupt_ends_processes_in_the_middle_of_a_job(endless):
    process, worker = endless
    process.send_signal(signal.SIGINT)
    assert "no more events are read" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert not is_alive(worker)


def test_the_end_of_what_workers_are_forked_from_ends_the_run(endless):
    process, worker = endless
    server = psutil.Process(worker).parent()
    assert server.ppid() == process.pid
    server.kill()
    _, errors = process.communicate(timeout=60)
    assert "the process that they are forked from has died" in errors
    wait_for_end(worker)


def test_workers_end_with_the_main_process_and_the_next_run_tidies_up(endless):
    process, worker = endless
    process.kill()
    process.wait()
    # Its end closes what they read from.
    wait_for_end(worker)
    collect = collector()
    run_processes(numbers(10), Square, collect)
    assert len(collect.received) == 10
