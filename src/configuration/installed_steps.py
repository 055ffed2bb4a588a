"""The classes of steps that installed packages declare."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from ..errors import ConfigurationError
from .suggestions import did_you_mean

__all__ = ["GROUP", "find_declared", "installed_steps", "package_of"]

GROUP = "ctapipe.pipeline.steps"


def installed_steps() -> dict[str, list[EntryPoint]]:
    """Where installed packages have the class of each name, by the name in alphabetical order."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # The same package may be found twice, as an editable one in its own directory.
        found.setdefault(entry.name, {}).setdefault(entry.value, entry)
    return {name: list(found[name].values()) for name in sorted(found, key=str.casefold)}


def find_declared(class_name: str) -> EntryPoint:
    """Where a class is that a configuration names without its module.

    Parameters
    ----------
    class_name : str
        Its name.

    Raises
    ------
    ConfigurationError
        If no package declares it, or several do.
    """
    installed = installed_steps()
    declared = installed.get(class_name, [])
    if not declared:
        raise ConfigurationError(
            [
                "the key 'module' is missing, and no installed package declares the class "
                f"{class_name!r}" + (did_you_mean(class_name, installed) or "; see --list-steps")
            ]
        )
    if len(declared) > 1:
        raise ConfigurationError(
            [
                f"the class {class_name!r} is declared by several packages: "
                f"{_all_of(declared)}; say which with 'module'"
            ]
        )
    return declared[0]


def package_of(entry: EntryPoint) -> str:
    """The name of the package that declares a step."""
    return entry.dist.name if entry.dist is not None else ""


def _all_of(declared: Sequence[EntryPoint]) -> str:
    return " and ".join(f"{package_of(entry)} ({entry.module})" for entry in declared)
