"""The consumer of the ctapipe chain."""

from typing import Any

from astropy.table import Table
from ctapipe.containers import ArrayEventContainer
from ctapipe.image import ImageProcessor
from ctapipe.io import DataWriter, write_table
from ctapipe.io.hdf5dataformat import DL1_IMAGE_STATISTICS_TABLE, DL2_EVENT_STATISTICS_GROUP
from ctapipe.reco import ShowerProcessor

from ._processing import ProcessingStep
from ._row_maker import RowMaker
from ._row_writer import RowWriter
from ._rows import EventRows
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
        self._make_rows = RowMaker(event_source=tool.event_source, parent=tool)
        self._write = DataWriter(event_source=tool.event_source, parent=tool)
        self._write_rows = RowWriter(self._write._writer)

    def run(self, event: ArrayEventContainer | EventRows) -> None:
        """Write one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer or EventRows
            The next one in the order of the file, or the rows that `EventSerializer` has
            made of it.
        """
        rows = event if isinstance(event, EventRows) else self._make_rows(event)
        fitted = self._fit_times(rows.meta)
        self._statistics.add(rows.meta)
        tables = {
            f"dl1/event/telescope/parameters/{self._write.table_name(tel_id)}": timing
            for tel_id, timing in fitted.items()
        }
        self._write_rows(rows, tables)
        self._write._at_least_one_event = True

    def finish(self) -> None:
        """Write what is known only at the end, and close the file."""
        write, self._write = self._write, None
        try:
            if write is not None:
                try:
                    self._write_rows.flush()
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
