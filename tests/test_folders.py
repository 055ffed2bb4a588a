"""What ``src/README.md`` says of the package: where what is, and who may import whom."""

import ast
import functools
import re
from pathlib import Path

from checkout import ROOT

SRC = ROOT / "src"
README = SRC / "README.md"
SUFFIXES = (".py", ".pyx", ".pxd", ".pxi", ".h")

# What is outside the order, and all that it may import.
OF_STATUS = {"status.snapshot", "status.recent", "status.wording"}
OUTSIDE = {
    **{room: {"errors", "status.snapshot"} for room in OF_STATUS},
    "gui": {"errors", "command_line", "start_up", *OF_STATUS},
    "algorithms": {"__init__"},
    "toy_data": set(),
}
# The door, which opens to all.
DOOR = {"__init__", "__main__"}


def block_of(heading):
    """The lines of the block of text under a heading of the README."""
    content = README.read_text(encoding="utf-8")
    match = re.search(rf"^## {heading}\n.*?^```text\n(.*?)^```$", content, re.M | re.S)
    return match[1].splitlines()


def paths_in_map():
    """The files in the map, with the folders that they stand in."""
    paths, folders = [], []
    for line in filter(None, block_of("The map")):
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 4
        if name.endswith("/"):
            folders[depth:] = [name]
        elif Path(name).suffix in SUFFIXES:
            paths.append("".join(folders[:depth]) + name)
    return paths


@functools.cache
def files():
    """All files with code in the package, relative to it."""
    return {
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*")
        if path.suffix in (*SUFFIXES, ".pyi") and "build" not in path.parts
    }


def test_every_file_is_in_the_map_once():
    expected = {
        path
        for path in files()
        if not path.endswith(".pyi") and (path == "__init__.py" or "/__init__.py" not in path)
    }
    paths = paths_in_map()
    assert sorted(paths) == sorted(set(paths))
    assert expected - set(paths) == set(), "not in the map of src/README.md"
    assert set(paths) - files() == set(), "only in the map of src/README.md"


def test_what_a_message_passes_exists():
    content = "\n".join(block_of("The way of a message"))
    named = re.findall(r"[\w/]+\.(?:pyx|pxd|pxi|py|h)\b|\w+/(?= )", content)
    assert len(named) > 20
    for path in named:
        assert (SRC / path).exists(), path


@functools.cache
def order():
    """The rooms of the package in the order of imports: for each, which line it is on."""
    return {
        room.strip(): line
        for line, rooms in enumerate(block_of("Imports"))
        for room in rooms.split(",")
    }


def room_of(path):
    """Which room a file is in; None for a folder that has several."""
    if path.suffix == ".pxd" and len(path.parts) == 1:
        # What the router keeps its messages in lies beside it.
        return "_router"
    parts = path.with_suffix("").parts
    module = ".".join(parts)
    rooms = {*order(), *OUTSIDE, *DOOR}
    return next((room for room in (module, parts[0]) if room in rooms), None)


def imported(path):
    """The files of the package that a file imports, anywhere in it, relative to the package."""
    text = (SRC / path).read_text(encoding="utf-8")
    if path.endswith((".py", ".pyi")):
        names = imported_by_python(ast.parse(text))
    else:
        names = imported_by_cython(text)
    for level, module, name in names:
        if level:
            start = Path(path).parents[level - 1]
        elif module.partition(".")[0] == "ctapipe" and module.split(".")[1:2] == ["pipeline"]:
            start, module = Path(), ".".join(module.split(".")[2:])
        else:
            # Cython finds these by the folders of headers.
            yield from (Path(other) for other in files() if Path(other).name == f"{module}.pxd")
            continue
        target = start.joinpath(*module.split(".")) if module else start
        inner = target / name
        is_module = any((SRC / inner).with_suffix(suffix).exists() for suffix in SUFFIXES)
        if is_module or (SRC / inner).is_dir():
            target = inner
        yield target if target != Path() else Path("__init__")


def imported_by_python(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def imported_by_cython(text):
    for dots, module, name in re.findall(r"^\s*from (\.*)([\w.]*) c?import \(?(\w*)", text, re.M):
        yield len(dots), module, name
    for module in re.findall(r"^\s*c?import ([\w.]+)", text, re.M):
        yield 0, module, ""


def test_imports_go_one_way():
    lines = order()
    against, n_imports = set(), 0
    for path in files() - {"__init__.py", "__main__.py"}:
        room = room_of(Path(path))
        if room is None:
            assert path.endswith("/__init__.py"), f"{path} is in no room"
            continue
        for target in imported(path):
            other = room_of(target)
            if other == room:
                continue
            n_imports += 1
            if room in OUTSIDE:
                allowed = other in OUTSIDE[room]
            elif other in OF_STATUS:
                allowed = room in ("status.publisher", "progress")
            else:
                allowed = other in lines and lines[other] < lines[room]
            if not allowed:
                against.add((path, other or target.as_posix()))
    assert n_imports > 80
    assert against == set()


def test_rooms_exist():
    for room in [*order(), *OUTSIDE]:
        place = SRC / room.replace(".", "/")
        assert place.is_dir() or any(place.with_suffix(suffix).exists() for suffix in SUFFIXES)
