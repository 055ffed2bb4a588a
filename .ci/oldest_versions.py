"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

Of what is needed to build and to run, with all that an extra brings to users; the tools that
test it may be new.
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
EXTRAS = ("eventio", "gui", "dask")


def main() -> None:
    """Print one ``name==version`` a line, for the Python that this is run by."""
    content = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    project = content["project"]
    lines = [*content["build-system"]["requires"], *project["dependencies"]]
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate():
            for specifier in requirement.specifier:
                if specifier.operator == ">=":
                    print(f"{requirement.name}=={specifier.version}")


if __name__ == "__main__":
    main()
