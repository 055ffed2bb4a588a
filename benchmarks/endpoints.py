"""Builds the compiled endpoints at their first use, outside of the source tree."""

import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

# It makes libzmq's functions visible to compiled modules.
import ctapipe.pipeline  # noqa: F401

__all__ = ["load_endpoints"]

SOURCE = Path(__file__).with_name("_endpoints.pyx")
HEADERS = [SOURCE.parent.parent / "src" / folder for folder in ("native", "transport")]


def load_endpoints():
    """The compiled module ``_endpoints``; needs Cython and a C compiler."""
    directory = _cache() / _key()
    module = directory / f"_endpoints{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not module.exists():
        _build(directory)
    spec = importlib.util.spec_from_file_location("_endpoints", module)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _cache():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ctapipe-pipeline" / "benchmarks"


def _key():
    """Changes with all that the module is made of."""
    digest = hashlib.sha256(sys.version.encode())
    headers = [path for folder in HEADERS for path in folder.iterdir()]
    for path in [SOURCE, *sorted(path for path in headers if path.suffix in (".h", ".pxd"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build(directory):
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    directory.mkdir(parents=True, exist_ok=True)
    # Cython writes its C file beside the source.
    source = shutil.copy(SOURCE, directory)
    extension = Extension(
        "_endpoints",
        [str(source)],
        include_dirs=list(map(str, HEADERS)),
        extra_compile_args=["-O3"],
        extra_link_args=["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else [],
    )
    modules = cythonize(
        [extension], include_path=list(map(str, HEADERS)), language_level=3, quiet=True
    )
    build = Distribution({"name": "endpoints", "ext_modules": modules}).get_command_obj("build_ext")
    build.build_lib = str(directory)
    build.build_temp = str(directory)
    build.ensure_finalized()
    build.run()
