"""Run ctapipe processing steps in parallel.

The public interface is what this module exports, and the commands.
"""

from .errors import ConfigurationError, RunError, StepError
from .native import libzmq_symbols as libzmq_symbols  # what follows needs what it does
from .running import run
from .tool import Pipeline

__all__ = ["ConfigurationError", "Pipeline", "RunError", "StepError", "run"]
