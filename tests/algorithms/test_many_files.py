"""Many files with examples/many_files.yaml: each output and the merged file are ctapipe's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from astropy.table import Table
from ctapipe.core import Provenance, run_tool
from ctapipe.tools.apply_models import ApplyModels
from ctapipe.tools.merge import MergeTool
from ctapipe.tools.train_energy_regressor import TrainEnergyRegressor
from hdf5 import assert_same_file, n_rows
from tqdm import tqdm

from ctapipe.pipeline.toy_data import write_toy_data

# The first test compiles what ctapipe has for Numba.
pytestmark = pytest.mark.timeout(300)

MERGER = {
    "name": "MERGE",
    "module": "ctapipe.pipeline.algorithms.file_merger",
    "class": "FileMerger",
    "executor": "threads",
    "ordered": True,
}
MODEL = {
    "model_cls": "ExtraTreesRegressor",
    "model_config": {"n_estimators": 3, "max_depth": 3, "n_jobs": 1},
    "features": ["hillas_intensity", "hillas_width"],
    "QualityQuery": {"quality_criteria": [["parametrized", "~np.isnan(hillas_intensity)"]]},
}


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch):
    # It would be left behind.
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.fixture
def many_files(command, examples, files_config, tmp_path):
    """Runs the example on two cores, with the merger as a further stage."""
    conf = yaml.safe_load((examples / "many_files.yaml").read_text())
    conf["Pipeline"]["stagers_conf"].append(MERGER)
    path = tmp_path / "many_files.yaml"
    path.write_text(yaml.safe_dump(conf))
    return lambda *arguments: command(
        f"--config={path}", f"--config={files_config}", "-j2", *arguments
    )


@pytest.mark.parametrize(
    ("runs", "options"),
    [(range(1, 15), ()), ([3] * 6, ("--single-ob",))],
    ids=["observations", "chunks of one"],
)
def test_twenty_files(runs, options, many_files, process, tmp_path):
    singles = []
    for number, run in enumerate(runs):
        raw = tmp_path / f"run{run}_{number}.simtel"
        write_toy_data(raw, n_events=2, n_telescopes=1, seed=number, run=run)
        singles.append(process(raw, "--write-images").rename(f"single{number}.h5"))
    Provenance().clear()
    run_tool(MergeTool(), [*map(str, singles), "--output=merged.h5", *options], cwd=tmp_path)

    options = ("--write-images", "--output-dir=dl1", "--merged=all.h5", *options)
    done = many_files("--input=run*", *options)
    assert done.returncode == 0, done.stderr
    report = Table.read("report.ecsv")
    assert [*report["state"]] == ["done"] * len(singles)
    assert [*report["events"]] == [2] * len(singles)
    for output, single in zip(report["output"], singles, strict=True):
        assert_same_file(output, single)
    assert_same_file("all.h5", "merged.h5")


@pytest.mark.filterwarnings("ignore:Could not read reference metadata")
def test_another_tool_of_ctapipe(command, examples, process, toy_files, tmp_path):
    """That reads HDF5 files, with a model."""
    inputs = []
    for name, n_events in (("many", 60), ("mono", 5)):
        made = process(getattr(toy_files, name), f"--max-events={n_events}")
        inputs.append(made.rename(tmp_path / f"{name}.dl1.h5"))
    theirs = {"EnergyRegressor": MODEL, "CrossValidator": {"n_cross_validations": 2}}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(theirs))
    arguments = ["--config=train.yaml", f"--input={inputs[0]}", "--output=energy.pkl"]
    run_tool(TrainEnergyRegressor(), arguments, cwd=tmp_path, raises=True)
    for path in inputs:
        arguments = [f"--input={path}", f"--output={path.stem}.expected", "-r", "energy.pkl"]
        run_tool(ApplyModels(), arguments, cwd=tmp_path, raises=True)

    done = command(
        f"--config={examples / 'many_files.yaml'}",
        "--executor=sequential",
        "--ToolRunner.tool=ctapipe-apply-models",
        "--ToolRunner.output={stem}.dl2.h5",
        "--reconstructor=energy.pkl",
        "--input=*.dl1.h5",
        "--output-dir=dl2",
    )
    assert done.returncode == 0, done.stderr
    for path, row in zip(inputs, Table.read("report.ecsv"), strict=True):
        assert_same_file(row["output"], f"{path.stem}.expected")
        assert n_rows(row["output"], "/dl2/event/telescope/energy/ExtraTreesRegressor/tel_001")


def test_files_that_are_cut_off_or_damaged(command, examples, tmp_path):
    """Those are said to be so; a later run takes those that failed."""
    a, cut, bad = (tmp_path / f"{name}.simtel" for name in ("a", "b", "c"))
    for path in (a, cut):
        write_toy_data(path, n_events=3, n_telescopes=1, seed=1)
    os.truncate(cut, cut.stat().st_size * 3 // 4)
    bad.touch()
    options = ("--executor=sequential", "--input=*.simtel", "--output-dir=dl1")
    done = command(f"--config={examples / 'many_files.yaml'}", *options, "--failed=f.json")
    assert done.returncode == 0, done.stderr
    report = Table.read("report.ecsv")
    assert [*report["state"]] == ["done", "done", "failed"]
    assert "truncated" in report["last_warnings"][1]
    assert "truncated" in Path("dl1/b.dl1.h5.log").read_text()
    assert (report["warnings"] > 0).tolist() == [False, True, False]
    assert json.loads(Path("f.json").read_text())["events"] == [2]

    bad.write_bytes(a.read_bytes())
    options += ("--only=f.json", "--failed=g.json", "--log-level=INFO")
    done = command(f"--config={examples / 'many_files.yaml'}", *options)
    assert done.returncode == 0, done.stderr
    assert "1 done, 0 skipped, 0 failed, 0 without a result" in done.stderr
    again = Table.read("report.ecsv")
    assert [*again["state"]] == ["done"] * 3
    # Of the others nothing was made again.
    assert [*again["seconds"]][:2] == [*report["seconds"]][:2]
    assert json.loads(Path("g.json").read_text())["events"] == []


# As root, without the rights that make permissions void.
AS_A_USER = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0:
    prctl = ctypes.CDLL(None).prctl
    for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if prctl(PR_CAPBSET_DROP, right, 0, 0, 0):
            sys.exit("no user")
os.execv(sys.executable, [sys.executable, "-m", "ctapipe.pipeline", *sys.argv[1:]])
"""


def test_a_file_that_must_not_be_read(examples, toy_files, tmp_path):
    secret = tmp_path / "secret.simtel.gz"
    secret.write_bytes(toy_files.mono.read_bytes())
    secret.chmod(0)
    arguments = [
        f"--config={examples / 'many_files.yaml'}",
        "--executor=sequential",
        f"--input={secret}",
        f"--input={toy_files.mono}",
        "--max-events=1",
    ]
    done = subprocess.run(
        [sys.executable, "-c", AS_A_USER, *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    if "no user" in done.stderr:
        pytest.skip("root cannot do without its rights here")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    by_name = {Path(row["input"]).name: row for row in Table.read(tmp_path / "report.ecsv")}
    assert by_name["mono.simtel.gz"]["state"] == "done"
    assert by_name["secret.simtel.gz"]["state"] == "failed"
    assert "Permission denied" in by_name["secret.simtel.gz"]["error"]
