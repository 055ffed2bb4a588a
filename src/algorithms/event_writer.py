"""The consumer of the ctapipe chain."""

from typing import Any

from astropy.table import Table
from ctapipe.containers import ArrayEventContainer
from ctapipe.image import ImageProcessor
from ctapipe.io import DataWriter, write_table
from ctapipe.io.hdf5dataformat import DL1_IMAGE_STATISTICS_TABLE, DL2_EVENT_STATISTICS_GROUP
from ctapipe.reco import ShowerProcessor

from ._processing import ProcessingStep
from ._statistics import Statistics
from ._timing import TimingFits


class EventWriter(ProcessingStep):
    """Consumer that writes the HDF5 file that ``ctapipe-process`` writes.

    It has to be ``ordered``.
    """

    _write: Any = None

    def init(self) -> None:
        """Create the file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is one of that name, and ``DataWriter.overwrite`` is not set.
        """
        super().init()
        self._fit_times = TimingFits()
        self._statistics = Statistics()
        tool = self._tool
        self._write = DataWriter(event_source=tool.event_source, parent=tool)

    def run(self, event: ArrayEventContainer) -> None:
        """Write one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The next one in the order of the file.
        """
        self._fit_times(event)
        self._statistics.add(event)
        self._write(event)

    def finish(self) -> None:
        """Write what is known only at the end, and close the file."""
        write, self._write = self._write, None
        try:
            if write is not None:
                try:
                    distributions = self._tool.event_source.simulated_shower_distributions
                    write.write_simulated_shower_distributions(distributions)
                    tables = self._statistics.tables() or self._tables_without_events()
                    for path, table in tables.items():
                        write_table(table, write.output_path, path, append=True)
                finally:
                    write.finish()
        finally:
            super().finish()

    def _tables_without_events(self) -> dict[str, Table]:
        """The statistics of no event: all numbers are zero."""
        tool = self._tool
        source = tool.event_source
        queries = {}
        if tool.should_compute_dl1:
            images = ImageProcessor(subarray=source.subarray, parent=tool)
            queries[DL1_IMAGE_STATISTICS_TABLE] = images.check_image
        if tool.should_compute_dl2:
            showers = ShowerProcessor(
                subarray=source.subarray,
                atmosphere_profile=source.atmosphere_density_profile,
                parent=tool,
            )
            for name, reconstructor in zip(
                showers.reconstructor_types, showers.reconstructors, strict=True
            ):
                queries[f"{DL2_EVENT_STATISTICS_GROUP}/{name}"] = reconstructor.quality_query
        return {path: query.to_table(functions=True) for path, query in queries.items()}
