"""The project of ``--quickstart``, as its README says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ctapipe.io import read_table

FILES = {"README.md", "dl1.yaml", "pulses.yaml", "steps.py", "test_steps.py"}


# Six commands.
@pytest.mark.timeout(600)
def test_all_that_the_readme_says_works(command, tmp_path, monkeypatch):
    project = tmp_path / "made" / "here"
    done = command("--quickstart=made/here")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{project}: README.md says what to type\n"
    assert done.stderr == ""
    assert set(os.listdir(project)) == FILES
    # No provenance.
    assert os.listdir(tmp_path) == ["made"]
    blocks = re.findall(r"```sh\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 5
    said = subprocess.run(
        ["bash", "-e", "-c", "".join(blocks)],
        cwd=project,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert said.returncode == 0, said.stdout
    assert "2 passed" in said.stdout
    assert "finished after" in said.stdout
    assert len((project / "pulses.txt").read_text().splitlines()) == 5
    assert "flowchart" in (project / "pulses.md").read_text()
    events = read_table(project / "events.dl1.h5", "/dl1/event/subarray/trigger")
    assert len(events) == 20


def test_its_dl1_configuration_is_the_example(command, tmp_path, examples):
    command("--quickstart=here")
    mine, example = ((path / "dl1.yaml").read_text() for path in (tmp_path / "here", examples))
    assert yaml.safe_load(mine) == yaml.safe_load(example)


def test_what_is_there_is_replaced_only_if_told_so(command, tmp_path):
    (tmp_path / "steps.py").write_text("mine")
    done = command("--quickstart=.")
    assert done.returncode == 2
    assert "--quickstart: there is steps.py in " in done.stderr
    assert "give another directory, or --overwrite" in done.stderr
    assert (tmp_path / "steps.py").read_text() == "mine"
    assert not (tmp_path / "pulses.yaml").exists()
    assert command("--quickstart=.", "--overwrite").returncode == 0
    assert "class Waveforms" in (tmp_path / "steps.py").read_text()


@pytest.mark.parametrize("directory", ["file", "file/below"])
def test_where_there_can_be_no_directory_is_one_line(command, tmp_path, directory):
    (tmp_path / "file").write_text("mine")
    done = command(f"--quickstart={directory}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "file" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"
