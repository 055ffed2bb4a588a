"""The consumer of the ctapipe chain."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tables
from astropy.table import Table
from ctapipe.containers import ArrayEventContainer
from ctapipe.core import Container, ToolConfigurationError
from ctapipe.image import ImageProcessor
from ctapipe.io import DataWriter, write_table
from ctapipe.io.hdf5dataformat import DL1_IMAGE_STATISTICS_TABLE, DL2_EVENT_STATISTICS_GROUP

from .. import StepError
from ._ctapipe import internals
from ._ctapipe.complete_file import close_completely
from ._ctapipe.processing import ProcessingStep, make_shower_processor
from ._ctapipe.row_maker import RowMaker
from ._ctapipe.row_writer import RowWriter
from ._ctapipe.rows import EventRows
from ._ctapipe.statistics import Statistics
from ._ctapipe.timing import TimingFits
from ._output import cannot_write, refuse_input


class EventWriter(ProcessingStep):
    """Consumer that writes the HDF5 file that ``ctapipe-process`` writes.

    It has to be ``ordered``.
    """

    _write: Any = None
    _write_rows: Any = None
    _failure: StepError | None = None

    def init(self) -> None:
        """Create the file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is one of that name, and ``DataWriter.overwrite`` is not set; if it is
            the file that is read, or its directory is not there.
        StepError
            If it cannot be written.
        """
        super().init()
        self._fit_times = TimingFits()
        self._statistics = Statistics()
        tool = self._tool
        unexpected = internals.unexpected()
        if unexpected:
            self.log.warning(
                "%s: events are parsed and written by ctapipe's own reader and writer in the main "
                "process, and the time gradient is fitted twice: the file is the same, but takes "
                "1.2 to 1.5 times as long with two worker processes, and more than three are of no "
                "use; a newer ctapipe.pipeline may know this version",
                "; ".join(unexpected),
            )
        else:
            self._fit_times.compile()
            self._make_rows = RowMaker(event_source=tool.event_source, parent=tool)
        path = tool.write.output_path
        refuse_input("DataWriter.output_path", path, "--output=FILE")
        if not path.parent.is_dir():
            raise ToolConfigurationError(
                f"DataWriter.output_path: there is no directory '{path.parent}'; make it, or "
                "write elsewhere, --output=FILE"
            )
        with self._writing(path):
            self._write = DataWriter(event_source=tool.event_source, parent=tool)
        if not unexpected:
            self._write_rows = RowWriter(internals.table_writer_of(self._write))

    def run(self, event: ArrayEventContainer | EventRows) -> None:
        """Write one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer or EventRows
            The next one in the order of the file, or the rows that `EventSerializer` has
            made of it.

        Raises
        ------
        StepError
            If it cannot be written.
        """
        with self._writing(self._write.output_path):
            self._write_event(event)

    def _write_event(self, event: ArrayEventContainer | EventRows) -> None:
        fitted = self._fit_times(event.meta)
        self._statistics.add(event.meta)
        if self._write_rows is None:
            self._write_whole(event, fitted)
            return
        rows = event if isinstance(event, EventRows) else self._make_rows(event)
        tables = {
            f"dl1/event/telescope/parameters/{self._write.table_name(tel_id)}": timing
            for tel_id, timing in fitted.items()
        }
        self._write_rows(rows, tables)
        internals.count_event(self._write)

    def _write_whole(self, event: ArrayEventContainer, fitted: dict[int, Container]) -> None:
        for tel_id, timing in fitted.items():
            event.dl1.tel[tel_id].parameters.timing = timing
        self._write(event)

    def finish(self) -> None:
        """Write what is known only at the end, and close the file.

        Raises
        ------
        StepError
            If not all is in the file.
        """
        write, self._write = self._write, None
        try:
            if write is not None:
                with self._writing(write.output_path):
                    self._complete(write)
        finally:
            super().finish()

    def _complete(self, write: DataWriter) -> None:
        file = tables.open_file(write.output_path, "a")
        try:
            if self._write_rows is not None:
                self._write_rows.flush()
            distributions = self._tool.event_source.simulated_shower_distributions
            write.write_simulated_shower_distributions(distributions)
            of_all = self._statistics.tables() or self._tables_without_events()
            for path, table in of_all.items():
                write_table(table, file, path, append=True)
        finally:
            close_completely(file, write.finish)

    @contextlib.contextmanager
    def _writing(self, path: Any) -> Iterator[None]:
        """Say in one line that the file cannot be written, however often it turns out."""
        try:
            yield
        except Exception as error:
            # What follows from it is nothing new.
            if self._failure is None:
                if not isinstance(error, OSError | tables.HDF5ExtError):
                    raise
                self._failure = cannot_write(self, f"'{path}'", error, "--output=FILE")
        if self._failure is not None:
            raise self._failure from None

    def _tables_without_events(self) -> dict[str, Table]:
        """The statistics of no event: all numbers are zero."""
        tool = self._tool
        source = tool.event_source
        queries = {}
        if tool.should_compute_dl1:
            images = ImageProcessor(subarray=source.subarray, parent=tool)
            queries[DL1_IMAGE_STATISTICS_TABLE] = images.check_image
        if tool.should_compute_dl2:
            showers = make_shower_processor(tool)
            for name, reconstructor in zip(
                showers.reconstructor_types, showers.reconstructors, strict=True
            ):
                queries[f"{DL2_EVENT_STATISTICS_GROUP}/{name}"] = reconstructor.quality_query
        return {path: query.to_table(functions=True) for path, query in queries.items()}
