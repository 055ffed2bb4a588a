"""The random numbers that all of ctapipe in a process have in common."""

import inspect
from typing import Any

import numpy as np
from ctapipe.fitting import lts_linear_regression

# The stream of the fits of time gradients.
SHARED_RNG: np.random.Generator = inspect.signature(lts_linear_regression).parameters["rng"].default


def fresh_bit_generator() -> np.random.BitGenerator:
    """What the stream comes from in a process that has not fitted anything."""
    bit_generator: Any = SHARED_RNG.bit_generator
    return type(bit_generator)(bit_generator.seed_seq)


def begin_again() -> None:
    """Let the stream be as in a process that has not fitted anything."""
    SHARED_RNG.bit_generator.state = fresh_bit_generator().state
