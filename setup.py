"""What pyproject.toml cannot say: `src` is the package, and its compiled modules."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

PACKAGE = "ctapipe.pipeline"

MODULES = (
    "_router",
    "transport/_buffers",
    "transport/_channel",
    "transport/_packing",
    "transport/_shared",
    "workers/_runner",
)

# Where headers, of C and of Cython, are looked for.
INCLUDE = ["src", "src/native", "src/transport"]

# libzmq's functions are found when the modules are imported (see src/native/libzmq_symbols.py);
# macOS wants to be told that they may be missing at link time.
link_args = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []

# Where shm_open is before glibc 2.34.
libraries = ["rt"] if sys.platform == "linux" else []

extensions = [
    Extension(
        f"{PACKAGE}.{module.replace('/', '.')}",
        [f"src/{module}.pyx"],
        include_dirs=INCLUDE,
        depends=[
            *("src/native/_clock.pxd", "src/native/_libzmq.h"),
            *("src/transport/_shared.h", "src/transport/_wire.h"),
        ],
        extra_compile_args=["-O3"],
        extra_link_args=link_args,
        libraries=libraries,
    )
    for module in MODULES
]

setup(
    packages=[PACKAGE, *(f"{PACKAGE}.{folder}" for folder in find_packages("src"))],
    package_dir={PACKAGE: "src"},
    package_data={"": ["*.pyi", "py.typed"], f"{PACKAGE}.quickstart": ["project-files/*.txt"]},
    exclude_package_data={"": ["*.md", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.c"]},
    ext_modules=cythonize(extensions, include_path=INCLUDE, build_dir="build", language_level=3),
)
