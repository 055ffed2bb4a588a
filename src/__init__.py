"""Run ctapipe processing steps in parallel.

The public interface is what this module exports, and the commands.
"""

from . import _symbols  # isort: skip (before the first compiled module)
from .errors import ConfigurationError, StepError
from .running import run
from .tool import Pipeline

__all__ = ["ConfigurationError", "Pipeline", "StepError", "run"]
