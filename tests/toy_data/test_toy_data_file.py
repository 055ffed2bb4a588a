"""The file of toy data: its objects, when there is one, and the command that writes it."""

import ast
import gzip
import io
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zstandard
from checkout import ROOT
from ctapipe.io import EventSource
from eventio import EventIOFile
from eventio.base import read_header
from eventio.tools import read_unsigned_varint, read_varint

from ctapipe.pipeline.toy_data import write_toy_data
from ctapipe.pipeline.toy_data.__main__ import main
from ctapipe.pipeline.toy_data.container import (
    SYNC_MARKER,
    dump_differences,
    dump_object,
    header,
    integers,
    shorts,
    unsigned_varint,
    varint,
)

# What eventio raises.
INCOMPLETE = (EOFError, IndexError, ValueError, struct.error)


def leaves(objects):
    """The objects that have no others in them."""
    for each in objects:
        if each.only_subobjects:
            yield from leaves(each)
        else:
            yield each


def test_every_object_is_as_long_as_it_has_to_be(tmp_path):
    """Without its last four bytes it is not complete."""
    path, cut, tried = tmp_path / "toy.simtel", tmp_path / "cut.simtel", set()
    write_toy_data(path, 2, 2)
    with EventIOFile(path) as source:
        for each in leaves(source):
            complete = pickle.dumps(each.parse())
            each.seek(0)
            content = each.read()
            assert len(content) % 4 == 0
            shorter = header(
                each.header.type, len(content) - 4, each.header.id, each.header.version
            )
            cut.write_bytes(SYNC_MARKER + shorter + content[:-4])
            with EventIOFile(cut) as source_of_cut, suppress(*INCOMPLETE):
                # Texts are cut without an error.
                assert pickle.dumps(next(source_of_cut).parse()) != complete, each
            tried.add(type(each).__name__)
    assert len(tried) == 24


def test_numbers_of_variable_length():
    numbers = [0, 1, 127, 128, 16383, 16384, 2097151, 2097152, (1 << 28) - 1]
    for number in numbers:
        assert read_unsigned_varint(io.BytesIO(unsigned_varint(number))) == number
    for number in [0, 1, -1, 63, 64, -64, -65, 8191, 8192, -8192, -8193, 1 << 20, -(1 << 20)]:
        assert read_varint(io.BytesIO(varint(number))) == number
    with pytest.raises(ValueError, match="28 bits"):
        unsigned_varint(1 << 28)


def test_differences(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 1 << 16, (50, 40), dtype=np.uint16)
    rows[10:] //= 1 << 6
    rows[20:] //= 1 << 4
    rows[30, ::2], rows[30, 1::2] = 0, (1 << 16) - 1
    path = tmp_path / "samples.simtel"
    adc_samples, telescope_id = 2013, 7
    content = integers(50) + shorts(1, 40) + dump_differences(rows)
    path.write_bytes(
        SYNC_MARKER + dump_object(adc_samples, content, id_=telescope_id << 12, version=3)
    )
    with EventIOFile(path) as source:
        (samples,) = source
        assert samples.telescope_id == telescope_id
        np.testing.assert_array_equal(samples.parse()[0], rows)


@pytest.mark.parametrize("length", [0, 4, (1 << 30) - 4, 1 << 30, (1 << 35) + 8])
def test_header(length):
    fields = read_header(io.BytesIO(header(2010, length, -3, 4, True)), offset=0)
    assert (fields.type, fields.id, fields.version) == (2010, -3, 4)
    assert fields.content_size == length
    assert fields.only_subobjects
    assert fields.extended == (length >= 1 << 30)


def test_compressions_have_the_same_content(tmp_path):
    names = ["toy.simtel", "toy.simtel.gz", "toy.simtel.zst"]
    plain, gzipped, zstd = (tmp_path / name for name in names)
    for path in (plain, gzipped, zstd):
        write_toy_data(path, 2, 2)
        with EventSource(path) as source:
            assert len(list(source)) == 2
    data = plain.read_bytes()
    assert gzip.decompress(gzipped.read_bytes()) == data
    assert zstandard.ZstdDecompressor().decompressobj().decompress(zstd.read_bytes()) == data
    assert data.startswith(SYNC_MARKER)
    assert sorted(os.listdir(tmp_path)) == names


@pytest.mark.parametrize("ending", ["simtel", "simtel.gz", "simtel.zst"])
def test_same_seed_same_bytes(ending, tmp_path):
    first, second, other = (tmp_path / f"{name}.{ending}" for name in "abc")
    for path, seed in ((first, 3), (second, 3), (other, 4)):
        write_toy_data(path, 2, 2, seed)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_file_is_replaced_when_the_new_one_is_complete(tmp_path):
    path = tmp_path / "toy.simtel"
    path.write_text("old")
    with limit_of_file_size(100_000), pytest.raises(OSError, match="too large"):
        write_toy_data(path, 5, 1)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [path.name]
    write_toy_data(path, 1, 1)
    assert path.read_bytes().startswith(SYNC_MARKER)
    assert os.listdir(tmp_path) == [path.name]


class limit_of_file_size:
    """Like a disk that is full."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls the command in an empty directory; returns its exit code and what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["toy_data", *arguments])
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        out, err = capsys.readouterr()
        return code, out + err

    return call


def test_command(call):
    assert call("t.simtel", "--events=1", "--telescopes=2", "--seed=5") == (0, "")
    write_toy_data("same.simtel", 1, 2, 5)
    assert Path("t.simtel").read_bytes() == Path("same.simtel").read_bytes()


def test_number_of_the_run(call):
    assert call("t.simtel", "--events=1", "--telescopes=1", "--run=2147483647") == (0, "")
    with EventSource("t.simtel") as source:
        assert source.obs_ids == [2147483647]
        assert [event.index.obs_id for event in source] == [2147483647]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the following arguments are required: FILE"),
        (["t.simtel.bz2"], "t.simtel.bz2: the name has to end in .simtel, .simtel.gz or "),
        (["t.gz"], "t.gz: the name has to end in .simtel, .simtel.gz or .simtel.zst"),
        (["t.simtel", "--events=0"], "events: 0 is not one of 1 to 1000000"),
        (["t.simtel", "--events=many"], "argument --events: invalid int value: 'many'"),
        (["t.simtel", "--telescopes=0"], "telescopes: 0 is not one of 1 to 99"),
        (["t.simtel", "--telescopes=100"], "telescopes: 100 is not one of 1 to 99"),
        (["t.simtel", "--seed=-1"], "seed: -1 is negative"),
        (["t.simtel", "--run=0"], "run: 0 is not one of 1 to 2147483647"),
        (["t.simtel", "--event=1"], "unrecognized arguments: --event=1"),
        (["no/t.simtel"], "no/t.simtel: there is no directory no"),
    ],
)
def test_mistakes(arguments, line, call):
    code, said = call(*arguments)
    assert code == 2
    assert said.count("\n") == 1
    assert line in said
    assert os.listdir() == []


def test_directory_instead_of_file(call):
    Path("toy.simtel").mkdir()
    code, said = call("toy.simtel")
    assert (code, said.count("\n")) == (2, 1)
    assert "toy.simtel: is a directory" in said
    assert os.listdir() == ["toy.simtel"]


def test_without_zstandard(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    code, said = call("toy.simtel.zst", "--events=1")
    assert (code, said.count("\n")) == (2, 1)
    assert "needs the package zstandard" in said
    assert call("toy.simtel.gz", "--events=1", "--telescopes=1") == (0, "")
    assert os.listdir() == ["toy.simtel.gz"]


def test_full_disk(call):
    with limit_of_file_size(100_000):
        code, said = call("toy.simtel", "--events=5")
    assert (code, said.count("\n")) == (1, 1)
    assert "toy.simtel: File too large" in said
    assert os.listdir() == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(stop, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "ctapipe.pipeline.toy_data", "toy.simtel.gz", "--events=20000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        limit = time.monotonic() + 60
        while not os.listdir(tmp_path):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert said == ""
    assert os.listdir(tmp_path) == []


def test_imports_run_one_way():
    """Nothing but numpy, astropy, ctapipe and the standard library; and not the rest of us."""
    allowed = {"numpy", "astropy", "ctapipe"} | sys.stdlib_module_names
    for path in (ROOT / "src" / "toy_data").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level in (0, 1)
                names = [] if node.level else [node.module]
            else:
                names = [name.name for name in getattr(node, "names", [])]
                if not isinstance(node, ast.Import):
                    continue
            for name in names:
                assert name.split(".")[0] in allowed
                assert not name.startswith("ctapipe.pipeline")
