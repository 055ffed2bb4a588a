"""The chain does what the ctapipe that is there does, also one that is not known yet."""

import ast
import importlib
import inspect
import pickle
import warnings
from pathlib import Path

import astropy.units as u
import ctapipe
import numpy as np
import pytest
import tables
import yaml
from astropy.table import QTable
from astropy.time import Time
from ctapipe.core import Component
from ctapipe.core.traits import Bool, Int
from ctapipe.io import DataWriter, EventSource, write_table
from ctapipe.io.hdf5dataformat import DL0_TEL_POINTING_GROUP
from ctapipe.tools import process as ctapipe_process
from hdf5 import assert_same_file

from ctapipe.pipeline import run
from ctapipe.pipeline.algorithms._ctapipe import eventio_internals, internals
from ctapipe.pipeline.algorithms._ctapipe.processing import ProcessingStep

# The first test compiles what ctapipe has for Numba.
pytestmark = pytest.mark.timeout(180)
VERSION = internals.release(ctapipe.__version__)
ALGORITHMS = Path(inspect.getfile(internals)).parents[1]
FENCED = (internals, eventio_internals)
# What decides whether the rest of them is used.
DECIDES = {"look_at", "release", "unexpected", "_difference", "_find"}


def forbid(module, monkeypatch):
    """Let all that uses private names fail."""

    def used(*args, **kwargs):
        pytest.fail(f"{module.__name__} is used")

    for name, thing in list(vars(module).items()):
        if getattr(thing, "__module__", None) != module.__name__ or name in DECIDES:
            continue
        if inspect.isfunction(thing):
            monkeypatch.setattr(module, name, used)
        elif inspect.isclass(thing) and issubclass(thing, Component):
            monkeypatch.setattr(thing, "__init__", used)


@pytest.fixture(scope="module")
def expected_of_toys():
    """What ctapipe-process writes, by options."""
    return {}


class TestPrivateNames:
    @pytest.mark.parametrize(
        ("module", "private"),
        [(module, private) for module in FENCED for private in module.PRIVATE_NAMES],
        ids=lambda value: value.name if hasattr(value, "owner") else None,
    )
    def test_without_one_the_file_is_the_same(
        self, module, private, toy_files, process, pipeline, expected_of_toys, monkeypatch, tmp_path
    ):
        options = ["--write-images", "--max-events=3"]
        if "file" not in expected_of_toys:
            expected_of_toys["file"] = process(toy_files.mono, *options).read_bytes()
        expected = tmp_path / "expected.h5"
        expected.write_bytes(expected_of_toys["file"])
        names = [
            each._replace(name=f"{each.name}_of_before") if each == private else each
            for each in module.PRIVATE_NAMES
        ]
        monkeypatch.setattr(module, "PRIVATE_NAMES", tuple(names))
        forbid(module, monkeypatch)

        assert_same_file(pipeline(toy_files.mono, "--executor=sequential", *options), expected)

        assert pipeline.stderr.count("WARNING") == 1
        assert f"{private.name}_of_before" in pipeline.stderr

    @pytest.mark.parametrize("package", ["ctapipe", "eventio"])
    @pytest.mark.parametrize("executor", ["sequential", "threads", "processes"])
    @pytest.mark.parametrize(
        "options",
        [
            ["--write-images"],
            ["--write-showers", "--no-write-images"],
        ],
        ids=["dl1", "dl2"],
    )
    def test_with_a_version_to_come_the_file_is_the_same(
        self,
        options,
        executor,
        package,
        toy_files,
        process,
        pipeline,
        examples,
        tmp_path,
        monkeypatch,
    ):
        monkeypatch.setattr(importlib.import_module(package), "__version__", "99.1.0")
        expected = process(toy_files.stereo, "--max-events=8", *options)
        # A step's module, which worker processes import too.
        (tmp_path / "to_come.py").write_text(
            f"import {package}\n\n"
            f"{package}.__version__ = '99.1.0'\n\n\n"
            "class Pass:\n    def run(self, event):\n        return event\n"
        )
        example = yaml.safe_load((examples / "dl1.yaml").read_text())
        example["Pipeline"]["jobs"] = 2
        example["Pipeline"]["stagers_conf"].append(
            {"name": "PASS", "module": "to_come", "class": "Pass", "chained": True}
        )
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(example))

        written = pipeline(
            toy_files.stereo, f"--executor={executor}", "--max-events=8", *options, example=path
        )

        assert_same_file(written, expected)
        (warning,) = (line for line in pipeline.stderr.splitlines() if "WARNING" in line)
        assert f"{package} 99.1.0 is newer than" in warning

    def test_nothing_is_unexpected_of_the_versions_that_are_installed(self):
        assert internals.unexpected() == ()
        assert eventio_internals.unexpected() == ()

    def test_only_one_module_uses_them(self):
        private = {each.name for module in FENCED for each in module.PRIVATE_NAMES}
        allowed = {Path(inspect.getfile(module)) for module in FENCED}
        # Also attributes of others, and what subclasses would replace.
        private -= {"__init__", "current_event", "current_mc_shower", "content_address"}
        for path in ALGORITHMS.rglob("*.py"):
            if path in allowed:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            own = set()
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    own.add(node.attr)
                elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                    assert node.name not in private, f"{path.name}: {node.name}"
                    own.add(node.name)
                elif isinstance(node, ast.AnnAssign | ast.Assign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    own |= {target.id for target in targets if isinstance(target, ast.Name)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                    of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                    # PyTables declares the latter public.
                    is_dunder = node.attr.startswith(("__", "_v_"))
                    assert of_self or is_dunder or node.attr in own, f"{path.name}: {node.attr}"
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    self.assert_public(path, node)

    @staticmethod
    def assert_public(path, node):
        """What is imported is declared public, as far as its module declares anything."""
        if node.module.partition(".")[0] not in ("ctapipe", "eventio"):
            return
        module = importlib.import_module(node.module)
        public = getattr(module, "__all__", None)
        for alias in node.names:
            is_module = inspect.ismodule(getattr(module, alias.name))
            is_declared = public is None or alias.name in public
            assert is_declared or is_module, f"{path.name}: {node.module}.{alias.name}"


class Measure:
    """Stage that notes the size of messages and what is attached to them."""

    sizes = []
    keys = set()

    def run(self, event):
        Measure.sizes.append(len(pickle.dumps(event)))
        Measure.keys |= set(event.meta)
        return event


@pytest.mark.parametrize("place", [1, 2, 3, 6])
def test_messages_hold_nothing_but_what_is_needed(
    place, toy_files, examples, tmp_path, monkeypatch
):
    monkeypatch.setattr(Measure, "sizes", [])
    monkeypatch.setattr(Measure, "keys", set())
    config = yaml.safe_load((examples / "dl1.yaml").read_text())
    config["EventSource"] = {"input_url": str(toy_files.mono)}
    config["DataWriter"] |= {"output_path": str(tmp_path / "events.dl1.h5")}
    config["Pipeline"]["stagers_conf"].insert(place, {"name": "MEASURE", "class": Measure})
    for step in config["Pipeline"]["stagers_conf"]:
        step.pop("chained", None)
    run(config, executor="sequential")

    with EventSource(toy_files.mono) as source:
        n_pixels = source.subarray.tel[1].camera.geometry.n_pixels
        n_samples = next(iter(source)).r1.tel[1].waveform.shape[-1]
    # Waveforms are numbers of four bytes; an image and what belongs to it is less than 30.
    n_bytes = n_pixels * (30 + (4 * n_samples if place == 1 else 0))
    assert len(Measure.sizes) == 10
    assert max(Measure.sizes) < n_bytes
    assert Measure.keys <= {"timing", "statistics"}


def test_monitoring_data_of_a_file_with_images(toy_files, process, pipeline, tmp_path):
    dl1 = process(toy_files.stereo, "--max-events=8", "--write-images").rename(tmp_path / "1.h5")
    pointings = tmp_path / "pointings.h5"
    write_pointings(dl1, pointings)
    options = [
        "--ProcessorTool.monitoring_source_list=HDF5MonitoringSource",
        f"--HDF5MonitoringSource.input_files={pointings}",
        *("--write-showers", "--write-images"),
    ]
    expected = process(dl1, *options)
    assert_same_file(pipeline(dl1, "--executor=sequential", *options, example="dl2.yaml"), expected)


def write_pointings(events, path):
    """A monitoring file in which telescopes point elsewhere than in a file with events."""
    with warnings.catch_warnings(), EventSource(events) as source:
        warnings.simplefilter("ignore")
        with DataWriter(event_source=source, output_path=path) as write:
            for event in source:
                write(event)
        times = Time([event.trigger.time for event in source]).tai
        span = times.max() - times.min()
        for tel_id in source.subarray.tel:
            table = QTable(
                {
                    "time": times.min() + np.linspace(-1, 2, 10) * span,
                    "azimuth": np.full(10, 15 + tel_id / 10) * u.deg,
                    "altitude": np.full(10, 69.0) * u.deg,
                }
            )
            write_table(table, path, f"{DL0_TEL_POINTING_GROUP}/tel_{tel_id:03d}", append=True)


# Of the toy data's events without light.
ALLOWED_TYPES = [
    f"--NoiseEventTypeFilter.allowed_types={name}" for name in ("DARK_PEDESTAL", "SKY_PEDESTAL")
]


@pytest.mark.skipif(VERSION < (0, 31), reason="ctapipe adds noise since 0.31")
class TestNoise:
    @staticmethod
    def options(path, n_realizations):
        return (
            "--ProcessorTool.add_nsb_in_waveforms=True",
            f"--WaveformModifier.nsb_file={path}",
            f"--WaveformModifier.n_noise_realizations={n_realizations}",
            *ALLOWED_TYPES,
        )

    def test_is_the_same_in_each_run(self, toy_files, pipeline, tmp_path):
        options = self.options(toy_files.mono, 5)
        one = pipeline(toy_files.mono, "--executor=sequential", *options)
        one = one.rename(tmp_path / "one.h5")
        for executor in ("threads", "processes"):
            written = pipeline(toy_files.mono, f"--executor={executor}", *options)
            assert_same_file(written, one)
            written.unlink()
        whole = pipeline(toy_files.mono, "--EventReader.defer_parsing=False", *options)
        assert_same_file(whole, one)

    def test_is_that_of_ctapipe(self, toy_files, process, pipeline):
        # With one realization there is nothing left to chance.
        path = toy_files.stereo
        options = [*self.options(path, 1), "--write-images", "--max-events=5"]
        expected = process(path, *options)
        assert_same_file(pipeline(path, "--executor=sequential", *options), expected)

    def test_option_in_a_file(self, toy_files, pipeline, tmp_path):
        quiet = pipeline(toy_files.mono, "--executor=sequential").rename(tmp_path / "quiet.h5")
        path = tmp_path / "noise.yaml"
        section = {
            "add_nsb_in_waveforms": True,
            "WaveformModifier": {"nsb_file": str(toy_files.mono)},
        }
        path.write_text(yaml.safe_dump({"ProcessorTool": section}))
        noisy = pipeline(
            toy_files.mono,
            "--executor=sequential",
            f"--config={path}",
            *ALLOWED_TYPES,
        )
        images = []
        for written in (quiet, noisy):
            with tables.open_file(written) as file:
                images.append(file.root.dl1.event.telescope.images.tel_001.col("image"))
        assert images[0].shape == images[1].shape
        assert (images[0] != images[1]).any(axis=1).all()

    @pytest.mark.parametrize("options", [[], ["--WaveformModifier.nsb_level=1000"]])
    def test_mistakes_are_one_line(self, options, toy_files, command, examples):
        files = [f"--WaveformModifier.nsb_file={toy_files.mono}"] if options else []
        done = command(
            f"--config={examples / 'dl1.yaml'}",
            f"--input={toy_files.mono}",
            "--executor=sequential",
            "--ProcessorTool.add_nsb_in_waveforms=True",
            *ALLOWED_TYPES,
            *options,
            *files,
        )
        assert done.returncode == 2
        assert "ProcessorTool.add_nsb_in_waveforms: " in done.stderr
        assert "--WaveformModifier.nsb_file=FILE" in done.stderr
        assert "Traceback" not in done.stderr


class ToCome(Component):
    """A component that a later ctapipe-process has."""

    strength = Int(0, help="How strong").tag(config=True)


class TestOptionsToCome:
    @pytest.fixture(autouse=True)
    def tool(self, monkeypatch):
        """A ctapipe-process with an option, a flag, an alias and a component more."""
        base = ctapipe_process.ProcessorTool
        tool = type(
            "ProcessorTool",
            (base,),
            {
                "to_come": Bool(False, help="What comes").tag(config=True),
                "classes": [*base.classes, ToCome],
            },
        )
        monkeypatch.setattr(ctapipe_process, "ProcessorTool", tool)
        flags = {"come": ({"ProcessorTool": {"to_come": True}}, "Let it come")}
        monkeypatch.setattr(ProcessingStep, "flags", {**ProcessingStep.flags, **flags})
        aliases = {"strength": "ToCome.strength"}
        monkeypatch.setattr(ProcessingStep, "aliases", {**ProcessingStep.aliases, **aliases})
        monkeypatch.setattr(ProcessingStep, "classes", [*ProcessingStep.classes, ToCome])

    @pytest.mark.parametrize(
        ("option", "name"),
        [
            ("--ProcessorTool.to_come=True", "ProcessorTool.to_come"),
            ("--come", "ProcessorTool.to_come"),
            ("--ToCome.strength=3", "ToCome.strength"),
            ("--strength=3", "ToCome.strength"),
            ("--config=options.yaml", "ToCome.strength"),
        ],
    )
    @pytest.mark.parametrize("executor", ["sequential", "threads", "processes"])
    def test_are_an_error(self, executor, option, name, toy_files, command, examples, tmp_path):
        (tmp_path / "options.yaml").write_text("ProcessorTool: {ToCome: {strength: 3}}\n")
        done = command(
            f"--config={examples / 'dl1.yaml'}",
            f"--executor={executor}",
            "-j2",
            f"--input={toy_files.mono}",
            option,
        )
        assert done.returncode == 2
        (line,) = {line for line in done.stderr.splitlines() if f"{name}: " in line}
        assert "leave it out, use ctapipe-process" in line
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "events.dl1.h5").exists()

    def test_do_no_harm_unless_they_are_set(self, toy_files, pipeline):
        assert pipeline(toy_files.mono, "--executor=sequential", "--max-events=1").exists()


def test_a_reconstructor_without_its_atmosphere_is_a_mistake_of_the_configuration(
    toy_files, command, examples, monkeypatch, tmp_path
):
    # A file of an older sim_telarray has no profile.
    from ctapipe.io import SimTelEventSource

    monkeypatch.setattr(SimTelEventSource, "atmosphere_density_profile", None)
    done = command(
        f"--config={examples / 'dl1.yaml'}",
        f"--input={toy_files.stereo}",
        "--executor=sequential",
        "--write-showers",
        "--reconstructor=ImPACTReconstructor",
    )
    assert done.returncode == 2
    assert "ShowerProcessor.reconstructor_types: " in done.stderr
    assert "has no atmosphere profile; choose other reconstructors" in done.stderr
    assert "Traceback" not in done.stderr
