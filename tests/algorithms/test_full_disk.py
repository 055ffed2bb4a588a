"""An output that cannot be written ends the run, in one line, with the exit code 1."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from astropy.table import Table
from checkout import EXAMPLES
from common_steps import Pass
from files_done import run_files

from ctapipe.pipeline import StepError, run
from ctapipe.pipeline.algorithms.fake_process2 import FakeProcess2
from ctapipe.pipeline.algorithms.file_reporter import FileReporter
from ctapipe.pipeline.algorithms.string_writer import StringWriter
from ctapipe.pipeline.toy_data import write_toy_data


@contextlib.contextmanager
def room_for(size):
    """A file can have so many bytes. As on a disk that is full, but for the reason."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lines(n):
    """A producer class of texts."""

    class Lines:
        def run(self):
            yield from ("a line of text" for _ in range(n))

    return Lines


# Of ten lines nothing is written before the file is closed.
@pytest.mark.parametrize("n_lines", [10, 20_000])
@pytest.mark.parametrize("consumer", [StringWriter, FakeProcess2])
def test_a_text_file(consumer, n_lines, executor_here, tmp_path):
    path = tmp_path / "lines.txt"
    steps = [lines(n_lines), Pass, consumer]
    producer, stage, last = ({"name": each.__name__, "class": each} for each in steps)
    conf = {"producer_conf": producer, "stagers_conf": [stage], "consumer_conf": last}
    with room_for(100), pytest.raises(StepError) as raised:
        run({"Pipeline": conf, consumer.__name__: {"filename": str(path)}}, executor=executor_here)
    assert str(raised.value) == (
        f"step '{consumer.__name__}' cannot write '{path}': File too large; what is there is "
        f"incomplete; make room, or write elsewhere, --{consumer.__name__}.filename=FILE"
    )
    assert raised.value.__cause__ is None
    assert not getattr(raised.value, "__notes__", [])
    assert path.stat().st_size == 100


def test_a_report_of_files(executor_here, tmp_path):
    path = tmp_path / "report.ecsv"
    options = {"FileReporter": {"filename": str(path)}, "on_error": "stop"}
    with room_for(1000), pytest.raises(StepError) as raised:
        run_files(FileReporter, map(str, range(100)), executor=executor_here, **options)
    assert f"step 'LAST' cannot write '{path}': File too large" in str(raised.value)
    assert not getattr(raised.value, "__notes__", [])
    assert os.listdir(tmp_path) == ["report.ecsv"]
    run_files(FileReporter, ["100"], executor=executor_here, **options)
    n_before = len(Table.read(path)) - 1
    assert [*Table.read(path)["input"]] == [*map(str, range(n_before)), "100"]


STEPS = f"""
class Numbers:
    def run(self):
        yield from range(10)

class {Pass.__name__}:
    def run(self, number):
        return number
"""


def test_the_files_of_the_run_itself(command, tmp_path):
    (tmp_path / "steps.py").write_text(STEPS)
    numbers, stage = ({"name": n, "class": n, "module": "steps"} for n in ("Numbers", "Pass"))
    conf = {"producer_conf": numbers, "stagers_conf": [stage]}
    conf["consumer_conf"] = {**stage, "name": "LAST"}
    path = tmp_path / "conf.json"
    path.write_text(json.dumps({"Pipeline": conf}))
    with room_for(100):
        done = command(f"--config={path}", "--summary=sum.json", "--provenance-log=prov.log")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name, option in (("sum.json", "--summary"), ("prov.log", "--provenance-log")):
        line = f"{name}': File too large; make room, or write elsewhere, {option}=FILE"
        assert done.stderr.count(line) == 1


# In a process of its own: a file that HDF5 could not close can crash it when it exits.
RUNS = """
import json, os, resource, sys, warnings
from ctapipe.pipeline import StepError, run
warnings.simplefilter("ignore")
said = []
for size in map(float, sys.argv[2:]):
    conf = json.loads(sys.argv[1])
    path = conf["DataWriter"]["output_path"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if said:
        os.unlink(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * whole), before[1]))
    try:
        run(conf, executor="sequential")
        said.append([None, None, []])
    except StepError as error:
        said.append([str(error), repr(error.__cause__), getattr(error, "__notes__", [])])
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if len(said) == 1:
        whole = os.path.getsize(path)
print(json.dumps(said), flush=True)
os._exit(0)
"""


@pytest.mark.timeout(180)
def test_an_hdf5_file(tmp_path):
    events = tmp_path / "events.simtel"
    write_toy_data(events, n_events=10, n_telescopes=1, seed=1)
    path = tmp_path / "events.h5"
    conf = yaml.safe_load((EXAMPLES / "dl1.yaml").read_text())
    conf["Pipeline"] |= {"gui_address": "", "jobs": 2}
    conf["EventSource"] = {"input_url": str(events)}
    conf["DataWriter"]["output_path"] = str(path)
    # The last is short of a few bytes, of the metadata.
    sizes = ["0", "0.001", "0.1", "0.5", "0.9", "0.9999"]
    done = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(conf), *sizes],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    first, *others = json.loads(done.stdout)
    assert first == [None, None, []]
    line = (
        f"step 'WRITER' cannot write '{path}': File too large; what is there is incomplete; "
        "make room, or write elsewhere, --output=FILE"
    )
    assert others == [[line, "None", []]] * (len(sizes) - 1)


@pytest.mark.timeout(180)
def test_the_command_with_an_hdf5_file(tmp_path):
    events = tmp_path / "events.simtel"
    write_toy_data(events, n_events=10, n_telescopes=1, seed=1)
    code = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (50_000,) * 2); "
    code += "from ctapipe.pipeline.tool import main; main()"
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, f"--config={EXAMPLES / 'dl1.yaml'}"),
            *("--executor=threads", "-j2", "--gui_address=", f"--input={events}", "--output=e.h5"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("e.h5': File too large; what is there is incomplete") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(180)
def test_a_tool_on_many_files(process, tmp_path):
    """Also where the tool says nothing of it: what HDF5 has in memory is written in the end."""
    for name, n_events in (("a", 1), ("b", 30), ("c", 1)):
        write_toy_data(tmp_path / f"{name}.simtel", n_events=n_events, n_telescopes=1, seed=1)
    size = process(tmp_path / "a.simtel").stat().st_size + 5000
    code = f"import os, resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({size},) * 2); "
    code += "from ctapipe.pipeline.tool import Pipeline; import sys\n"
    code += (
        "try: Pipeline().run()\nexcept SystemExit as end: sys.stderr.flush(); os._exit(end.code)"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, f"--config={EXAMPLES / 'many_files.yaml'}"),
            *("--executor=sequential", "--input=*.simtel", "--output-dir=dl1"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    report = Table.read(tmp_path / "report.ecsv")
    assert [*report["state"]] == ["done", "failed", "done"]
    assert report["error"][1].endswith("Error: File too large")
    assert done.stderr.count("File too large") == 1
    assert "Traceback" not in done.stderr
    outputs = [path.name for path in (tmp_path / "dl1").iterdir() if path.suffix == ".h5"]
    assert sorted(outputs) == ["a.dl1.h5", "c.dl1.h5"]


@pytest.mark.parametrize("ending", [".simtel", ".simtel.gz", ".simtel.zst"])
def test_toy_data(ending, tmp_path):
    """Also when only the last bytes do not fit."""
    path = Path(tmp_path) / f"events{ending}"
    write_toy_data(path, n_events=1, n_telescopes=1)
    size = path.stat().st_size
    code = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({size - 1},) * 2); "
    code += "from ctapipe.pipeline.toy_data.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "--events=1", "--telescopes=1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"python -m ctapipe.pipeline.toy_data: {path}: File too large\n"
    assert [other.name for other in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size == size
