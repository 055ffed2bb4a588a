"""``FileFinder``: which files are meant, in which order, and what is said if there are none."""

import os
import sys

import pytest
import yaml
from common_steps import Pass, collector
from ctapipe.core import Component

from ctapipe.pipeline import ConfigurationError, run
from ctapipe.pipeline.algorithms.file_finder import FileFinder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run1", "run2", "run10", "other/run3", "other/deep/run4", "other/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(*patterns, executor="sequential"):
    collect = collector()
    run(
        {
            "Pipeline": {
                "gui_address": "",
                "producer_conf": {"name": "FILES", "class": FileFinder},
                "stagers_conf": [{"name": "PASS", "class": Pass}],
                "consumer_conf": {"name": "END", "class": collect},
            },
            "FileFinder": {"patterns": list(patterns)},
        },
        executor=executor,
    )
    return collect.received


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        (["run2"], ["run2"]),
        (["run10", "run2"], ["run2", "run10"]),
        (["run*"], ["run1", "run2", "run10"]),
        (["run?"], ["run1", "run2"]),
        (["run[12]*"], ["run1", "run2", "run10"]),
        (["**/run*"], ["other/deep/run4", "other/run3", "run1", "run2", "run10"]),
        (["other"], ["other/run3"]),
        (["other/"], ["other/run3"]),
        (["*"], ["run1", "run2", "run10"]),
        (["run1", "run*", "./run2", "other/../run1"], ["run1", "run2", "run10"]),
    ],
)
def test_finds(patterns, paths):
    assert found(*patterns) == paths


def test_absolute_paths(here):
    assert found(str(here / "run?")) == [str(here / "run1"), str(here / "run2")]


def test_home_directory(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert found("~/run1") == [str(here / "run1")]


@pytest.mark.parametrize("executor", ["threads", "processes", "sequential"])
def test_with_every_executor(executor):
    assert sorted(found("run*", executor=executor)) == ["run1", "run10", "run2"]


def test_a_link_to_a_file_that_is_there_already(here):
    (here / "alias").symlink_to("run1")
    assert found("run1", "alias") == ["run1"]
    assert found("alias", "run1") == ["alias"]


@pytest.mark.parametrize("name", ["run[1]", "a*b", "what?", "-x", "@x"])
def test_a_name_with_signs_of_patterns_that_is_there(name, here):
    (here / name).touch()
    assert found(f"./{name}") == [f"./{name}"]
    if name[0] not in "-@":
        assert found(name) == [name]


def test_order_of_numbers_of_any_length(here):
    names = ["9" * 60, "1" + "0" * 60, "0" * 30 + "7"]
    for name in names:
        (here / f"s{name}").touch()
    assert found("s*") == [f"s{names[2]}", f"s{names[0]}", f"s{names[1]}"]


def test_directories_are_in_natural_order_before_what_is_in_them(here):
    for name in ("d10/a", "d2/b", "d2-x/a"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    assert found("d*/*") == ["d2/b", "d2-x/a", "d10/a"]


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_a_name_that_is_no_text(here):
    name = os.fsdecode(b"odd\xff")
    (here / name).touch()
    (here / "list").write_bytes(b"odd\xff\n")
    assert found("odd*") == found("@list") == [name]


def test_a_list():
    with open("other/list.txt", "w") as file:
        file.write("# mine\n\nrun10\n  other \r\nrun?\n")
    assert found("@other/list.txt", "run1") == [
        *("other/list.txt", "other/run3"),
        *("run1", "run2", "run10"),
    ]


def test_standard_input(here, command, tmp_path):
    (here / "conf.yaml").write_text(
        yaml.safe_dump(
            {
                "Pipeline": {
                    "gui_address": "",
                    "executor": "sequential",
                    "producer_conf": {
                        "name": "FILES",
                        "module": "ctapipe.pipeline.algorithms.file_finder",
                        "class": "FileFinder",
                    },
                    "stagers_conf": [{"name": "PASS", "module": "common_steps", "class": "Pass"}],
                    "consumer_conf": {
                        "name": "OUT",
                        "module": "ctapipe.pipeline.algorithms.string_writer",
                        "class": "StringWriter",
                    },
                }
            }
        )
    )
    (here / "names").write_text("run10\nrun2\n")
    for arguments in (["--input=-"], ["--input", "-"], ["-i", "-", "--input=run10"]):
        with open("names") as names, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", names)
            done = command("--config=conf.yaml", *arguments)
        assert done.returncode == 0, done.stderr
        assert (here / "string_writer.txt").read_text() == "run2\nrun10\n"

    done = command("--config=conf.yaml", "--input=run1", "--input=nothing*")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "step 'FILES': FileFinder.patterns: no file matches 'nothing*'" in done.stderr


class Shared(Component):
    """A stage that says which files there are."""

    def run(self, path):
        return (path, list(self.parent.shared["files"]))


def test_other_steps_know_all_files():
    collect = collector()
    steps = [FileFinder, Shared, collect]
    names = ["producer_conf", "stagers_conf", "consumer_conf"]
    confs = [{"name": step.__name__, "class": step} for step in steps]
    section = dict(zip(names, [confs[0], [confs[1]], confs[2]], strict=True))
    run({"Pipeline": section, "FileFinder": {"patterns": ["run?"]}}, gui_address="")
    assert sorted(collect.received) == [
        ("run1", ["run1", "run2"]),
        ("run2", ["run1", "run2"]),
    ]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ([], "FileFinder.patterns is not set; give files, --input=FILE"),
        (["run3"], "FileFinder.patterns: there is no file 'run3'$"),
        ([""], "there is no file ''"),
        (["run1", "no*"], r"no file matches 'no\*'$"),
        (["oth*"], r"no file matches 'oth\*'$"),
        (["empty"], "there is no file in the directory 'empty'"),
        (["broken"], "there is no file 'broken'"),
        (["a\0*"], "no file matches"),
        (["x" * 5000], "there is no file 'xxx"),
        (["@list"], "'list', line 3: there is no file 'run3'; 'list', line 5: no file matches"),
        (["@no.txt"], r"the list 'no.txt' cannot be read \(No such file or directory\)"),
        (["@other"], r"the list 'other' cannot be read \(Is a directory\)"),
        (["@comments"], "there is no name in 'comments'"),
        (["@binary"], "'binary' is no list of names; give a file itself without @"),
        (["a", "b", "c", "d", "e"], "'a'; there is no file 'b'; there is no file 'c'; and 2 more$"),
    ],
)
def test_mistakes(patterns, message, here):
    (here / "empty").mkdir()
    (here / "broken").symlink_to("nowhere")
    (here / "list").write_text("run1\n\nrun3\n#\nno*\n")
    (here / "comments").write_text("# nothing\n\n")
    (here / "binary").write_bytes(b"\x28\xb5\0\xfd\n" * 10)
    with pytest.raises(ConfigurationError, match=message) as caught:
        found(*patterns)
    (line,) = caught.value.errors
    assert line.startswith("step 'FILES': ")
    assert "\n" not in line
