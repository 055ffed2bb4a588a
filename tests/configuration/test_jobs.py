"""How many workers ``-j``, ``nb_process: auto`` and the cores give to stages."""

import os
import subprocess
import sys

import pytest
import yaml
from common_steps import by_name

from ctapipe.pipeline import ConfigurationError, run
from ctapipe.pipeline.configuration.cores import usable_cores

STEPS = """
class Numbers:
    def run(self):
        yield from range(5)


class Pass:
    def run(self, number):
        return number


class End:
    def run(self, number):
        pass
"""


def conf_of(*stages, **options):
    def conf(name, step_class):
        return {"name": name, "class": step_class, "module": "steps"}

    return {
        "Pipeline": {
            "gui_address": "",
            "producer_conf": conf("NUMBERS", "Numbers"),
            "stagers_conf": [conf(f"S{i}", "Pass") | keys for i, keys in enumerate(stages)],
            "consumer_conf": conf("END", "End"),
            **options,
        }
    }


@pytest.fixture
def n_workers(command, tmp_path):
    """How many workers the stages of a configuration have, with options."""
    (tmp_path / "steps.py").write_text(STEPS)

    def call(conf, *options):
        (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
        done = command("--config=conf.yaml", "--summary=out.json", "--overwrite", *options)
        assert done.returncode == 0, done.stderr
        steps = by_name(yaml.safe_load((tmp_path / "out.json").read_text()))
        return [step["workers"] for name, step in steps.items() if name.startswith("S")]

    return call


@pytest.fixture
def mistake(command, tmp_path):
    """The one error of a configuration, with options."""
    (tmp_path / "steps.py").write_text(STEPS)

    def call(conf, *options):
        (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
        done = command("--config=conf.yaml", *options)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        error, help_ = done.stderr.splitlines()
        assert "--help" in help_
        return error

    return call


@pytest.mark.parametrize("option", ["-j=3", "-j3", "-j 3", "--jobs=3", "--Pipeline.jobs 3"])
def test_is_for_stages_in_processes_that_do_not_say_it(option, n_workers):
    conf = conf_of(
        {"executor": "processes"},
        {"chained": True},
        {},
        {"executor": "processes", "nb_process": 1},
        {"executor": "processes", "nb_thread": 2},
        {"executor": "processes", "nb_process": "auto"},
    )
    assert n_workers(conf, *option.split()) == [3, 3, 1, 1, 2, 3]


def test_with_the_executor_processes_on_the_command_line(n_workers):
    conf = conf_of({}, {"executor": "threads"})
    assert n_workers(conf, "--executor=processes", "-j2") == [2, 1]


def test_without_it_a_stage_has_one_worker(n_workers):
    assert n_workers(conf_of({"executor": "processes"}, {})) == [1, 1]


def test_auto_is_the_number_of_cores(n_workers):
    cores = usable_cores()
    conf = conf_of({"nb_process": "auto"}, {"executor": "processes"})
    assert n_workers(conf, "--executor=threads") == [cores, 1]
    assert n_workers(conf, "--executor=threads", "-j0") == [cores, cores]


def test_auto_in_threads_is_the_number_of_jobs(n_workers):
    assert n_workers(conf_of({"nb_process": "auto"}), "-j3") == [3]


def test_no_matter_for_the_executor_sequential(n_workers):
    assert n_workers(conf_of({}), "--executor=sequential", "-j3") == [1]


def test_a_file_can_say_it_and_the_command_line_wins(n_workers):
    conf = conf_of({}, executor="processes", jobs=3)
    assert n_workers(conf) == [3]
    assert n_workers(conf, "-j2") == [2]


def test_from_python(tmp_path, monkeypatch):
    (tmp_path / "steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(tmp_path)
    conf = conf_of({}, jobs=2)
    assert by_name(run(conf, executor="processes"))["S0"]["workers"] == 2
    with pytest.raises(ConfigurationError, match=r"^Pipeline.jobs: "):
        run(conf, executor="threads")
    sys.modules.pop("steps")


@pytest.mark.parametrize(
    ("stage", "options"),
    [({}, []), ({"nb_process": 2}, ["--executor=processes"]), ({"executor": "threads"}, [])],
)
def test_for_no_stage(stage, options, mistake):
    message = mistake(conf_of(stage), "-j8", *options)
    assert "Pipeline.jobs: no stage has this number of workers (-j 8)" in message
    assert "--executor=processes" in message


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("-j=-1", "Pipeline: option 'jobs': The value of the 'jobs' trait"),
        ("-j=10001", "should not be greater than 10000"),
        ("--jobs=many", "expected an int, not the str 'many'"),
        ("-jmany", "unknown option '-jmany'"),
    ],
)
def test_wrong_numbers(option, message, mistake):
    assert message in mistake(conf_of({"executor": "processes"}), option)


def test_given_twice(mistake):
    message = mistake(conf_of({"executor": "processes"}), "-j2", "-j3")
    assert "jobs only accepts one value, got 2: ['2', '3']; give it once" in message


def test_auto_is_for_nb_process_only(mistake):
    message = mistake(conf_of({"nb_process": "all"}))
    assert "'nb_process' must be 'auto', for as many as there are cores, or a whole" in message
    assert "'nb_thread' must be a whole number" in mistake(conf_of({"nb_thread": "auto"}))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no affinity here")
def test_affinity():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from ctapipe.pipeline.configuration.cores import usable_cores; print(usable_cores())"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "1\n"


# What a process in a batch job sees: its groups, what is mounted, and the limits in there.
VERSION_2 = (
    "0::/jobs/17\n",
    "30 24 0:26 / /cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
)
IN_CONTAINER_2 = ("0::/\n", "30 24 0:26 / /cg ro - cgroup2 cgroup rw\n")
VERSION_1 = (
    "5:cpu,cpuacct:/jobs/17\n4:memory:/jobs\n0::/\n",
    "31 24 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 24 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n",
)
IN_CONTAINER_1 = (
    "5:cpuacct,cpu:/docker/17\n",
    "31 24 0:27 /docker/17 /cg/cpu rw master:1 - cgroup cgroup rw,cpuacct,cpu\n",
)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        (VERSION_2, {"cg/jobs/17/cpu.max": "300000 100000"}, 3),
        (VERSION_2, {"cg/jobs/17/cpu.max": "150000 100000"}, 2),
        (VERSION_2, {"cg/jobs/17/cpu.max": "1000 100000"}, 1),
        (VERSION_2, {"cg/jobs/17/cpu.max": "max 100000"}, 100),
        (VERSION_2, {"cg/jobs/cpu.max": "400000 100000", "cg/jobs/17/cpu.max": "max 100000"}, 4),
        (VERSION_2, {"cg/jobs/16/cpu.max": "100000 100000"}, 100),
        (VERSION_2, {"cg/jobs/17/cpu.max": "nonsense"}, 100),
        (IN_CONTAINER_2, {"cg/cpu.max": "200000 50000"}, 4),
        (
            VERSION_1,
            {
                "cg/cpu/jobs/17/cpu.cfs_quota_us": "250000",
                "cg/cpu/jobs/17/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            VERSION_1,
            {"cg/cpu/jobs/17/cpu.cfs_quota_us": "-1", "cg/cpu/jobs/17/cpu.cfs_period_us": "100000"},
            100,
        ),
        (
            IN_CONTAINER_1,
            {"cg/cpu/cpu.cfs_quota_us": "500000", "cg/cpu/cpu.cfs_period_us": "100000"},
            5,
        ),
        (("", ""), {}, 100),
        (None, {}, 100),
    ],
)
def test_control_groups(groups, files, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 100, raising=False)
    if groups is not None:
        names = ("proc/self/cgroup", "proc/self/mountinfo")
        files = files | dict(zip(names, groups, strict=True))
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert usable_cores(tmp_path) == cores


def test_no_more_than_the_affinity_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 2, raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    for name, content in zip(("cgroup", "mountinfo"), IN_CONTAINER_2, strict=True):
        (tmp_path / "proc/self" / name).write_text(content)
    (tmp_path / "cg").mkdir()
    (tmp_path / "cg/cpu.max").write_text("800000 100000")
    assert usable_cores(tmp_path) == 2
