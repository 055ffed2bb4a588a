"""Run ctapipe processing steps in parallel.

The public interface is what this module exports, and the commands.
"""

# isort: off (first, because the compiled modules need what it does)
from .native import libzmq_symbols as libzmq_symbols

# isort: on
from .errors import ConfigurationError, RunError, StepError
from .running import run
from .tool import Pipeline

__all__ = ["ConfigurationError", "Pipeline", "RunError", "StepError", "run"]
