"""Files with telescope events: toy data, made here, and real ones where there are any."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT

from ctapipe.pipeline.toy_data import write_toy_data

REAL_DATA = Path(os.environ.get("CTAPIPE_PIPELINE_TEST_DATA", ROOT.parent / "shared" / "data"))
HAS_REAL_DATA = (REAL_DATA / "stereo_100.simtel.zst").exists()
KINDS = ["toy", *(["real"] if HAS_REAL_DATA else [])]


def other_real_files():
    """Real files of other kinds than `EventFiles`."""
    return [*REAL_DATA.resolve().glob("hess_mono_1.simtel.zst")] if HAS_REAL_DATA else []


class EventFiles(NamedTuple):
    """Files of one kind.

    Parameters
    ----------
    mono : pathlib.Path
        Ten events of one telescope, an LST.
    many : pathlib.Path
        Hundreds of events of one telescope.
    stereo : pathlib.Path
        Events of several telescopes, of two types, at least a dozen.
    """

    mono: Path
    many: Path
    stereo: Path


@pytest.fixture(scope="session")
def toy_files(tmp_path_factory):
    """Toy data."""
    directory = tmp_path_factory.mktemp("toy_data")
    files = EventFiles(
        directory / "mono.simtel.gz", directory / "many.simtel.zst", directory / "stereo.simtel.zst"
    )
    write_toy_data(files.mono, n_events=10, n_telescopes=1, seed=1)
    write_toy_data(files.many, n_events=200, n_telescopes=1, seed=2)
    write_toy_data(files.stereo, n_events=16, n_telescopes=4, seed=3)
    return files


@pytest.fixture(params=KINDS)
def files(request):
    """Files of every kind that there is."""
    if request.param == "toy":
        return request.getfixturevalue("toy_files")
    data = REAL_DATA.resolve()
    return EventFiles(
        data / "lst_mono_10.simtel.gz",
        data / "lst_mono_500.simtel.zst",
        data / "stereo_100.simtel.zst",
    )


def pytest_terminal_summary(terminalreporter):
    """Say which files were used."""
    real = f"and real ones in {REAL_DATA}" if HAS_REAL_DATA else f"only; none in {REAL_DATA}"
    terminalreporter.write_line(f"telescope files: toy data, {real}")
