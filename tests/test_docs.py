"""What README.md and docs/ show works.

Each page is run from top to bottom, in a directory of its own, as a reader would:

- A block with a caption is a file, and is written. In README.md the caption is the name in
  backquotes at the start of the line above the block.
- A ``console`` or ``sh`` block is typed into a shell. In a ``console`` block commands start with
  ``$ ``; where output follows a command, it is compared, and ``...`` stands for anything. A command
  has to succeed, unless ``echo $?`` follows it.
- Any other ``python`` block is a cell of a notebook that the page shares, and a ``pycon`` block
  (``>>>``) is a doctest in it.

The directory stands for a checkout: ``examples/`` is in it. Commands that install or check the
project are not run here, because CI does: they have to be the ones in ``.ci/run``.
"""

import dataclasses
import doctest
import html
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import types
from pathlib import Path

import pytest
from checkout import ROOT

from ctapipe.pipeline import running

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.rst"))]

INSTALL = re.compile(r"pip install (?:-e )?'\.\[(\w+)\]'(?: && )?")
# Commands that check the project, and what .ci/run has to have for each.
CHECKS = {
    "pytest": ".ci/readme_test ",  # as the README says it
    "pytest benchmarks": "pytest benchmarks",
    "ruff check": "ruff check",
    "ruff format --check": "ruff format --check",
    "cython-lint src": "cython-lint src",
    "mypy": "mypy",
    "sphinx-build -W -b html docs docs/_build": "sphinx-build -W -q -b html docs ",
    "bash .ci/run": "#!/usr/bin/env bash",
}
# A window stays open until it is closed: by Ctrl-C, when it has had the time to open; or, with a
# picture, until another pipeline on this machine ends.
WINDOW = re.compile(r"ctapipe-guipipe(?!.*--help)")
CLOSE_WINDOW = "timeout --preserve-status -s INT 8 {}; s=$?; test $s = 130 -o $s = 0"
FILES = ("python", "json", "yaml", "toml")


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: Path
    line: int
    language: str
    caption: str | None
    text: str

    def __str__(self):
        return f"{self.page.name}, line {self.line}"


RST_BLOCK = re.compile(
    r"""^\.\.\ code-block::\ (?P<language>\S+)\n
        (?P<options>(?:\ +:.*\n)*)
        \n
        (?P<text>(?:\ {3}.*\n|\n)+)""",
    re.MULTILINE | re.VERBOSE,
)
RST_CAPTION = re.compile(r":caption: (.+)")
MARKDOWN_BLOCK = re.compile(
    r"""(?:^`(?P<caption>[^`\n]+)`[^\n]*:\n\n)?
        ^```(?P<language>\w*)\n
        (?P<text>.*?)
        ^```$""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)


def blocks_of(page):
    """The blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    blocks = []
    for match in (MARKDOWN_BLOCK if page.suffix == ".md" else RST_BLOCK).finditer(content):
        if page.suffix == ".md":
            caption = match["caption"]
        else:
            found = RST_CAPTION.search(match["options"])
            caption = found and found[1]
        line = content.count("\n", 0, match.start("text")) + 1
        text = textwrap.dedent(match["text"]).strip("\n") + "\n"
        blocks.append(Block(page, line, match["language"], caption, text))
    return blocks


def commands_of(block):
    """Pairs of a command of a shell block and the output that is shown for it."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    if block.language == "sh":
        return [(line, "") for line in joined.splitlines()]
    parts = re.split(r"^\$ ", joined, flags=re.MULTILINE)
    assert parts[0] == "", f"{block}: a console block starts with a command"
    return [tuple(part.partition("\n")[::2]) for part in parts[1:]]


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]
ALL_COMMANDS = [
    command
    for block in ALL_BLOCKS
    if block.language in ("console", "sh")
    for command, _ in commands_of(block)
]


# Each of its shell blocks has a limit of its own.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path, monkeypatch):
    directory = tmp_path / "checkout"
    directory.mkdir()
    (directory / "examples").symlink_to(ROOT / "examples")
    notebook = types.ModuleType(f"notebook_of_{page.stem}")
    monkeypatch.setitem(sys.modules, notebook.__name__, notebook)
    monkeypatch.syspath_prepend(directory)
    monkeypatch.chdir(directory)
    try:
        for block in blocks_of(page):
            if block.caption:
                Path(block.caption).write_text(block.text, encoding="utf-8")
            elif block.language in ("console", "sh"):
                type_into_shell(block)
            elif block.language == "python":
                code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
                exec(code, vars(notebook))
            elif block.language == "pycon":
                run_doctest(block, notebook)
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(directory)):
                del sys.modules[name]


def type_into_shell(block):
    """Run the commands of a block, and compare what they print with what is shown."""
    mark = "---- status "
    commands = [
        (INSTALL.sub("", command), shown)
        for command, shown in commands_of(block)
        if INSTALL.sub("", command) not in ("", *CHECKS)
    ]
    if not commands:
        return
    script = "\n".join(
        f"{CLOSE_WINDOW.format(command) if WINDOW.match(command) else command}\n"
        f"status=$?; echo; echo '{mark}'$status; (exit $status)"
        for command, _ in commands
    )
    process = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    printed = re.sub(r"\x1b\[[\d;]*m", "", process.stdout)
    results = re.findall(rf"(.*?)\n{mark}(\d+)\n", printed, re.DOTALL)
    assert len(results) == len(commands), f"{block}: {printed}"
    following = [command for command, _ in commands[1:]] + [None]
    for (command, shown), (output, status), next_command in zip(
        commands, results, following, strict=True
    ):
        assert status == "0" or next_command == "echo $?", f"{block}: {command}\n{output}"
        if shown:
            matches = doctest.OutputChecker().check_output(
                without_margin(shown), without_margin(output), doctest.ELLIPSIS
            )
            assert matches, f"{block}: {command}\nshown:\n{shown}\nprinted:\n{output}"


def without_margin(text):
    """The lines without what is invisible at their ends."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def run_doctest(block, notebook):
    """Run the examples of a block in the notebook."""
    test = doctest.DocTestParser().get_doctest(
        block.text, vars(notebook), str(block), str(block.page), block.line - 1
    )
    report = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    failed, _ = runner.run(test, out=report.append, clear_globs=False)
    assert not failed, "".join(report)
    vars(notebook).update(test.globs)


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_block_is_of_a_kind_that_is_run(block):
    if block.caption:
        assert block.language in FILES
        blocks = blocks_of(block.page)
        after = "".join(later.text for later in blocks[blocks.index(block) + 1 :])
        name = Path(block.caption)
        assert (name.stem if name.suffix == ".py" else name.name) in after, "nothing uses it"
    else:
        # `text` is for pictures made of letters.
        assert block.language in ("console", "sh", "python", "pycon", "text")


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_every_block_of_code_is_found(page):
    content = page.read_text(encoding="utf-8")
    assert content.count(".. code-block::") == len(blocks_of(page))
    # A block of another kind would not be run.
    assert not re.search(r"::$(?<!figure::)", re.sub(r"^\.\. .*", "", content, flags=re.M), re.M)
    assert ">>>" not in RST_BLOCK.sub("", content)


def test_commands_that_are_not_run_here_are_those_of_ci():
    ci = ROOT / ".ci" / "run"
    if not ci.exists():
        pytest.skip("a source distribution has no .ci/run")
    lines = ci.read_text(encoding="utf-8")
    for command, in_ci in CHECKS.items():
        assert command in {INSTALL.sub("", command) for command in ALL_COMMANDS}
        assert in_ci in lines


def test_extras_that_are_installed_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [found[1] for found in map(INSTALL.search, ALL_COMMANDS) if found]
    assert extras
    assert set(extras) <= set(project["optional-dependencies"])


def test_links_of_readme():
    links = re.findall(r"\]\(([^)#]+)\)", PAGES[0].read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    for link in local:
        assert (ROOT / link).exists(), link


def test_map_of_the_source_is_complete():
    content = (DOCS / "developing.rst").read_text(encoding="utf-8")
    named = set(re.findall(r"``((?:src|docs|tests|examples)/[\w./]*)``", content))
    for path in named:
        assert (ROOT / path).exists(), path
    # Its files are in src/README.md; see test_folders.py.
    assert "src/README.md" in named


def test_picture_shows_what_is_in_its_source():
    source = (DOCS / "pipeline.dot").read_text(encoding="utf-8")
    shown = re.findall(r"<text[^>]*>(.*)</text>", (DOCS / "pipeline.svg").read_text("utf-8"))
    labels = {label.strip() for label in re.findall(r">([^<>]+)</?(?:td|b|br|font)\b", source)}
    labels |= {label.strip() for label in re.findall(r'label="([^"]+)"', source)}
    labels.discard("")
    assert len(labels) > 20
    assert labels == {html.unescape(text).strip() for text in shown} - {""}


def test_example_in_docstring():
    failed, attempted = doctest.testmod(running)
    assert attempted
    assert not failed
