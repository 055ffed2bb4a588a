"""Say which steps are installed."""

import inspect
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any

from ..errors import ConfigurationError
from .installed_steps import installed_steps, package_of
from .step_class import load_class

__all__ = ["list_installed_steps", "loadable_steps"]


def list_installed_steps() -> str:
    """A line for each step that an installed package declares: role, package, what it does."""
    rows = [
        (name, *_role_and_purpose(entry), package_of(entry))
        for name, declared in installed_steps().items()
        for entry in declared
    ]
    if not rows:
        return "no installed package declares steps"
    widths = [max(len(row[i]) for row in rows) for i in (0, 1, 3)]
    return "\n".join(
        f"{name:{widths[0]}}  {role:{widths[1]}}  {package:{widths[2]}}  {purpose}".rstrip()
        for name, role, purpose, package in rows
    )


def loadable_steps() -> list[type]:
    """The classes of steps that installed packages declare, without those that cannot be had."""
    classes = []
    for declared in installed_steps().values():
        for entry in declared:
            with suppress(ConfigurationError):
                classes.append(load_class(entry.attr, entry.module))
    return classes


def _role_and_purpose(entry: EntryPoint) -> tuple[str, str]:
    try:
        step_class = load_class(entry.attr, entry.module)
    except ConfigurationError as error:
        return "-", str(error)
    text = inspect.cleandoc(step_class.__doc__ or "")
    return _role_of(step_class), text.partition("\n")[0]


def _role_of(step_class: Any) -> str:
    """A producer's run takes no message; those of a stage and of a consumer look alike."""
    try:
        _, *parameters = inspect.signature(step_class.run).parameters.values()
    except (TypeError, ValueError):
        return "-"
    takes_message = any(parameter.default is parameter.empty for parameter in parameters)
    return "stage or consumer" if takes_message else "producer"
