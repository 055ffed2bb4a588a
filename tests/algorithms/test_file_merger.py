"""The merged file is the one that ctapipe-merge makes of the single files."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import tables
from astropy.table import Table
from ctapipe.core import Provenance, run_tool
from ctapipe.tools.merge import MergeTool
from ctapipe.tools.process import ProcessorTool
from files_done import run_files, run_killed
from hdf5 import assert_same_file
from tqdm import tqdm

from ctapipe.pipeline import ConfigurationError, StepError
from ctapipe.pipeline.algorithms.file_merger import FileMerger
from ctapipe.pipeline.algorithms.file_reporter import FileReporter
from ctapipe.pipeline.toy_data import write_toy_data

# The first test compiles what ctapipe has for Numba.
pytestmark = pytest.mark.timeout(180)

MERGER = {"name": "MERGE", "class": FileMerger, "ordered": True, "executor": "threads"}
FAILED = {"state": "failed", "error": "it is damaged"}
# Name: observation, number of telescopes.
FILES = {
    "run1_0.h5": (1, 1),
    "run1_1.h5": (1, 1),
    "run2.h5": (2, 1),
    "run3.h5": (3, 1),
    "run4_others.h5": (4, 2),
}


@pytest.fixture(scope="module")
def dl1(tmp_path_factory):
    """A directory with files of events."""
    directory = tmp_path_factory.mktemp("dl1")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It would be left behind.
        patch.setattr(tqdm, "monitor_interval", 0)
        for seed, (name, (run, n_telescopes)) in enumerate(FILES.items()):
            raw = directory / "raw.simtel.zst"
            write_toy_data(raw, n_events=4, n_telescopes=n_telescopes, seed=seed, run=run)
            arguments = [f"--input={raw}", f"--output={directory / name}", "--overwrite"]
            run_tool(ProcessorTool(), arguments, cwd=directory)
    return directory


@pytest.fixture(autouse=True)
def in_directory_of_files(dl1, tmp_path, monkeypatch):
    for name in FILES:
        shutil.copy(dl1 / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    # It would be left behind.
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    Provenance().clear()


def merged_by_ctapipe(names, *options):
    Provenance().clear()
    run_tool(MergeTool(), [*names, "--output=expected.h5", *options], cwd=Path.cwd())
    return "expected.h5"


def merge(names, results=None, executor="sequential", **options):
    """Merge with the merger as the consumer."""
    run_files(FileMerger, names, results, executor, HDF5Merger={"output_path": "all.h5", **options})


def new_files():
    """What was made besides; also what is not complete."""
    return {*os.listdir()} - {*FILES}


class TestSameFile:
    def test_of_several_observations(self, executor_here):
        names = ["run3.h5", "run1_0.h5", "run2.h5"]
        merge(names, executor=executor_here)
        assert_same_file("all.h5", merged_by_ctapipe(names))

    def test_of_chunks_of_an_observation(self):
        names = ["run1_1.h5", "run1_0.h5"]
        by_name = "merge_strategy" in FileMerger.classes[0].class_trait_names()
        merge(names, **({"merge_strategy": "events-single-ob"} if by_name else {"single_ob": True}))
        assert_same_file("all.h5", merged_by_ctapipe(names, "--single-ob"))

    def test_of_parts_of_the_files(self):
        names = ["run1_0.h5", "run2.h5"]
        merge(names, dl1_parameters=False)
        assert_same_file("all.h5", merged_by_ctapipe(names, "--no-dl1-parameters"))

    def test_as_a_stage(self, executor):
        names = ["run1_0.h5", "run2.h5", "run3.h5"]
        skipped = {"run2.h5": {"state": "skipped"}}
        options = {"HDF5Merger": {"output_path": "all.h5"}}
        run_files(FileReporter, names, skipped, executor, [MERGER], **options)
        assert_same_file("all.h5", merged_by_ctapipe(names))
        assert [*Table.read("report.ecsv")["state"]] == ["done", "skipped", "done"]


class TestNotAll:
    def test_failed_files_are_not_in_it(self, caplog):
        names = ["run1_0.h5", "none.h5", "run2.h5", "lost.h5", "run3.h5"]
        merge(names, {"none.h5": FAILED, "lost.h5": "lost"})
        assert_same_file("all.h5", merged_by_ctapipe([n for n in names if n.startswith("run")]))
        assert "step 'LAST' none.h5: it is damaged" in caplog.text
        assert "/all.h5' has 3 of 5 files: the others have failed" in caplog.text

    def test_all_have_failed(self, caplog, tmp_path):
        merge(["run1_0.h5"], {"run1_0.h5": FAILED})
        assert f"there is no merged file '{tmp_path}/all.h5': all failed" in caplog.text
        assert not new_files()

    def test_the_run_ends_before(self, caplog, tmp_path):
        names = ["run1_0.h5", "run2.h5", "run3.h5"]
        options = {"HDF5Merger": {"output_path": "all.h5"}, "on_error": "stop"}
        with pytest.raises(StepError, match="run2.h5: it is damaged"):
            run_files(FileMerger, names, {"run2.h5": FAILED}, **options)
        assert (
            f"there is no merged file '{tmp_path}/all.h5': the run ended before 'run3.h5'"
            in caplog.text
        )
        assert not new_files()

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("run4_others.h5", "cannot be merged: Subarrays do not match for file: run4_others.h5"),
            ("run1_1.h5", "merge chunks of one observation with --single-ob"),
            ("text.h5", "cannot be merged: HDF5ExtError"),
            ("none.h5", "cannot be merged: FileNotFoundError"),
        ],
    )
    def test_a_file_that_does_not_fit(self, name, reason, caplog):
        with open("text.h5", "w") as file:
            file.write("no HDF5")
        names = ["run1_0.h5", name, "run2.h5"]
        run_files(FileReporter, names, stages=[MERGER], HDF5Merger={"output_path": "all.h5"})
        assert_same_file("all.h5", merged_by_ctapipe(["run1_0.h5", "run2.h5"]))
        table = Table.read("report.ecsv")
        assert [*table["state"]] == ["done", "failed", "done"]
        assert reason in table["error"][1]
        assert f"step 'LAST' {name}: cannot be merged" in caplog.text
        assert "Traceback" not in caplog.text

    def test_a_file_that_is_damaged_in_the_middle(self, tmp_path):
        with tables.open_file("run2.h5") as file:
            chunk = file.root.dl1.event.subarray.trigger.chunk_info((0,))
        with open("run2.h5", "r+b") as damaged:
            damaged.seek(chunk.offset)
            damaged.write(bytes(chunk.size))
        names = ["run1_0.h5", "run2.h5", "run3.h5"]
        options = {"HDF5Merger": {"output_path": "all.h5"}, "stages": [MERGER]}
        with pytest.raises(StepError) as raised:
            run_files(FileReporter, names, **options)
        assert str(raised.value).startswith(
            f"step 'MERGE' there is no merged file '{tmp_path}/all.h5': cannot append 'run2.h5': "
        )
        assert "\n" not in str(raised.value)
        assert [*Table.read("report.ecsv")["state"]] == ["done", "failed", "done"]
        assert new_files() == {"report.ecsv"}


class TestOutput:
    def test_killed_and_started_again(self):
        names = ["run1_0.h5", "run2.h5", "run3.h5"]
        options = {"names": names, "HDF5Merger": {"output_path": "made/all.h5"}}
        run_killed(FileMerger, {**options, "results": {"run3.h5": "killed"}})
        assert "all.h5" not in os.listdir("made")
        run_files(FileMerger, **options)
        assert os.listdir("made") == ["all.h5"]
        assert_same_file("made/all.h5", merged_by_ctapipe(names))

    def test_is_replaced_only_if_asked(self):
        merge(["run1_0.h5"])
        before = os.stat("all.h5")
        with pytest.raises(ConfigurationError, match="/all.h5' exists; give another name"):
            merge(["run2.h5"])
        assert os.stat("all.h5") == before
        merge(["run2.h5"], overwrite=True)
        assert_same_file("all.h5", merged_by_ctapipe(["run2.h5"]))

    def test_mistakes(self):
        with pytest.raises(ConfigurationError, match="output_path is not set; name the merged"):
            run_files(FileMerger, ["run2.h5"])
        with pytest.raises(ConfigurationError, match=r"HDF5Merger\.append"):
            merge(["run2.h5"], append=True)
        with pytest.raises(ConfigurationError, match=r"cannot write '.*/run2.h5/all.h5'"):
            run_files(FileMerger, ["run1_0.h5"], HDF5Merger={"output_path": "run2.h5/all.h5"})


CONFIGURATION = """
Pipeline:
  executor: sequential
  producer_conf: {name: FILES, class: Files, module: files_done}
  stagers_conf:
    - {name: DONE, class: Done, module: files_done}
    - {name: MERGE, class: FileMerger, module: ctapipe.pipeline.algorithms.file_merger}
  consumer_conf:
    {name: LAST, class: FileReporter, module: ctapipe.pipeline.algorithms.file_reporter}
Files: {names: [run1_0.h5, run1_1.h5]}
"""


def test_command(command):
    with open("files.yaml", "w") as file:
        file.write(CONFIGURATION)
    options = ["--config=files.yaml", "--report=mine.ecsv", "--merged=all.h5", "--single-ob"]
    done = command(*options)
    assert done.returncode == 0, done.stderr
    assert [*Table.read("mine.ecsv")["state"]] == ["done", "done"]
    with open("ctapipe-pipeline.provenance.log") as file:
        (activity,) = json.load(file)
    assert {Path(each["url"]).name for each in activity["input"]} >= {"run1_0.h5", "run1_1.h5"}
    assert {Path(each["url"]).name for each in activity["output"]} == {"all.h5", "mine.ecsv"}
    assert_same_file("all.h5", merged_by_ctapipe(["run1_0.h5", "run1_1.h5"], "--single-ob"))
    again = command(*options)
    assert again.returncode == 2
    assert (
        "make it again, --skip-existing, or it and all other outputs, --overwrite" in again.stderr
    )
    for option in ("--overwrite", "--skip-existing"):
        before = os.stat("all.h5").st_ino
        assert command(*options, option).returncode == 0
        assert os.stat("all.h5").st_ino != before
