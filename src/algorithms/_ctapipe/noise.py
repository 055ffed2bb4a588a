"""Noise of the night sky that is added to waveforms, with random numbers of each event."""

import copy
import threading
from typing import Any

import ctapipe.image
import numpy as np
from ctapipe.containers import ArrayEventContainer
from ctapipe.core import Component, ToolConfigurationError
from ctapipe.instrument import SubarrayDescription
from traitlets import TraitError

from .timing import seed_of


class SharedNoise:
    """The noise of a run, which takes seconds to make and 30 MB for an LST."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modifier: Any = None

    def modifier(self, subarray: SubarrayDescription, parent: Component) -> "NoiseAdder":
        """What adds it to events; each thread needs its own.

        Parameters
        ----------
        subarray : ctapipe.instrument.SubarrayDescription
            The telescopes.
        parent : ctapipe.core.Component
            The parent of ctapipe's component.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no file with noise, or not enough in it.
        """
        with self._lock:
            if self._modifier is None:
                self._modifier = _make(subarray, parent)
            return NoiseAdder(copy.copy(self._modifier))


class NoiseAdder:
    """Adds noise to events, the same one to the same event in each run.

    Parameters
    ----------
    modifier : ctapipe.image.WaveformModifier
        What does it; not to be used elsewhere.
    """

    def __init__(self, modifier: Any) -> None:
        self._modify = modifier

    def __call__(self, event: ArrayEventContainer) -> None:
        """Add noise to the R1 waveforms of an event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The event.
        """
        self._modify.rng = np.random.default_rng([self._modify.rng_seed, *seed_of(event)])
        self._modify(event)


def _make(subarray: SubarrayDescription, parent: Component) -> Any:
    try:
        return ctapipe.image.WaveformModifier(subarray=subarray, parent=parent)
    except (OSError, TraitError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".!")
        raise ToolConfigurationError(
            f"ProcessorTool.add_nsb_in_waveforms: {reason}; give a file with noise, "
            "--WaveformModifier.nsb_file=FILE, that has twice as many events as nsb_level"
        ) from error
