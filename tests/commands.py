"""Runs ``ctapipe-process`` and ``ctapipe-pipeline``, to compare what they write."""

import warnings

import numpy as np
import pytest
import yaml
from ctapipe.core import Provenance, run_tool
from ctapipe.tools.process import ProcessorTool
from tqdm import tqdm

from ctapipe.pipeline.algorithms._ctapipe.random_numbers import SHARED_RNG

# The real files were simulated without the effective focal length.
FILES = {"SimTelEventSource": {"focal_length_choice": "EQUIVALENT"}}


@pytest.fixture
def files_config(tmp_path):
    """What these files need."""
    path = tmp_path / "files.yaml"
    path.write_text(yaml.safe_dump(FILES))
    return path


@pytest.fixture
def process(command, tmp_path, files_config, monkeypatch):
    """Runs ``ctapipe-process``, as in a process of its own, and returns what it wrote."""

    # It would be left behind.
    monkeypatch.setattr(tqdm, "monitor_interval", 0)

    def call(path, *arguments):
        SHARED_RNG.bit_generator.state = np.random.PCG64(0).state
        Provenance().clear()
        output = tmp_path / "expected.h5"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run_tool(
                ProcessorTool(),
                [f"--config={files_config}", f"--input={path}", f"--output={output}"]
                + [str(argument) for argument in arguments],
                cwd=tmp_path,
            )
        return output

    return call


@pytest.fixture
def pipeline(command, tmp_path, examples, files_config):
    """Runs ``ctapipe-pipeline`` with an example, and returns what it wrote.

    ``pipeline.stderr`` is what the last run has said.
    """

    def call(path, *arguments, example="dl1.yaml", returncode=0):
        output = tmp_path / "written.h5"
        # Else as many as there are cores; copies of an example say how many.
        jobs = ["-j2"] if isinstance(example, str) else []
        done = command(
            f"--config={examples / example}",
            f"--config={files_config}",
            f"--input={path}",
            f"--output={output}",
            *jobs,
            *arguments,
        )
        assert done.returncode == returncode, done.stderr
        call.stderr = done.stderr
        return output

    return call
