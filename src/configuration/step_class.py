"""Find the class of a step."""

import importlib
import importlib.machinery
import inspect
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigurationError
from .installed_steps import find_declared
from .step_keys import describe_value
from .suggestions import did_you_mean

__all__ = ["load_class"]


def load_class(class_name: str | type, module_name: str | None) -> type:
    """The class that a configuration names.

    Parameters
    ----------
    class_name : str or type
        Its name, or the class itself.
    module_name : str, optional
        The module it is in, on the Python path; not needed for a class, nor for the name of one
        that an installed package declares.

    Raises
    ------
    ConfigurationError
        If it cannot be had, or has no ``run``.
    """
    if isinstance(class_name, type):
        step_class = class_name
    else:
        step_class = _find_class(class_name, module_name)
    if not callable(getattr(step_class, "run", None)):
        raise ConfigurationError(
            [f"the class {step_class.__name__!r} has no method 'run'; every step needs one"]
        )
    if inspect.isabstract(step_class):
        missing = ", ".join(sorted(getattr(step_class, "__abstractmethods__", ())))
        raise ConfigurationError(
            [f"the class {step_class.__name__!r} is abstract, it lacks {missing}"]
        )
    return step_class


def _find_class(class_name: Any, module_name: Any) -> type:
    for key, value in (("class", class_name), ("module", module_name)):
        is_absent = key == "module" and value is None
        if not is_absent and (not isinstance(value, str) or not value):
            raise ConfigurationError([f"{key!r} must be a name, not {describe_value(value)}"])
    if module_name is None:
        declared = find_declared(class_name)
        class_name, module_name = declared.attr, declared.module
    module = _import(module_name)
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise ConfigurationError(
            [
                f"the module {module_name!r} has no class {class_name!r}"
                + did_you_mean(class_name, classes)
            ]
        )
    return found


def _import(module_name: str) -> ModuleType:
    _forget_namesake(module_name)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ConfigurationError(
                [
                    f"there is no module {module_name!r} on the Python path, beside the "
                    "configuration file or in the current directory"
                    + did_you_mean(module_name, _siblings(module_name))
                ]
            ) from None
        raise _import_failed(module_name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(module_name, error) from error


def _import_failed(module_name: str, error: BaseException) -> ConfigurationError:
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}, line {last.lineno}"
    reason = str(error).splitlines()[0] if str(error) else ""
    return ConfigurationError(
        [
            f"the module {module_name!r} cannot be imported: "
            f"{type(error).__name__}: {reason} ({where})"
        ]
    )


def _forget_namesake(module_name: str) -> None:
    """So that two pipelines in one process can each have a ``steps.py`` of their own."""
    loaded = sys.modules.get(module_name)
    if loaded is None or module_name == "__main__" or "." in module_name:
        return
    if getattr(loaded, "__file__", None) is None:
        return
    found = importlib.machinery.PathFinder.find_spec(module_name)
    if found is None or found.origin is None or loaded.__file__ is None:
        return
    if Path(found.origin).resolve() != Path(loaded.__file__).resolve():
        del sys.modules[module_name]


def _siblings(module_name: str) -> list[str]:
    """The modules beside the one that is missing, if its package is there."""
    package, _, _ = module_name.rpartition(".")
    if not package:
        return []
    try:
        path = importlib.import_module(package).__path__
    except Exception:
        return []
    return [f"{package}.{module.name}" for module in pkgutil.iter_modules(path)]
