"""Which tool has a name: that of its command, or of its class."""

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable
from types import ModuleType

from ctapipe.core import Tool, ToolConfigurationError


def find_tool(name: str) -> type[Tool]:
    """The class of a tool.

    Parameters
    ----------
    name : str
        Its command, such as ``ctapipe-process``, or its class, ``package.module:Class`` or
        ``package.module.Class``.

    Raises
    ------
    ctapipe.core.ToolConfigurationError
        If there is none.
    """
    commands = importlib.metadata.entry_points(group="console_scripts")
    entry_point = next((command for command in commands if command.name == name), None)
    if entry_point is not None:
        return _tool_of_command(name, _import(name, entry_point.module))
    module_name, separator, class_name = name.rpartition(":" if ":" in name else ".")
    if not separator:
        nearest = _nearest(name, {command.name for command in commands})
        raise ToolConfigurationError(
            f"there is no command {name!r}{nearest}; a tool is named by its command, or by its "
            "class, 'package.module:Class'"
        )
    module = _import(name, module_name)
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Tool)):
        nearest = _nearest(class_name, [tool.__name__ for tool in _tools_in(module)])
        raise ToolConfigurationError(
            f"the module {module_name!r} has no ctapipe.core.Tool {class_name!r}{nearest}"
        )
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _tool_of_command(command: str, module: ModuleType) -> type[Tool]:
    tools = _tools_in(module)
    named = [tool for tool in tools if tool.name == command]
    if len(named) == 1:
        return named[0]
    if not named and len(tools) == 1:
        return tools[0]
    raise ToolConfigurationError(
        f"it cannot be told which ctapipe.core.Tool of the module {module.__name__!r} is the "
        f"command {command!r}; name its class, '{module.__name__}:Class'"
    )


def _tools_in(module: ModuleType) -> list[type[Tool]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Tool)
        and value.__module__ != Tool.__module__
    ]


def _import(name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = " ".join([f"{type(error).__name__}:", *str(error).split()])
        raise ToolConfigurationError(
            f"the module {module_name!r} of the tool {name!r} cannot be imported: {reason}"
        ) from error
