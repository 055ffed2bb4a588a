"""What is installed: the wheel, the source distribution, and what they depend on."""

import ast
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from checkout import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

pytestmark = pytest.mark.timeout(300)

LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "_build")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """A wheel made of a source distribution made of this checkout."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("not in a checkout")
    source = tmp_path_factory.mktemp("source") / "checkout"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", "dist"],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    (sdist,) = (source / "dist").glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_the_package_and_nothing_else(distributions):
    wheel, _ = distributions
    names = zipfile.ZipFile(wheel).namelist()
    package = [name for name in names if not name.split("/")[0].endswith(".dist-info")]
    assert all(name.startswith("ctapipe/pipeline/") for name in package)
    files = {name.removeprefix("ctapipe/pipeline/") for name in package}
    sources = [path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.pyx")]
    assert Path("_router.pyx") in sources
    for module in (path.with_suffix("").as_posix() for path in sources):
        assert f"{module}.pyi" in files
        assert any(name.startswith(f"{module}.") and name.endswith(".so") for name in files)
    assert {"__init__.py", "py.typed", "tool.py", "executors/parallel.py"} <= files
    assert "algorithms/hessio_reader.py" in files
    quickstart = ROOT / "src" / "quickstart" / "project-files"
    assert {f"quickstart/project-files/{path.name}" for path in quickstart.iterdir()} == {
        name for name in files if name.startswith("quickstart/project-files/")
    }
    assert not [
        name for name in files if name.endswith((".pyx", ".pxd", ".pxi", ".c", ".h", ".md"))
    ]
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"ctapipe-pipeline = ctapipe.pipeline.__main__:main" in zipfile.ZipFile(wheel).read(
        entry_points
    )
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_source_distribution_holds_what_a_build_needs(distributions):
    _, sdist = distributions
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGES.md"} <= files
    assert {"src/_router.pyx", "src/native/_libzmq.h", "src/transport/_wire.pxd"} <= files
    assert {"tests/conftest.py", "examples/hessio.json"} <= files


@pytest.fixture(scope="module")
def pyproject():
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not in a checkout")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imported(path):
    """The modules that a file imports, anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, node.lineno


# What is imported only by files that say so when it is missing, and what it is an extra for.
EXTRAS = {
    "gui": ["gui/*.py", "gui/model/*.py", "gui/views/*.py"],
    "eventio": [
        "algorithms/_ctapipe/eventio_internals.py",
        "algorithms/_ctapipe/raw_events.py",
    ],
}


def test_what_is_imported_is_declared(pyproject):
    providers = importlib.metadata.packages_distributions()
    project = pyproject["project"]
    undeclared, n_files = [], 0
    for path in sorted((ROOT / "src").rglob("*.py")):
        n_files += 1
        declared = names(project["dependencies"])
        for extra, patterns in EXTRAS.items():
            if any(path.match(f"src/{pattern}") for pattern in patterns):
                declared |= names(project["optional-dependencies"][extra])
        for module, line in imported(path):
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or f"{module}.".startswith("ctapipe.pipeline."):
                continue
            # All of ctapipe is one distribution, also where this one is installed beside it.
            of = ["ctapipe"] if top == "ctapipe" else providers.get(top, [])
            if not declared.intersection(map(canonicalize_name, of)):
                undeclared.append(f"{path.relative_to(ROOT)}, line {line}: {module}")
    assert n_files > 50
    assert not undeclared


def test_nothing_is_declared_that_is_not_imported(pyproject):
    providers = importlib.metadata.packages_distributions()
    tops = {
        module.partition(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for module, _ in imported(path)
    }
    used = {canonicalize_name(name) for top in tops for name in providers.get(top, [top])}
    project = pyproject["project"]
    declared = names(project["dependencies"])
    for extra in EXTRAS:
        declared |= names(project["optional-dependencies"][extra])
    assert declared <= used


def test_why_each_dependency_is_there_is_said(pyproject):
    text = (ROOT / "docs" / "developing.rst").read_text(encoding="utf-8")
    table = text.partition("Dependencies\n============")[2].partition("\n=====")[0]
    project = pyproject["project"]
    declared = names(project["dependencies"])
    for extra in EXTRAS:
        declared |= names(project["optional-dependencies"][extra])
    missing = [name for name in declared if f"* - ``{name}``" not in table]
    assert not missing


def test_the_oldest_versions_are_the_lowest_that_are_allowed(pyproject):
    if not (ROOT / ".ci").exists():
        pytest.skip("not in a checkout")
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "oldest_versions.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    oldest = dict(line.split("==") for line in done.stdout.splitlines())
    oldest = {canonicalize_name(name): version for name, version in oldest.items()}
    requirements = [Requirement(line) for line in pyproject["project"]["dependencies"]]
    for requirement in requirements:
        version = oldest[canonicalize_name(requirement.name)]
        assert version in requirement.specifier
        assert Version(version) <= Version(importlib.metadata.version(requirement.name))
    assert {"cython", "setuptools", "eventio", "pyqtgraph", "pyside6-essentials"} <= set(oldest)
