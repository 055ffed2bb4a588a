"""Run ctapipe processing steps in parallel.

The public interface is what this module exports, and the commands.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .native import libzmq_symbols as libzmq_symbols  # what follows needs what it does

if TYPE_CHECKING:
    from .errors import ConfigurationError, RunError, StepError
    from .running import run
    from .tool import Pipeline

__all__ = ["ConfigurationError", "Pipeline", "RunError", "StepError", "run"]

# Imported when they are asked for: it takes a second, in which a command has to be interruptible.
MODULES = {
    "ConfigurationError": "errors",
    "Pipeline": "tool",
    "RunError": "errors",
    "StepError": "errors",
    "run": "running",
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "run":
        # Which options a pipeline has is known by its class.
        importlib.import_module(".tool", __name__)
    return getattr(importlib.import_module(f".{MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
