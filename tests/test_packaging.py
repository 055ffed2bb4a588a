"""What is installed: the wheel and the source distribution."""

import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT

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
    for module in ("_router", "_channel", "_buffers", "_runner", "_shared"):
        assert f"{module}.pyi" in files
        assert any(name.startswith(f"{module}.") and name.endswith(".so") for name in files)
    assert {"__init__.py", "py.typed", "tool.py", "executors/parallel.py"} <= files
    assert "algorithms/hessio_reader.py" in files
    assert not [name for name in files if name.endswith((".pyx", ".pxd", ".c", ".h"))]
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"ctapipe-pipeline = ctapipe.pipeline.tool:main" in zipfile.ZipFile(wheel).read(
        entry_points
    )
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_the_source_distribution_holds_what_a_build_needs(distributions):
    _, sdist = distributions
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGES.md"} <= files
    assert {"src/_router.pyx", "src/_libzmq.h", "src/_wire.pxd"} <= files
    assert {"tests/conftest.py", "examples/hessio.json"} <= files
