"""A tool on many files, against a loop of the shell on as many cores."""

import pytest
from many_files import added_memory_mb, make_files, seconds_with_pipeline, seconds_with_xargs

N_PROCESSES = 2


@pytest.mark.parametrize("n_events", [20, 300])
def test_against_xargs(compare, size, tmp_path, n_events):
    files = make_files(tmp_path / "files", size(6, 20), n_events)
    compare(
        f"many_files.of_{n_events}_events",
        lambda: (
            seconds_with_xargs(files, N_PROCESSES),
            seconds_with_pipeline(files, N_PROCESSES),
        ),
        tries=size(5, 3),
    )


def test_memory(compare, size, tmp_path):
    n_workers = size(3, 8)
    files = make_files(tmp_path / "files", 2 * n_workers, 20)
    compare("many_files.memory", lambda: (added_memory_mb(files, n_workers), 150), tries=1)
