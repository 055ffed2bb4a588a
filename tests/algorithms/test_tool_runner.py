"""A tool is run on each of many files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from ctapipe.core import Provenance
from file_steps import results
from hdf5 import assert_same_file

from ctapipe.pipeline import Pipeline

# The first test compiles what ctapipe has for Numba.
pytestmark = pytest.mark.timeout(180)

TOOLS = '''
import os
import signal
from pathlib import Path

from ctapipe.core import Provenance, Tool
from ctapipe.core.traits import Path as PathTrait, Unicode



class Copy(Tool):
    """Copies a file, and does what is in it."""

    name = "copy-file"
    input_url = PathTrait(exists=True).tag(config=True)
    output_path = PathTrait().tag(config=True)
    prefix = Unicode("").tag(config=True)
    aliases = {
        "input": "Copy.input_url",
        ("o", "output"): "Copy.output_path",
        "prefix": "Copy.prefix",
    }
    flags = {"hello": ({"Copy": {"prefix": "hello "}}, "be polite")}

    def setup(self):
        self.text = self.input_url.read_text()

    def start(self):
        Provenance().add_input_file(self.input_url, add_meta=False)
        self.log.warning("it is %s", self.text)
        if self.text == "raise":
            raise KeyError("a key\\nand more")
        if self.text == "exit":
            self.log.critical("this is no good")
            self.exit(3)
        if self.text == "exit well":
            self.exit(0)
        if self.text == "error":
            self.log.error("nearly")
        self.output_path.write_text(self.prefix + self.text)
        Provenance().add_output_file(self.output_path, add_meta=False)
        if self.text == "die" and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.text == "wait":
            print("waiting", flush=True)
            signal.pause()

    def finish(self):
        pass


class NoOutput(Tool):
    name = "no-output"
    aliases = {"input": "Tool.log_file"}
'''


@pytest.fixture
def many_files(command, tmp_path):
    """Runs a pipeline over files, and returns what became of each."""
    (tmp_path / "their_tools.py").write_text(TOOLS)

    def call(names, *arguments, executor="sequential", returncode=0):
        path = tmp_path / "files.yaml"
        path.write_text(yaml.safe_dump(configuration(names, executor)))
        Path("results.jsonl").unlink(missing_ok=True)
        done = command(f"--config={path}", "--output-dir=out", *arguments)
        call.stderr = done.stderr
        assert done.returncode == returncode, done.stderr
        return results() if Path("results.jsonl").exists() else {}

    yield call
    sys.modules.pop("their_tools", None)


def configuration(names, executor="processes"):
    """What the fixture runs."""
    return {
        "Pipeline": {
            "executor": executor,
            "on_error": "skip",
            "producer_conf": {"name": "FILES", "module": "file_steps", "class": "Names"},
            "stagers_conf": [
                {
                    "name": "TOOL",
                    "module": "ctapipe.pipeline.algorithms.tool_runner",
                    "class": "ToolRunner",
                    "nb_process": 2,
                    "queue_limit": 4,
                }
            ],
            "consumer_conf": {"name": "REPORT", "module": "file_steps", "class": "Rows"},
        },
        "Names": {"names": [str(name) for name in names]},
    }


COPY = ("--ToolRunner.tool=their_tools:Copy", "--ToolRunner.output={stem}.txt")


def texts(**files):
    """Files with these texts."""
    names = []
    for name, text in files.items():
        path = Path(f"{name}.fits")
        path.write_text(text)
        names.append(path)
    return names


def not_output():
    """What is in the directory of the outputs but outputs and what stays beside them."""
    left = [path.name for path in Path("out").iterdir()]
    return [name for name in left if ".part" in name]


class TestSameFile:
    def test_of_each(self, executor_here, toy_files, many_files, process):
        names = [toy_files.mono, toy_files.stereo, toy_files.many]
        options = ("--max-events=5", "--write-images", "--camera-frame")
        done = many_files(names, *options, executor=executor_here)
        for name in names:
            row = done[name.name]
            assert (row["state"], row["n_events"], row["error"]) == ("done", 5, "")
            assert_same_file(row["output"], process(name, *options).rename("expected_one.h5"))
        assert not_output() == []

    def test_with_a_configuration_of_the_tool(self, toy_files, many_files, process, tmp_path):
        config = tmp_path / "theirs.yaml"
        theirs = {
            "DataWriter": {"write_dl1_images": True},
            "CameraCalibrator": {"image_extractor_type": "LocalPeakWindowSum"},
            "ProcessorTool": {"force_recompute_dl1": True, "log_level": "INFO"},
        }
        config.write_text(yaml.safe_dump(theirs))
        options = (f"--config={config}", "--EventSource.max_events=3")
        row = many_files([toy_files.mono], *options)["mono.simtel.gz"]
        assert row["n_events"] == 3
        assert_same_file(row["output"], process(toy_files.mono, *options))

    def test_files_that_are_damaged_fail_alone(self, toy_files, many_files, tmp_path):
        whole = toy_files.mono
        cut, empty = tmp_path / "cut.simtel.zst", tmp_path / "empty.simtel.gz"
        cut.write_bytes(toy_files.stereo.read_bytes()[:20000])
        empty.touch()
        names = [cut, whole, empty, tmp_path / "missing.simtel.gz"]
        done = many_files(names, "--max-events=2", executor="processes")
        assert set(done) == {name.name for name in names}
        assert done.pop(whole.name)["state"] == "done"
        for name, row in done.items():
            assert row["state"] == "failed"
            assert row["error"]
            assert "\n" not in row["error"]
            assert "Traceback" not in many_files.stderr
            assert name in many_files.stderr
            assert not Path(row["output"]).exists()
        assert "Traceback" in Path("out/cut.dl1.h5.log").read_text()
        assert not_output() == []


class TestOneFile:
    def test_of_a_class_of_the_user(self, many_files):
        row = many_files(texts(a="well"), *COPY, "--prefix=very ")["a.fits"]
        assert (row["state"], row["n_events"], row["n_warnings"]) == ("done", None, 1)
        assert row["seconds"] > 0
        assert row["peak_memory_mb"] > 10
        assert Path("out/a.txt").read_text() == "very well"
        log = Path("out/a.txt.log").read_text()
        assert "it is well" in log
        assert row["last_warnings"] == "it is well"
        assert "it is well" not in many_files.stderr

    def test_flags_of_the_tool(self, many_files):
        many_files(texts(a="you"), *COPY, "--hello")
        assert Path("out/a.txt").read_text() == "hello you"

    def test_sections_within_that_of_the_step(self, many_files):
        many_files(
            texts(a="you"), "--TOOL.tool=their_tools.Copy", "--TOOL.output={name}_{parent}",
            "--TOOL.Copy.prefix=and ",
        )  # fmt: skip
        assert Path(f"out/a.fits_{Path.cwd().name}").read_text() == "and you"

    @pytest.mark.parametrize("executor", ["sequential", "processes"])
    def test_failures(self, executor, many_files):
        names = texts(a="raise", b="exit", c="exit well", d="error", e="well")
        done = many_files(names, *COPY, executor=executor)
        errors = {name: row["error"] for name, row in done.items()}
        assert errors == {
            "a.fits": r"KeyError: 'a key\nand more'",
            "b.fits": "exit code 3: this is no good",
            "c.fits": "the tool has ended without an output",
            "d.fits": "",
            "e.fits": "",
        }
        assert done["d.fits"]["state"] == "done"
        assert "'d.fits': nearly" in many_files.stderr
        assert "KeyError" in Path("out/a.txt.log").read_text()
        assert not_output() == []

    def test_that_takes_its_process_with_it(self, many_files):
        done = many_files(texts(a="well", b="die"), *COPY, executor="processes")
        assert {row["state"] for row in done.values()} == {"done"}
        assert not_output() == []

    def test_killed(self, many_files, tmp_path):
        names = texts(a="well", b="wait")
        path = tmp_path / "killed.yaml"
        path.write_text(yaml.safe_dump(configuration(names)))
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ctapipe.pipeline",
                f"--config={path}",
                *COPY,
                "--output-dir=out",
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parent)},
        )
        # The others end when it has.
        others = []
        try:
            assert process.stdout.readline() == b"waiting\n"
            others = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            process.communicate()
        psutil.wait_procs(others, timeout=30)
        assert not Path("out/b.txt").exists()
        # The other file may have been in work as well.
        assert any(name.startswith(".b.txt.") for name in not_output())
        Path("b.fits").write_text("well")
        before = Path("out/a.txt").stat() if Path("out/a.txt").exists() else None
        done = many_files(names, *COPY, "--skip-existing")
        assert done["b.fits"]["state"] == "done"
        assert not_output() == []
        assert before is None or Path("out/a.txt").stat().st_ino == before.st_ino

    def test_interrupted(self, many_files, monkeypatch):
        def interrupt():
            os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(signal, "pause", interrupt)
        many_files(texts(a="wait"), *COPY, returncode=130)
        assert not_output() == []


def identity(path):
    """What changes if a file is replaced or written, but not if it is read."""
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size


class TestExistingOutput:
    @pytest.fixture(autouse=True)
    def made(self, many_files):
        self.names = texts(a="one")
        many_files(self.names, *COPY)
        self.before = identity("out/a.txt")

    def test_is_an_error(self, many_files):
        error = many_files(self.names, *COPY)["a.fits"]["error"]
        assert "out/a.txt' exists; replace it with --overwrite" in error
        assert identity("out/a.txt") == self.before

    def test_is_skipped(self, many_files):
        row = many_files(self.names, *COPY, "--skip-existing")["a.fits"]
        assert row["state"] == "skipped"
        assert identity("out/a.txt") == self.before

    def test_is_replaced(self, many_files):
        Path("a.fits").write_text("two")
        assert many_files(self.names, *COPY, "--overwrite")["a.fits"]["state"] == "done"
        assert Path("out/a.txt").read_text() == "two"

    def test_stays_when_the_tool_fails(self, many_files):
        Path("a.fits").write_text("raise")
        assert many_files(self.names, *COPY, "--overwrite")["a.fits"]["state"] == "failed"
        assert Path("out/a.txt").read_text() == "one"

    def test_that_is_incomplete_is_made_again(self, many_files, toy_files, process):
        output = Path("out/mono.dl1.h5")
        whole = process(toy_files.mono, "--max-events=2").read_bytes()
        for content in (whole[: len(whole) // 2], b""):
            output.write_bytes(content)
            options = ("--max-events=2", "--skip-existing")
            assert many_files([toy_files.mono], *options)["mono.simtel.gz"]["state"] == "done"
            again = many_files([toy_files.mono], *options)["mono.simtel.gz"]
            assert (again["state"], again["n_events"]) == ("skipped", 2)
        output.write_bytes(whole)
        assert many_files([toy_files.mono], *options)["mono.simtel.gz"]["state"] == "skipped"

    @pytest.mark.parametrize("option", ["", "--overwrite", "--skip-existing"])
    @pytest.mark.parametrize("executor", ["sequential", "processes"])
    def test_of_another_input(self, option, executor, many_files):
        Path("other").mkdir()
        Path("other/b.fits").write_text("two")
        names = [*texts(b="one"), "other/b.fits"]
        many_files(names, *COPY, *[option][: len(option)], executor=executor)
        rows = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
        assert sorted(row["state"] for row in rows) == ["done", "failed"]
        error = next(row["error"] for row in rows if row["state"] == "failed")
        if option:
            assert "b.fits' and " in error
            assert "have the same output" in error

    def test_that_is_the_input(self, many_files):
        Path("out/c.fits").write_text("well")
        options = ("--ToolRunner.tool=their_tools:Copy", "--ToolRunner.output={name}")
        error = many_files(["out/c.fits"], *options, "--overwrite")["c.fits"]["error"]
        assert "is the file itself" in error
        assert Path("out/c.fits").read_text() == "well"


def test_provenance_is_of_each_file(many_files):
    names = texts(a="well", b="raise", c="well")
    many_files(names, *COPY)
    ids = set()
    for name, status in (("a", "completed"), ("b", "error"), ("c", "completed")):
        [activity] = json.loads(Path(f"out/{name}.txt.provenance.log").read_text())
        assert activity["activity_name"] == "copy-file"
        assert activity["status"] == status
        assert [Path(file["url"]).name for file in activity["input"]] == [f"{name}.fits"]
        outputs = [file["url"] for file in activity["output"]]
        assert outputs == ([] if name == "b" else [os.path.abspath(f"out/{name}.txt")])
        assert ".part" not in json.dumps(activity)
        ids.add(activity["activity_uuid"])
    assert len(ids) == 3
    # That of the pipeline goes on.
    assert Provenance().finished_activity_names == [Pipeline.name]


MISTAKES = {
    "no command": ("--ToolRunner.tool=ctapipe-proces", "(did you mean 'ctapipe-process'?)"),
    "no module": ("--ToolRunner.tool=nowhere:Copy", "'nowhere' of the tool 'nowhere:Copy'"),
    "no class": ("--TOOL.tool=their_tools:Cop", "(did you mean 'Copy'?)"),
    "no tool": ("--TOOL.tool=pathlib:Path", "has no ctapipe.core.Tool 'Path'"),
    "no output": ("--TOOL.tool=their_tools:NoOutput", "has no option --output"),
    "pattern": ("--ToolRunner.output={steam}", "there is no {steam}, only {stem}"),
    "broken pattern": ("--ToolRunner.output={", "ToolRunner.output"),
    "its option": ("--DataWriter.write_nothing=True", "unknown option 'write_nothing'"),
    "given": ("--output=x.h5", "unknown option '--output"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake, many_files):
    option, message = MISTAKES[mistake]
    many_files(texts(a="well"), option, returncode=2)
    assert message in many_files.stderr
    assert "Traceback" not in many_files.stderr


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("run1.simtel.zst", "run1.dl1.h5"),
        ("run1.dl2.h5", "run1.dl1.h5"),
        ("LST-1.1.Run02008.0000.fits.fz", "LST-1.1.Run02008.0000.dl1.h5"),
        (".h5", ".h5.dl1.h5"),
    ],
)
def test_stem(name, output, many_files):
    [row] = many_files([name], "--max-events=1").values()
    assert Path(row["output"]) == Path("out", output).absolute()
