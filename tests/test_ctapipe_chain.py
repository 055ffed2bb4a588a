"""The ctapipe chain writes the file that ctapipe-process writes."""

import json
import os
import warnings

import numpy as np
import pytest
import tables
import yaml
from ctapipe.core import Provenance, run_tool
from ctapipe.fitting import FIT_RNG
from ctapipe.tools.process import ProcessorTool
from ctapipe.tools.quickstart import QuickStartTool
from hdf5 import assert_same_file, n_rows
from tqdm import tqdm

from ctapipe.pipeline import run

# The files were simulated without the effective focal length.
FILES = {"SimTelEventSource": {"focal_length_choice": "EQUIVALENT"}}
MONO = "lst_mono_10.simtel.gz"
STEREO = "stereo_100.simtel.zst"
TRIGGER = "/dl1/event/subarray/trigger"

KINDS = {
    "dl1 with images": (MONO, ["--write-images"]),
    "dl1 without images": (MONO, ["--no-write-images"]),
    "camera frame": (MONO, ["--camera-frame", "--no-write-images"]),
    "dl2": (
        STEREO,
        ["--max-events=8", "--write-showers", "--no-write-images", "--no-write-parameters"],
    ),
    "everything": (
        STEREO,
        [
            *("--max-events=4", "--write-images", "--write-parameters", "--write-showers"),
            *("--allowed-tels=1", "--allowed-tels=2"),
            *("--DataWriter.write_r0_waveforms=True", "--DataWriter.write_r1_waveforms=True"),
        ],
    ),
    "events read whole": (MONO, ["--write-images", "--EventReader.defer_parsing=False"]),
    "transformed": (
        MONO,
        [
            "--write-images",
            "--DataWriter.transform_image=True",
            "--DataWriter.transform_peak_time=True",
        ],
    ),
    "software trigger": (
        STEREO,
        ["--max-events=8", "--SoftwareTrigger.min_telescopes=6", "--write-images"],
    ),
    "nothing": (MONO, ["--no-write-images", "--no-write-parameters"]),
    "no events": (
        STEREO,
        ["--SoftwareTrigger.min_telescopes=20", "--write-showers", "--no-write-images"],
    ),
}


@pytest.fixture
def files_config(tmp_path):
    """What these files need."""
    path = tmp_path / "files.yaml"
    path.write_text(yaml.safe_dump(FILES))
    return path


@pytest.fixture
def process(command, tmp_path, data_path, files_config, monkeypatch):
    """Runs ``ctapipe-process``, as in a process of its own, and returns what it wrote."""

    # It would be left behind.
    monkeypatch.setattr(tqdm, "monitor_interval", 0)

    def call(name, *arguments):
        FIT_RNG.bit_generator.state = np.random.PCG64(0).state
        Provenance().clear()
        output = tmp_path / "expected.h5"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run_tool(
                ProcessorTool(),
                [f"--config={files_config}", f"--input={data_path / name}", f"--output={output}"]
                + [str(argument) for argument in arguments],
                cwd=tmp_path,
            )
        return output

    return call


@pytest.fixture
def pipeline(command, tmp_path, examples, data_path, files_config):
    """Runs ``ctapipe-pipeline`` with an example, and returns what it wrote."""

    def call(name, *arguments, example="dl1.yaml", returncode=0):
        output = tmp_path / "written.h5"
        done = command(
            f"--config={examples / example}",
            f"--config={files_config}",
            f"--input={data_path / name}",
            f"--output={output}",
            *arguments,
        )
        assert done.returncode == returncode, done.stderr
        return output

    return call


class TestSameFile:
    @pytest.mark.parametrize("kind", KINDS)
    def test_in_one_thread(self, kind, process, pipeline):
        name, options = KINDS[kind]
        expected = process(name, *options)
        assert_same_file(pipeline(name, "--executor=sequential", *options), expected)

    @pytest.mark.parametrize("kind", ["dl1 with images", "dl2", "everything"])
    def test_in_processes(self, kind, process, pipeline):
        name, options = KINDS[kind]
        expected = process(name, *options)
        assert_same_file(pipeline(name, *options), expected)

    def test_in_threads(self, process, pipeline):
        expected = process(MONO, "--no-write-images")
        assert_same_file(pipeline(MONO, "--executor=threads", "--no-write-images"), expected)

    def test_rows_made_by_the_writer(self, process, pipeline, examples, tmp_path):
        example = yaml.safe_load((examples / "dl1.yaml").read_text())
        assert example["Pipeline"]["stagers_conf"].pop()["class"] == "EventSerializer"
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(example))
        expected = process(MONO, "--write-images")
        assert_same_file(pipeline(MONO, "--write-images", example=path), expected)

    def test_dl2_of_dl1(self, process, pipeline, tmp_path):
        dl1 = process(STEREO, "--max-events=8").rename(tmp_path / "events.dl1.h5")
        expected = process(dl1, "--write-showers")
        written = pipeline(dl1, "--executor=sequential", example="dl2.yaml")
        assert_same_file(written, expected)

    def test_seeds_of_modified_images_are_those_of_the_events(self, pipeline, tmp_path):
        options = (
            "--ImageProcessor.apply_image_modifier=True",
            "--ImageModifier.noise_level_dim_pixels=2",
        )
        one = pipeline(MONO, "--executor=sequential", *options).rename(tmp_path / "one.h5")
        assert_same_file(pipeline(MONO, *options), one)

    @pytest.mark.full
    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("nb_process", [1, 2, 4])
    @pytest.mark.parametrize("kind", ["dl1 with images", "dl1 without images", "dl2"])
    @pytest.mark.parametrize("name", ["lst_mono_500.simtel.zst", STEREO])
    def test_of_a_whole_file(self, kind, name, nb_process, process, pipeline, examples, tmp_path):
        options = [option for option in KINDS[kind][1] if "max-events" not in option]
        example = yaml.safe_load((examples / "dl1.yaml").read_text())
        example["Pipeline"]["stagers_conf"][0]["nb_process"] = nb_process
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(example))
        expected = process(name, *options)
        assert_same_file(pipeline(name, *options, example=path), expected)

    def test_muons(self, process, pipeline):
        pytest.importorskip("iminuit")
        options = ["--write-muon-parameters", "--no-write-images"]
        expected = process(MONO, *options)
        assert_same_file(pipeline(MONO, "--executor=sequential", *options), expected)


class TestConfiguration:
    def test_of_quickstart(self, process, pipeline, tmp_path):
        run_tool(
            QuickStartTool(),
            ["--workdir=Work", "--name=A Name", "--email=me@example.org", "--org=X"],
            cwd=tmp_path,
        )
        work = tmp_path / "Work"
        configs = [f"--config={work / f'{name}_config.yaml'}" for name in ("base", "stage1")]
        expected = process(MONO, *configs)
        written = pipeline(MONO, "--executor=sequential", *configs)
        assert_same_file(written, expected)
        with tables.open_file(written) as file:
            assert file.root._v_attrs["CTA CONTACT NAME"] == "A Name"

    def test_sections_within_that_of_the_tool(self, process, pipeline, tmp_path):
        path = tmp_path / "mine.yaml"
        cleaning = {"TailcutsImageCleaner": {"picture_threshold_pe": 20}}
        section = {
            "progress_bar": False,
            "log_file": str(tmp_path / "mine.log"),
            "DataWriter": {"Contact": {"name": "A Name"}},
            "ImageProcessor": cleaning,
        }
        path.write_text(yaml.safe_dump({"ProcessorTool": section}))
        expected = process(MONO, f"--config={path}", "--write-images")
        (tmp_path / "mine.log").unlink()
        assert_same_file(pipeline(MONO, "--executor=sequential", f"--config={path}"), expected)
        assert "ctapipe.pipeline" in (tmp_path / "mine.log").read_text()

    def test_section_within_that_of_a_step(self, pipeline):
        option = "--IMAGES.ImageProcessor.TailcutsImageCleaner.picture_threshold_pe=100000"
        output = pipeline(MONO, "--executor=sequential", option)
        with tables.open_file(output) as file:
            parameters = file.get_node("/dl1/event/telescope/parameters/tel_001")
            assert np.isnan(parameters.col("hillas_intensity")).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--input=nothing.simtel"], "nothing.simtel"),
            (["--input=files.yaml"], "step 'READER': EventSource.input_url: cannot read events"),
            ([], "step 'READER': EventSource.input_url is not set; give an event file"),
            (["--ImageProcesor.image_cleaner_type=X"], "ImageProcesor"),
            (["--outputs=x"], "unknown option '--outputs=x' (did you mean 'output'?)"),
        ],
    )
    def test_mistakes_are_one_line(self, options, message, command, examples, files_config):
        done = command(f"--config={examples / 'dl1.yaml'}", f"--config={files_config}", *options)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr

    def test_unknown_option_in_a_file(self, command, examples, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text("DataWriter: {write_dl1_image: true}\nProcessorTool: {recompute: true}\n")
        done = command(f"--config={examples / 'dl1.yaml'}", f"--config={path}")
        assert done.returncode == 2
        assert "DataWriter: unknown option 'write_dl1_image' (did you mean" in done.stderr
        assert "ProcessorTool: unknown option 'recompute'" in done.stderr

    def test_output_is_replaced_only_if_asked(self, pipeline):
        output = pipeline(MONO, "--executor=sequential", "--max-events=2")
        pipeline(MONO, "--executor=sequential", returncode=2)
        assert n_rows(output, TRIGGER) == 2
        pipeline(MONO, "--executor=sequential", "--overwrite", "--max-events=3")
        assert n_rows(output, TRIGGER) == 3

    def test_provenance_names_files_once(self, pipeline, data_path, tmp_path):
        output = pipeline(MONO)
        (activity,) = json.loads((tmp_path / "ctapipe-pipeline.provenance.log").read_text())
        assert activity["status"] == "completed"
        inputs = [each["url"] for each in activity["input"]]
        assert inputs.count(str(data_path / MONO)) == 1
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
        self, place, options, seen, examples, data_path, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(Look, "seen", [])
        config = yaml.safe_load((examples / "dl1.yaml").read_text()) | FILES
        config["EventSource"] = {"input_url": str(data_path / MONO), "max_events": 2}
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
        self, executor, action, returncode, status, pipeline, examples, tmp_path
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
            "lst_mono_500.simtel.zst",
            f"--executor={executor}",
            example=path,
            returncode=returncode,
        )
        n_events = n_rows(output, TRIGGER)
        assert n_events < 500
        assert n_rows(output, "/dl1/event/telescope/parameters/tel_001") == n_events
        if status == "interrupted":
            assert n_events >= 3
            with tables.open_file(output) as file:
                statistics = file.root.dl1.service.image_statistics
                assert statistics.col("counts")[0] == 2 * n_events
        with tables.open_file(output) as file:
            assert "CTA PRODUCT ID" in file.root._v_attrs
            assert list(file.root.dl1.event.subarray.trigger.col("event_id")) == [
                100 * (i + 1) for i in range(n_events)
            ]
        (activity,) = json.loads((tmp_path / "ctapipe-pipeline.provenance.log").read_text())
        assert (activity["status"], activity["exit_code"]) == (status, returncode)
        assert [each["url"] for each in activity["output"]] == [str(output)]
