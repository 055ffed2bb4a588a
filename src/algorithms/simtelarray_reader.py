"""A producer of the telescope events of a file."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ctapipe.core import ToolConfigurationError
from ctapipe.io import DataLevel

from ._input import reading
from .hessio_reader import HessioReader


@dataclass(frozen=True, eq=False)
class TelescopeEvent:
    """What one telescope recorded of one event.

    Parameters
    ----------
    event_id : int
        Id of the event, unique in its observation.
    tel_id : int
        Id of the telescope in the subarray.
    telescope_type : str
        Size class of the telescope: ``"LST"``, ``"MST"``, ``"SST"``, ...
    description : str
        Size class, optics and camera, for example ``"MST_MST_NectarCam"``.
    waveform : numpy.ndarray
        R1 waveform in p.e., shape (n_channels, n_pixels, n_samples).
    """

    event_id: int
    tel_id: int
    telescope_type: str
    description: str
    waveform: np.ndarray


class SimTelArrayReader(HessioReader):
    """Producer of the telescope events of a file: a `TelescopeEvent` per event and telescope.

    It reads the same files and has the same options as `HessioReader`.
    """

    # There are several messages per event.
    n_messages = None

    def init(self) -> None:
        """Find and open the file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no such file, no event source can read it, or it has no R1 waveforms.
        """
        super().init()
        if DataLevel.R1 not in self._source.datalevels:
            option = f"{type(self).__name__}.filename"
            levels = ", ".join(level.name for level in self._source.datalevels) or "none"
            raise ToolConfigurationError(
                f"{option}: '{self.filename}' has no R1 waveforms (its data levels: {levels});"
                f" give a file with waveforms, --{option}=FILE"
            )

    def run(self) -> Iterator[TelescopeEvent]:
        """Yield the telescope events of the file.

        Yields
        ------
        TelescopeEvent
            In the order of the events in the file, and of the telescopes in an event.

        Raises
        ------
        StepError
            If the file is damaged, after all events before that.
        """
        for event in reading(self, self._source.input_url, self._source):
            for tel_id, r1 in event.r1.tel.items():
                telescope = self._source.subarray.tel[tel_id]
                yield TelescopeEvent(
                    event_id=int(event.index.event_id),
                    tel_id=int(tel_id),
                    telescope_type=telescope.type,
                    description=str(telescope),
                    waveform=r1.waveform,
                )
