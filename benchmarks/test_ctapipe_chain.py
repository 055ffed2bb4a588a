"""The ctapipe chain in worker processes, against one thread and against ctapipe-process."""

import os
from pathlib import Path

import pytest
from ctapipe_chain import event_loop

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTAPIPE_PIPELINE_TEST_DATA", ROOT.parent / "shared" / "data"))
FILES = {"mono": "lst_mono_500.simtel.zst", "stereo": "stereo_100.simtel.zst"}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("other", ["sequential", "ctapipe-process"])
def test_two_processes(compare, kind, other):
    path = DATA / FILES[kind]
    if not path.exists():
        pytest.skip(f"no telescope files in {DATA}; set CTAPIPE_PIPELINE_TEST_DATA")
    name = f"ctapipe.{kind}_{other.replace('-', '_')}"
    compare(name, lambda: (event_loop(other, path), event_loop("processes", path)))
