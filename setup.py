"""What pyproject.toml cannot say: `src` is the package, and its compiled modules."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

PACKAGE = "ctapipe.pipeline"

# libzmq's functions are found when the modules are imported (see src/_libzmq.py);
# macOS wants to be told that they may be missing at link time.
link_args = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []

# Where shm_open is before glibc 2.34.
libraries = ["rt"] if sys.platform == "linux" else []

extensions = [
    Extension(
        f"{PACKAGE}.{name}",
        [f"src/{name}.pyx"],
        include_dirs=["src"],
        depends=["src/_clock.pxd", "src/_libzmq.h", "src/_shared.h", "src/_wire.h"],
        extra_compile_args=["-O3"],
        extra_link_args=link_args,
        libraries=libraries,
    )
    for name in ("_router", "_channel", "_buffers", "_runner", "_shared")
]

setup(
    packages=[
        PACKAGE,
        f"{PACKAGE}.algorithms",
        f"{PACKAGE}.algorithms._ctapipe",
        f"{PACKAGE}.executors",
        f"{PACKAGE}.gui",
        f"{PACKAGE}.toy_data",
    ],
    package_dir={PACKAGE: "src"},
    package_data={PACKAGE: ["*.pyi", "py.typed"]},
    exclude_package_data={"": ["*.pyx", "*.pxd", "*.h", "*.c"]},
    ext_modules=cythonize(extensions, include_path=["src"], build_dir="build", language_level=3),
)
