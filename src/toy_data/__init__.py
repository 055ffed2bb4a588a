"""Writes files of sim_telarray with toy showers, to try a pipeline without other files."""

from .writer import write_toy_data

__all__ = ["write_toy_data"]
