"""The ctapipe chain writes the file that ctapipe-process writes."""

import json
import os
import shutil
from itertools import islice

import numpy as np
import pytest
import tables
import yaml
from ctapipe.core import run_tool
from ctapipe.io import EventSource
from ctapipe.tools.quickstart import QuickStartTool
from hdf5 import assert_same_file, n_rows

from ctapipe.pipeline import run

# The first test compiles what ctapipe has for Numba.
pytestmark = pytest.mark.timeout(180)
TRIGGER = "/dl1/event/subarray/trigger"

KINDS = {
    "dl1 with images": ("mono", ["--write-images"]),
    "dl1 without images": ("mono", ["--no-write-images"]),
    "camera frame": ("mono", ["--camera-frame", "--no-write-images"]),
    "dl2": (
        "stereo",
        ["--max-events=8", "--write-showers", "--no-write-images", "--no-write-parameters"],
    ),
    "everything": (
        "stereo",
        [
            *("--max-events=4", "--write-images", "--write-parameters", "--write-showers"),
            *("--allowed-tels=1", "--allowed-tels=2"),
            *("--DataWriter.write_r0_waveforms=True", "--DataWriter.write_r1_waveforms=True"),
        ],
    ),
    "events read whole": ("mono", ["--write-images", "--EventReader.defer_parsing=False"]),
    "transformed": (
        "mono",
        [
            "--write-images",
            "--DataWriter.transform_image=True",
            "--DataWriter.transform_peak_time=True",
        ],
    ),
    "software trigger": (
        "stereo",
        ["--max-events=8", "--SoftwareTrigger.min_telescopes=3", "--write-images"],
    ),
    "nothing": ("mono", ["--no-write-images", "--no-write-parameters"]),
    "no events": (
        "stereo",
        ["--SoftwareTrigger.min_telescopes=20", "--write-showers", "--no-write-images"],
    ),
}


def case(kind, files):
    """The file and the options of a kind."""
    name, options = KINDS[kind]
    return getattr(files, name), options


class TestSameFile:
    @pytest.mark.parametrize("kind", KINDS)
    def test_in_one_thread(self, kind, files, process, pipeline):
        path, options = case(kind, files)
        expected = process(path, *options)
        assert_same_file(pipeline(path, "--executor=sequential", *options), expected)

    @pytest.mark.parametrize("kind", ["dl1 with images", "dl1 without images", "dl2", "everything"])
    def test_in_processes(self, kind, files, process, pipeline):
        path, options = case(kind, files)
        expected = process(path, *options)
        assert_same_file(pipeline(path, *options), expected)

    @pytest.mark.parametrize("kind", ["dl1 with images", "dl1 without images", "dl2"])
    def test_in_threads(self, kind, toy_files, process, pipeline):
        path, options = case(kind, toy_files)
        expected = process(path, *options)
        assert_same_file(pipeline(path, "--executor=threads", *options), expected)

    def test_rows_made_by_the_writer(self, toy_files, process, pipeline, examples, tmp_path):
        example = yaml.safe_load((examples / "dl1.yaml").read_text())
        assert example["Pipeline"]["stagers_conf"].pop()["class"] == "EventSerializer"
        example["Pipeline"]["jobs"] = 2
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(example))
        expected = process(toy_files.mono, "--write-images")
        assert_same_file(pipeline(toy_files.mono, "--write-images", example=path), expected)

    @pytest.mark.parametrize("executor", ["sequential", "threads", "processes"])
    def test_dl2_of_dl1(self, executor, files, process, pipeline, tmp_path):
        dl1 = process(files.stereo, "--max-events=8").rename(tmp_path / "events.dl1.h5")
        expected = process(dl1, "--write-showers")
        written = pipeline(dl1, f"--executor={executor}", example="dl2.yaml")
        assert_same_file(written, expected)

    def test_seeds_of_modified_images_are_those_of_the_events(self, toy_files, pipeline, tmp_path):
        options = (
            "--ImageProcessor.apply_image_modifier=True",
            "--ImageModifier.noise_level_dim_pixels=2",
        )
        one = pipeline(toy_files.mono, "--executor=sequential", *options).rename(
            tmp_path / "one.h5"
        )
        assert_same_file(pipeline(toy_files.mono, *options), one)

    @pytest.mark.full
    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("nb_process", [1, 2, 4])
    @pytest.mark.parametrize("kind", ["dl1 with images", "dl1 without images", "dl2"])
    @pytest.mark.parametrize("name", ["many", "stereo"])
    def test_of_a_whole_file(
        self, kind, name, nb_process, files, process, pipeline, examples, tmp_path
    ):
        options = [option for option in KINDS[kind][1] if "max-events" not in option]
        example = yaml.safe_load((examples / "dl1.yaml").read_text())
        example["Pipeline"]["stagers_conf"][0]["nb_process"] = nb_process
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(example))
        events = getattr(files, name)
        expected = process(events, *options)
        assert_same_file(pipeline(events, *options, example=path), expected)

    def test_muons(self, toy_files, process, pipeline):
        options = ["--write-muon-parameters", "--no-write-images"]
        expected = process(toy_files.mono, *options)
        assert_same_file(pipeline(toy_files.mono, "--executor=sequential", *options), expected)


class TestConfiguration:
    def test_of_quickstart(self, toy_files, process, pipeline, tmp_path):
        run_tool(
            QuickStartTool(),
            ["--workdir=Work", "--name=A Name", "--email=me@example.org", "--org=X"],
            cwd=tmp_path,
        )
        work = tmp_path / "Work"
        configs = [f"--config={work / f'{name}_config.yaml'}" for name in ("base", "stage1")]
        expected = process(toy_files.mono, *configs)
        written = pipeline(toy_files.mono, "--executor=sequential", *configs)
        assert_same_file(written, expected)
        with tables.open_file(written) as file:
            assert file.root._v_attrs["CTA CONTACT NAME"] == "A Name"

    def test_sections_within_that_of_the_tool(self, toy_files, process, pipeline, tmp_path):
        path = tmp_path / "mine.yaml"
        cleaning = {"TailcutsImageCleaner": {"picture_threshold_pe": 20}}
        section = {
            "progress_bar": False,
            "log_file": str(tmp_path / "mine.log"),
            "DataWriter": {"Contact": {"name": "A Name"}},
            "ImageProcessor": cleaning,
        }
        path.write_text(yaml.safe_dump({"ProcessorTool": section}))
        expected = process(toy_files.mono, f"--config={path}", "--write-images")
        (tmp_path / "mine.log").unlink()
        assert_same_file(
            pipeline(toy_files.mono, "--executor=sequential", f"--config={path}"), expected
        )
        assert "ctapipe.pipeline" in (tmp_path / "mine.log").read_text()

    def test_section_within_that_of_a_step(self, toy_files, pipeline):
        option = "--IMAGES.ImageProcessor.TailcutsImageCleaner.picture_threshold_pe=100000"
        output = pipeline(toy_files.mono, "--executor=sequential", option)
        with tables.open_file(output) as file:
            parameters = file.get_node("/dl1/event/telescope/parameters/tel_001")
            assert np.isnan(parameters.col("hillas_intensity")).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--input=nothing.simtel"], "nothing.simtel"),
            (
                ["--input=files.yaml"],
                "step 'READER': EventSource.input_url: cannot read events from",
            ),
            ([], "step 'READER': EventSource.input_url is not set; give an event file"),
            (["--ImageProcesor.image_cleaner_type=X"], "ImageProcesor"),
            (["--outputs=x"], "unknown option '--outputs=x' (did you mean 'output'?)"),
            (["--output=a", "--output=b"], "output_path only accepts one value"),
            (
                ["--input=a", "--input=b"],
                "for many files, one by one, --config=examples/many_files.yaml --input='PATTERN'",
            ),
            (["--input", "run1", "run2"], "'run2' (a configuration is given with --config=FILE; a"),
            (["--input=run*"], "many files, one by one, --config=examples/many_files.yaml --input"),
            (["--input=."], "--config=examples/many_files.yaml --input='.'"),
            (["--input=@list"], "--config=examples/many_files.yaml --input='@list'"),
        ],
    )
    def test_mistakes_are_one_line(self, options, message, command, examples, files_config):
        files = [f"--config={examples / 'dl1.yaml'}", f"--config={files_config}"]
        done = command(*files, "-j2", *options)
        assert done.returncode == 2
        assert message in done.stderr
        assert sum("ERROR" in line for line in done.stderr.splitlines()) <= 2
        assert "Traceback" not in done.stderr

    def test_unknown_option_in_a_file(self, command, examples, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("DataWriter: {write_dl1_image: true}\nProcessorTool: {recompute: true}\n")
        done = command(f"--config={examples / 'dl1.yaml'}", f"--config={path}")
        assert done.returncode == 2
        assert "DataWriter: unknown option 'write_dl1_image' (did you mean" in done.stderr
        assert "ProcessorTool: unknown option 'recompute'" in done.stderr

    def test_output_is_replaced_only_if_asked(self, toy_files, pipeline):
        output = pipeline(toy_files.mono, "--executor=sequential", "--max-events=2")
        pipeline(toy_files.mono, "--executor=sequential", returncode=2)
        assert n_rows(output, TRIGGER) == 2
        pipeline(toy_files.mono, "--executor=sequential", "--overwrite", "--max-events=3")
        assert n_rows(output, TRIGGER) == 3

    def test_the_input_is_not_the_output(self, toy_files, command, examples, tmp_path):
        path = tmp_path / "same.simtel.zst"
        shutil.copy(toy_files.mono, path)
        config = f"--config={examples / 'dl1.yaml'}"
        options = ["--overwrite", "--executor=sequential", f"--output={tmp_path}/x/../{path.name}"]
        (tmp_path / "x").mkdir()
        done = command(config, f"--input={path}", *options)
        assert done.returncode == 2
        assert f"{path.name}' is read by this run; write elsewhere, --output" in done.stderr
        assert path.read_bytes() == toy_files.mono.read_bytes()

    def test_no_directory_for_the_output(self, toy_files, pipeline, command, examples):
        config = f"--config={examples / 'dl1.yaml'}"
        done = command(config, f"--input={toy_files.mono}", "--output=nowhere/out.h5")
        assert done.returncode == 2
        assert "step 'WRITER': DataWriter.output_path: there is no directory" in done.stderr

    def test_provenance_names_files_once(self, pipeline, toy_files, tmp_path):
        output = pipeline(toy_files.mono)
        (activity,) = json.loads((tmp_path / "ctapipe-pipeline.provenance.log").read_text())
        assert activity["status"] == "completed"
        inputs = [each["url"] for each in activity["input"]]
        assert inputs.count(str(toy_files.mono)) == 1
        assert [each["url"] for each in activity["output"]] == [str(output)]
        assert activity["config"]["DataWriter"]["write_dl1_images"] is True

    def test_help_has_the_options_of_ctapipe_process(self, command, examples):
        done = command(f"--config={examples / 'dl1.yaml'}", "--help-all")
        assert done.returncode == 0
        for option in ("-i, --input=", "--write-images", "--ImageProcessor.image_cleaner_type"):
            assert option in done.stdout


class Look:
    """Stage that notes which arrays events have."""

    seen = []

    def run(self, event):
        has_image = None
        for camera in event.dl1.tel.values():
            has_image = camera.image is not None
        Look.seen.append((bool(event.r0.tel), bool(event.r1.tel), has_image))
        return event


class TestDropping:
    @pytest.mark.parametrize(
        ("place", "options", "seen"),
        [
            (1, {}, (False, True, None)),
            (1, {"EventParser": {"drop_r0_waveforms": False}}, (True, True, None)),
            (2, {}, (False, False, True)),
            (2, {"Calibrator": {"drop_waveforms": False}}, (False, True, True)),
            (2, {"DataWriter": {"write_r1_waveforms": True}}, (False, True, True)),
            (5, {}, (False, False, False)),
            (5, {"ShowerReconstructor": {"drop_images": False}}, (False, False, True)),
            (5, {"DataWriter": {"write_dl1_images": True}}, (False, False, True)),
        ],
    )
    def test_what_a_step_in_between_sees(
        self, place, options, seen, examples, toy_files, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(Look, "seen", [])
        config = yaml.safe_load((examples / "dl1.yaml").read_text())
        config["EventSource"] = {"input_url": str(toy_files.mono), "max_events": 2}
        config["DataWriter"] = {"output_path": str(tmp_path / "events.dl1.h5")}
        config["Pipeline"]["stagers_conf"].insert(place, {"name": "LOOK", "class": Look})
        for step in config["Pipeline"]["stagers_conf"]:
            step.pop("chained", None)
        for section, values in options.items():
            config.setdefault(section, {}).update(values)
        run(config, executor="sequential")
        assert Look.seen == [seen] * 2


INTERRUPTING = """
import os
import signal


class Interrupt:
    n_events = 0

    def run(self, event):
        Interrupt.n_events += 1
        if Interrupt.n_events == 3:
            {action}
        return event
"""


class TestEarlyEnd:
    @pytest.mark.parametrize("executor", ["sequential", "threads", "processes"])
    @pytest.mark.parametrize(
        ("action", "returncode", "status"),
        [
            (f"os.kill({os.getpid()}, signal.SIGINT)", 130, "interrupted"),
            ("raise RuntimeError", 1, "error"),
        ],
        ids=["interrupted", "failed"],
    )
    def test_leaves_a_file_with_the_events_so_far(
        self, toy_files, executor, action, returncode, status, pipeline, examples, tmp_path
    ):
        (tmp_path / "interrupting.py").write_text(INTERRUPTING.format(action=action))
        example = yaml.safe_load((examples / "dl1.yaml").read_text())
        # One, because the second signal would abort the run.
        example["Pipeline"]["stagers_conf"][0]["nb_process"] = 1
        example["Pipeline"]["stagers_conf"].append(
            {"name": "LAST", "module": "interrupting", "class": "Interrupt", "chained": True}
        )
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(example))
        output = pipeline(
            toy_files.many,
            f"--executor={executor}",
            example=path,
            returncode=returncode,
        )
        n_events = n_rows(output, TRIGGER)
        assert n_events < 200
        assert n_rows(output, "/dl1/event/telescope/parameters/tel_001") == n_events
        if status == "interrupted":
            assert n_events >= 3
            with tables.open_file(output) as file:
                statistics = file.root.dl1.service.image_statistics
                assert statistics.col("counts")[0] == 2 * n_events
        with tables.open_file(output) as file:
            assert "CTA PRODUCT ID" in file.root._v_attrs
            written = file.root.dl1.event.subarray.trigger.col("event_id").tolist()
        with EventSource(toy_files.many) as source:
            assert written == [event.index.event_id for event in islice(source, n_events)]
        (activity,) = json.loads((tmp_path / "ctapipe-pipeline.provenance.log").read_text())
        assert (activity["status"], activity["exit_code"]) == (status, returncode)
        assert [each["url"] for each in activity["output"]] == [str(output)]
