"""The ctapipe chain in worker processes, against one thread and against ctapipe-process."""

import os
from pathlib import Path

import pytest
from ctapipe_chain import command, event_loop

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTAPIPE_PIPELINE_TEST_DATA", ROOT.parent / "shared" / "data"))
FILES = {"mono": "lst_mono_500.simtel.zst", "stereo": "stereo_100.simtel.zst"}


def file_of(kind):
    path = DATA / FILES[kind]
    if not path.exists():
        pytest.skip(f"no telescope files in {DATA}; set CTAPIPE_PIPELINE_TEST_DATA")
    return path.resolve()


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("other", ["sequential", "ctapipe-process"])
def test_two_processes(compare, kind, other):
    path = file_of(kind)
    name = f"ctapipe.{kind}_{other.replace('-', '_')}"
    compare(name, lambda: (event_loop(other, path), event_loop("processes", path)))


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_command(compare, kind):
    path = file_of(kind)
    compare(
        f"ctapipe.{kind}_command",
        lambda: (command("ctapipe-process", path), command("processes", path)),
    )
