"""The ctapipe chain in worker processes, against one thread and against ctapipe-process."""

import pytest
from ctapipe_chain import command, event_loop

from ctapipe.pipeline.toy_data import write_toy_data

# Events and telescopes.
FILES = {"mono": (500, 1), "stereo": (100, 7)}


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    """Files of toy data."""
    directory = tmp_path_factory.mktemp("toy_data")
    made = {kind: directory / f"{kind}.simtel.zst" for kind in FILES}
    for kind, path in made.items():
        write_toy_data(path, *FILES[kind])
    return made


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("other", ["sequential", "ctapipe-process"])
def test_two_processes(compare, kind, other, paths):
    path = paths[kind]
    name = f"ctapipe.{kind}_{other.replace('-', '_')}"
    compare(name, lambda: (event_loop(other, path), event_loop("processes", path)))


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_command(compare, kind, paths):
    path = paths[kind]
    compare(
        f"ctapipe.{kind}_command",
        lambda: (command("ctapipe-process", path), command("processes", path)),
    )
