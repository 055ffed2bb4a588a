"""Writing rows that were made apart from the file.

What `ctapipe.io.HDF5TableWriter` does with a row after the first of its table, whose
columns all later ones have to fit. It is asked to make the tables.
"""

import pickle
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.units import Quantity
from ctapipe.core import Container
from ctapipe.io import HDF5TableWriter

from . import internals
from .rows import Column, EventRows, RowLayout

# Of the tables where ctapipe.io.DataWriter writes one row per observation.
POINTINGS = "configuration/telescope/pointing/"


class RowWriter:
    """Writes the rows of events.

    Parameters
    ----------
    writer : ctapipe.io.HDF5TableWriter
        With the file.
    """

    def __init__(self, writer: HDF5TableWriter) -> None:
        self._writer = writer
        self._tables: dict[str, _Table] = {}
        self._fillers: dict[tuple[str, bytes], _Filler] = {}
        self._pointings: set[tuple[int, str]] = set()

    def __call__(self, event: EventRows, later: Mapping[str, Container]) -> None:
        """Write an event.

        Parameters
        ----------
        event : EventRows
            Its rows.
        later : dict of str to ctapipe.core.Container
            What became known after the rows were made, by the name of the table.
        """
        end = 0
        for name, layout, objects, meta in event.rows:
            fill = self._fillers.get((name, layout)) or self._filler(name, layout, meta)
            start, end = end, end + fill.dtype.itemsize
            if name.startswith(POINTINGS):
                if (event.obs_id, name) in self._pointings:
                    continue
                self._pointings.add((event.obs_id, name))
            fill(event.data[start:end], objects)
            table = self._tables[name]
            if name in later:
                table.overwrite(later[name])
            table.end_row()

    def _filler(self, name: str, layout: bytes, meta: dict[str, Any]) -> "_Filler":
        unpacked = pickle.loads(zlib.decompress(layout))
        if name not in self._tables:
            unpacked.containers[0].meta = meta
            internals.make_table(self._writer, name, unpacked.containers, unpacked.time_format)
            self._tables[name] = _Table(self._writer, name)
        filler = self._fillers[name, layout] = _Filler(self._tables[name], unpacked)
        return filler

    def flush(self) -> None:
        """Put all rows into the file."""
        for table in self._tables.values():
            table.flush()


class _Table:
    """A table of the file, with rows that are not yet in it.

    Parameters
    ----------
    writer : ctapipe.io.HDF5TableWriter
        With the table.
    name : str
        Its name.
    """

    def __init__(self, writer: HDF5TableWriter, name: str) -> None:
        self._table = internals.table_of(writer, name)
        self._has_prefixes = writer.add_prefix
        self.name = name
        self.dtype = self._table.dtype
        self.transforms: Mapping[str, Any] = internals.transforms_of(writer, name)
        # As many as PyTables keeps of rows that it is given one by one.
        shape = max(self._table.nrowsinbuf, 1), self.dtype.itemsize
        self._bytes = np.empty(shape, np.uint8)
        self._rows = self._bytes.view(self.dtype)[:, 0]
        self._n_rows = 0

    def set_row(self, data: np.ndarray | int) -> None:
        """Fill the next row.

        Parameters
        ----------
        data : numpy.ndarray of uint8, or 0
            All of it.
        """
        self._bytes[self._n_rows] = data

    def set(self, name: str, value: Any, transform: Any) -> None:
        """Set a value of the next row.

        Parameters
        ----------
        name : str
            The column.
        value : object
            The value.
        transform : ctapipe.io.tableio.ColumnTransform or None
            What makes numbers of it, if it is not a number.

        Raises
        ------
        Exception
            If it does not fit into its column.
        """
        try:
            self._rows[self._n_rows][name] = value if transform is None else transform(value)
        except Exception as error:
            error.add_note(f"column {name} of table {self.name}")
            raise

    def overwrite(self, container: Container) -> None:
        """Replace values of the next row.

        Parameters
        ----------
        container : ctapipe.core.Container
            The new values; those without a column are left out.
        """
        for name, value in container.items(add_prefix=self._has_prefixes):
            if name in self.dtype.names:
                self.set(name, value, self.transforms.get(name))

    def end_row(self) -> None:
        """Let the row after it be the next one."""
        self._n_rows += 1
        if self._n_rows == len(self._rows):
            self.flush()

    def flush(self) -> None:
        """Put the rows into the file."""
        n_rows, self._n_rows = self._n_rows, 0
        self._table.append(self._rows[:n_rows])


class _Filler:
    """Fills rows of a table with rows of a layout.

    Parameters
    ----------
    table : _Table
        The table.
    layout : RowLayout
        The layout.
    """

    def __init__(self, table: _Table, layout: RowLayout) -> None:
        self._table = table
        self.dtype = layout.dtype
        # The columns, whether their numbers are what is written, and what makes that of others.
        self._columns: list[tuple[Column, bool, Any]] = []
        for column in layout.columns:
            transform = table.transforms.get(column.name)
            if column.name in table.dtype.names:
                self._columns.append((column, _is_copied(column, transform), transform))
        copied = tuple(column.name for column, is_copied, _ in self._columns if is_copied)
        self._is_same = self.dtype == table.dtype and copied == table.dtype.names

    def __call__(self, data: np.ndarray, objects: Mapping[str, Any]) -> None:
        """Fill the next row.

        Parameters
        ----------
        data : numpy.ndarray of uint8
            The numbers of the row.
        objects : dict of str to object
            Its other values.

        Raises
        ------
        Exception
            If a value does not fit into its column.
        """
        if self._is_same:
            self._table.set_row(data)
            return
        self._table.set_row(0)
        numbers = data.view(self.dtype)[0]
        for column, is_copied, transform in self._columns:
            name = column.name
            if is_copied:
                self._table.set(name, numbers[name], None)
                continue
            value = objects[name] if column.dtype == "object" else numbers[name]
            if column.unit is not None:
                value = Quantity(value, column.unit, dtype=None)
            elif column.transform:
                raise TypeError(f"column {name} of table {self._table.name}: another type before")
            self._table.set(name, value, transform)


def _is_copied(column: Column, transform: Any) -> bool:
    """Whether the numbers of a column are those of the table."""
    if column.dtype == "object":
        return False
    if column.unit is not None:
        return internals.is_quantity_transform(transform) and transform.unit == column.unit
    return column.transform == (internals.describe_transform(transform) if transform else "")
