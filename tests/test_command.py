"""The command ``ctapipe-pipeline``, as a ctapipe tool."""

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from ctapipe.pipeline import running

STEPS = '''
from ctapipe.core import Component
from ctapipe.core.traits import Int, List, Unicode


class Numbers(Component):
    """Numbers from 0."""

    max_events = Int(5, min=1, help="How many numbers to make").tag(config=True)

    def run(self):
        yield from range(self.max_events)


class Offset(Component):
    """Part of a step."""

    value = Int(0).tag(config=True)


class Scale(Component):
    """Multiplies."""

    factor = Int(2, help="What to multiply each number with").tag(config=True)
    offsets = List(Int(), help="What to add").tag(config=True)

    def init(self):
        self.log.info("factor is %d", self.factor)

    def run(self, number):
        return number * self.factor + sum(self.offsets) + Offset(parent=self).value


class Fails:
    def run(self, number):
        return self.divide(number)

    def divide(self, number):
        return 1 / (number - 3)


class Refuses:
    def init(self):
        return False

    def run(self, number):
        pass


class Print(Component):
    """Writes to a file."""

    filename = Unicode("out.txt", help="Where to write").tag(config=True)

    def init(self):
        self.file = open(self.filename, "w")

    def run(self, number):
        self.file.write(f"{number}\\n")

    def finish(self):
        self.file.close()
'''

CONFIGURATION = {
    "version": 1,
    "Pipeline": {
        "producer_conf": {"name": "NUMBERS", "class": "Numbers", "module": "steps"},
        "stagers_conf": [{"name": "scale", "class": "Scale", "module": "steps", "nb_thread": 2}],
        "consumer_conf": {"name": "OUT", "class": "Print", "module": "steps"},
    },
}

TOML = """
[Pipeline.producer_conf]
name = "NUMBERS"
class = "Numbers"
module = "steps"

[[Pipeline.stagers_conf]]
name = "scale"
class = "Scale"
module = "steps"

[Pipeline.consumer_conf]
name = "OUT"
class = "Print"
module = "steps"
"""


@pytest.fixture(autouse=True)
def files(tmp_path):
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "steps.py").write_text(STEPS)
    (directory / "conf.json").write_text(json.dumps(CONFIGURATION))
    (directory / "conf.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    (directory / "conf.toml").write_text(TOML)
    return directory


def with_stage(files, stage):
    conf = json.loads((files / "conf.json").read_text())
    conf["Pipeline"]["stagers_conf"][0]["class"] = stage
    (files / f"{stage}.json").write_text(json.dumps(conf))
    return f"--config=elsewhere/{stage}.json"


def written(tmp_path):
    return sorted(int(line) for line in (tmp_path / "out.txt").read_text().split())


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml"])
@pytest.mark.parametrize("option", ["--config={}", "--config {}", "-c {}"])
def test_runs_a_configuration_with_steps_beside_it(command, tmp_path, suffix, option):
    done = command(*option.format(f"elsewhere/conf.{suffix}").split())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert written(tmp_path) == [0, 2, 4, 6, 8]
    assert (tmp_path / "ctapipe-pipeline.provenance.log").exists()


def test_the_installed_command(tmp_path):
    script = Path(sysconfig.get_path("scripts")) / "ctapipe-pipeline"
    done = subprocess.run(
        [script, "--config=elsewhere/conf.json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == [0, 2, 4, 6, 8]


def test_steps_in_the_current_directory(command, tmp_path, files):
    (files / "steps.py").rename(tmp_path / "steps.py")
    assert command("--config=elsewhere/conf.json").returncode == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--Numbers.max_events=2"], [0, 2]),
        (["--Numbers.max_events", "2"], [0, 2]),
        (["--NUMBERS.max_events=2"], [0, 2]),
        (["--Scale.factor=5"], [0, 5, 10, 15, 20]),
        (["--scale.factor=5"], [0, 5, 10, 15, 20]),
        (["--scale.factor", "5"], [0, 5, 10, 15, 20]),
        (["--scale.factor=5", "--Scale.factor=7"], [0, 5, 10, 15, 20]),
        (["--scale.offsets=1", "--scale.offsets=10"], [11, 13, 15, 17, 19]),
        (["--Scale.offsets=1", "--Scale.offsets=10"], [11, 13, 15, 17, 19]),
        (["--scale.Offset.value=3"], [3, 5, 7, 9, 11]),
        (["--executor=sequential"], [0, 2, 4, 6, 8]),
        (["--Pipeline.executor=sequential"], [0, 2, 4, 6, 8]),
        (["--gui_address=tcp://localhost:1"], [0, 2, 4, 6, 8]),
    ],
)
def test_options_on_the_command_line(command, tmp_path, options, expected):
    done = command("--config=elsewhere/conf.json", *options)
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == expected


def test_a_later_file_wins_and_the_command_line_wins_over_both(command, tmp_path, files):
    (files / "one.yaml").write_text("Scale: {factor: 3}\nNumbers: {max_events: 2}\n")
    (files / "two.json").write_text('{"scale": {"factor": 4}}')
    configs = [f"--config=elsewhere/{name}" for name in ("conf.json", "one.yaml", "two.json")]
    assert command(*configs).returncode == 0
    assert written(tmp_path) == [0, 4]
    assert command(*configs, "--Scale.factor=6").returncode == 0
    assert written(tmp_path) == [0, 6]


@pytest.mark.parametrize("section", ["Scale:", "scale: {Offset:}\nOffset:"])
def test_a_section_of_which_all_is_commented_out(command, tmp_path, files, section):
    (files / "more.yaml").write_text(f"{section}\n#  factor: 3\n")
    done = command("--config=elsewhere/conf.json", "--config=elsewhere/more.yaml")
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == [0, 2, 4, 6, 8]


def test_a_section_within_that_of_a_step(command, tmp_path, files):
    (files / "nested.json").write_text('{"scale": {"Offset": {"value": 5}}}')
    done = command("--config=elsewhere/conf.json", "--config=elsewhere/nested.json")
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == [5, 7, 9, 11, 13]


def test_the_log_shows_the_steps_and_ends_with_the_table(command, tmp_path):
    done = command("--config=elsewhere/conf.json", "--log-level=INFO", "--log-file=run.log")
    assert done.returncode == 0
    for text in (done.stderr, (tmp_path / "run.log").read_text()):
        assert text.count("factor is 2") == 2
        assert "5 events sent, 5 finished" in text
        assert re.search(r"scale +stage +2 +5 +5 +0 +5 ", text)


def test_quiet(command):
    done = command("--config=elsewhere/conf.json", "--log-level=INFO", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_summary(command, tmp_path):
    done = command("--config=elsewhere/conf.json", "--summary=summary.json")
    assert done.returncode == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["schema"] == 1
    assert summary["state"] == "finished"
    assert summary["executor"] == "threads"
    assert summary["elapsed_s"] > 0
    assert "bottleneck" in summary
    assert summary["events"] == {"sent": 5, "finished": 5}
    assert [step["name"] for step in summary["steps"]] == ["NUMBERS", "scale", "OUT"]
    busy = [step.pop("busy_s") for step in summary["steps"]]
    peaks = [step.pop("queue_peak") for step in summary["steps"]]
    assert min(busy) > 0
    waits = [step.pop("wait_s") for step in summary["steps"]]
    assert waits[0] is None
    assert all(0 <= median <= p99 <= summary["elapsed_s"] for median, p99 in waits[1:])
    assert 0 < summary["age_s"][0] <= summary["age_s"][1] <= 17 / 16 * summary["elapsed_s"]
    assert max(peaks) <= 5
    assert summary["steps"][1] == {
        "name": "scale",
        "role": "stage",
        "workers": 2,
        "received": 5,
        "done": 5,
        "failed": 0,
        "sent": 5,
    }


def test_a_summary_is_not_overwritten_unless_told_so(command, tmp_path):
    (tmp_path / "summary.json").write_text("mine")
    done = command("--config=elsewhere/conf.json", "--summary=summary.json")
    assert done.returncode == 2
    assert "summary.json exists" in done.stderr
    assert (tmp_path / "summary.json").read_text() == "mine"
    assert (
        command("--config=elsewhere/conf.json", "--summary=summary.json", "--overwrite").returncode
        == 0
    )


def test_a_failing_step_shows_its_traceback_once(command, tmp_path, files):
    done = command(with_stage(files, "Fails"), "--summary=summary.json")
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "step 'scale' raised ZeroDivisionError in run() on event 3" in done.stderr
    assert "steps.py" in done.stderr
    assert "SystemExit" not in done.stderr
    assert "worker.py" not in done.stderr
    assert "_runner.pyx" not in done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["state"] == "failed"
    assert summary["steps"][1]["failed"] == 1


def test_a_refusing_step_is_named_without_a_traceback(command, files):
    done = command(with_stage(files, "Refuses"))
    assert done.returncode == 1
    assert "step 'scale' returned False from init()" in done.stderr
    assert "Traceback" not in done.stderr


def test_provenance_names_the_configuration_and_its_options(command, tmp_path):
    assert command("--config=elsewhere/conf.json", "--Scale.factor=9").returncode == 0
    (activity,) = json.loads((tmp_path / "ctapipe-pipeline.provenance.log").read_text())
    assert activity["activity_name"] == "ctapipe-pipeline"
    assert activity["status"] == "completed"
    assert activity["input"][0]["url"].endswith("conf.json")
    assert activity["config"]["Pipeline"]["stagers_conf"][0]["name"] == "scale"
    assert str(activity["config"]["Scale"]["factor"]) == "9"


def test_version(command):
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout.strip() == importlib.metadata.version("ctapipe-pipeline")


def test_help(command):
    done = command("--help")
    assert done.returncode == 0
    for option in ("--config", "--executor", "--gui_address", "--summary", "--log-level"):
        assert option in done.stdout


def test_help_all_lists_the_options_of_the_configured_steps(command):
    done = command("--config=elsewhere/conf.json", "--help-all")
    assert done.returncode == 0
    assert "--Scale.factor=<Int>" in done.stdout
    assert "What to multiply each number with" in done.stdout
    assert "--Pipeline.gui_address" in done.stdout


def test_help_starts_no_process(command, files, monkeypatch):
    def refuse(modules):
        raise AssertionError("a process is started")

    monkeypatch.setattr(running, "ForkServerClient", refuse)
    done = command("--config=elsewhere/conf.json", "--executor=processes", "--help")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--help", "--help-all"])
def test_help_of_which_only_the_first_line_is_read(tmp_path, option):
    with subprocess.Popen(
        [sys.executable, "-m", "ctapipe.pipeline", "--config=elsewhere/conf.json", option],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        # Nothing is written before all is imported.
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_help_all_works_with_a_configuration_that_is_wrong(command, files):
    done = command(with_stage(files, "NoSuchClass"), "--help-all")
    assert done.returncode == 0
    assert "--Numbers.max_events=<Int>" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no pipeline is configured"),
        (["--config=no.json"], "there is no configuration file 'no.json'"),
        (["--config"], "command line: argument -c/--config"),
        (["--config=elsewhere/steps.txt"], "steps.txt: unknown kind of configuration file"),
        (["--config=elsewhere/bad.json"], "bad.json: cannot be read: Expecting"),
        (["--config=elsewhere/list.json"], "list.json: must hold sections"),
        (["--config=elsewhere/v2.json"], "v2.json: 'version' must be 1, not 2"),
        (["-c", "elsewhere/conf.json", "--exec=threads"], "unknown option '--exec=threads' (did"),
        (["-c", "elsewhere/conf.json", "more.json"], "unexpected argument 'more.json'"),
        (
            ["-c", "elsewhere/conf.json", "--executor=thread"],
            "Pipeline: option 'executor': The 'executor' trait of a Pipeline instance expected",
        ),
        (
            ["-c", "elsewhere/conf.json", "--Scale.facto=1"],
            "Scale: unknown option 'facto' (did you mean 'factor'?)",
        ),
        (
            ["-c", "elsewhere/conf.json", "--scale.factor=x"],
            "step 'scale': option 'factor'",
        ),
        (
            ["-c", "elsewhere/conf.json", "--Numbers.max_events=0"],
            "max_events' trait of a Numbers instance should not be less than 1",
        ),
        (
            ["-c", "elsewhere/conf.json", "--scal.factor=3"],
            "no step and no class is named 'scal' (did you mean 'scale'?)",
        ),
        (
            ["-c", "elsewhere/conf.json", "--scale.factor"],
            "command line: --scale.factor needs a value",
        ),
        (
            ["-c", "elsewhere/conf.json", "--summary=no/s.json", "--only=elsewhere/steps.py"],
            "2 mistakes in the configuration:",
        ),
        (
            ["-c", "elsewhere/conf.json", "--summary=x.json", "--failed=x.json"],
            "Pipeline.summary and Pipeline.failed are one file",
        ),
        (["-c", "elsewhere/conf.json", "--jobs"], "--jobs needs a value, --jobs=VALUE"),
        (["-c", "elsewhere/conf.json", "-j"], "command line: -j needs a value"),
        (["--jobs", "-c", "elsewhere/conf.json"], "command line: --jobs needs a value"),
        (["-c", "elsewhere/conf.json", "--Scale.factor"], "--Scale.factor needs a value"),
        (
            ["--config=elsewhere/conf.json", "--scale.factor=1", "--scale.factor=2"],
            "command line: --scale.factor is given twice; give it once",
        ),
        (
            ["--config=elsewhere/conf.json", "--Scale.factor=1", "--Scale.factor=2"],
            "command line: --Scale.factor is given twice; give it once",
        ),
        (
            ["--config=elsewhere/conf.json", "--executor=threads", "--executor=sequential"],
            "executor only accepts one value, got 2: ['threads', 'sequential']; give it once",
        ),
        (
            ["--config=elsewhere/conf.json", "--log-file=nowhere/run.log"],
            "nowhere/run.log': No such file or directory; give another file, --log-file=FILE",
        ),
        (
            ["-c", "elsewhere/conf.json", "--summary=nowhere/summary.json"],
            "Pipeline.summary: there is no directory '",
        ),
        (
            ["-c", "elsewhere/conf.json", "--gui_address=localhost"],
            "write host:port, for example localhost:5565",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(command, files, tmp_path, arguments, message):
    (files / "steps.txt").touch()
    (files / "bad.json").write_text("{")
    (files / "list.json").write_text("[]")
    (files / "v2.json").write_text('{"version": 2}')
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "usage" not in done.stderr
    assert not (tmp_path / "out.txt").exists()


ALIASES = """
from ctapipe.core import Component
from ctapipe.core.traits import Bool, Int


class Numbers(Component):
    n = Int(1, help="How many").tag(config=True)
    aliases = {("n", "number"): "Numbers.n"}

    def run(self):
        yield from range(self.n)


class Same:
    def run(self, number):
        return number


class Print(Component):
    loud = Bool(False, help="Whether to shout").tag(config=True)
    flags = {
        "loud": ({"Print": {"loud": True}}, "Shout"),
        "overwrite": ({"Print": {"loud": True}}, "Overwrite, and shout"),
    }

    def run(self, number):
        print("LOUD" if self.loud else "quiet", number)
"""


class TestOptionsThatStepsBring:
    @pytest.fixture
    def configuration(self, tmp_path):
        (tmp_path / "steps.py").write_text(ALIASES)
        path = tmp_path / "aliases.json"
        steps = [
            {"name": name.upper(), "module": "steps", "class": name}
            for name in ("Numbers", "Same", "Print")
        ]
        path.write_text(
            json.dumps(
                {
                    "Pipeline": {
                        "executor": "sequential",
                        "producer_conf": steps[0],
                        "stagers_conf": [steps[1]],
                        "consumer_conf": steps[2],
                    }
                }
            )
        )
        return path

    @pytest.mark.parametrize(
        ("options", "printed"),
        [
            (["-n", "2"], "quiet 0\nquiet 1\n"),
            (["--number=1", "--loud"], "LOUD 0\n"),
        ],
    )
    def test_are_taken(self, options, printed, command, configuration):
        done = command(f"--config={configuration}", *options)
        assert (done.returncode, done.stdout) == (0, printed), done.stderr

    def test_flag_keeps_the_meaning_that_it_has_for_the_tool(self, command, configuration):
        configuration.with_name("summary.json").write_text("{}")
        options = [f"--config={configuration}", "--summary=summary.json"]
        assert command(*options).returncode == 2
        done = command(*options, "--overwrite")
        assert (done.returncode, done.stdout) == (0, "LOUD 0\n"), done.stderr

    def test_are_in_the_help(self, command, configuration):
        printed = command(f"--config={configuration}", "--help").stdout
        assert "-n, --number=" in printed
        assert "--loud" in printed

    def test_are_unknown_without_the_step(self, command):
        done = command("--number=3")
        assert done.returncode == 2
        assert "unknown option '--number=3'" in done.stderr


def test_run_in_a_process_that_imports_nothing_else(files):
    code = "from ctapipe.pipeline import run; print(run('conf.json', gui_address='')['state'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=files, capture_output=True, text=True, timeout=50
    )
    assert done.stdout == "finished\n", done.stderr
