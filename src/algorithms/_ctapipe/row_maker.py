"""Making the rows of events, as `ctapipe.io.DataWriter` does, without a file."""

import enum
import pickle
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from astropy.time import Time
from astropy.units import Quantity, UnitConversionError
from ctapipe.containers import ArrayEventContainer
from ctapipe.core import Container, Field, Map
from ctapipe.io import HDF5TableWriter

from . import internals, statistics, timing
from .rows import Column, EventRows, Row, RowLayout


class RowMaker(internals.DataWriterWithoutFile):
    """Makes the rows of events; has the options of `ctapipe.io.DataWriter`.

    Parameters
    ----------
    event_source : ctapipe.io.EventSource
        Where the events come from.
    parent : ctapipe.core.Component
        Its parent.
    """

    _recorder: "RowRecorder"

    def __call__(self, event: ArrayEventContainer) -> EventRows:
        """Make the rows of an event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            The event.

        Returns
        -------
        EventRows
            Its rows.
        """
        super().__call__(event)
        rows, data = self._recorder.take()
        meta = {key: event.meta[key] for key in (statistics.KEY, timing.KEY) if key in event.meta}
        return EventRows(event.index.obs_id, rows, data, meta)

    def table_writer(self, made: HDF5TableWriter) -> "RowRecorder":
        """What rows are written to."""
        self._recorder = RowRecorder(made)
        return self._recorder


class RowRecorder:
    """Takes what is written to tables.

    Parameters
    ----------
    writer : ctapipe.io.HDF5TableWriter
        Says which columns are left out, and how others are transformed.
    """

    def __init__(self, writer: HDF5TableWriter) -> None:
        self._writer = writer
        self._encoders: dict[Any, _Encoder] = {}
        self._rows: list[Row] = []
        self._data: list[bytes] = []

    def take(self) -> tuple[list[Row], np.ndarray]:
        """Take the rows since the last time.

        Returns
        -------
        rows : list of Row
            The rows.
        data : numpy.ndarray of uint8
            Their bytes.
        """
        rows, data = self._rows, np.frombuffer(b"".join(self._data), np.uint8)
        self._rows, self._data = [], []
        return rows, data

    def write(
        self,
        table_name: str,
        containers: Container | Iterable[Container],
        time_format: str = "ctao_high_res",
    ) -> None:
        """Add a row, as `ctapipe.io.HDF5TableWriter` does; since ctapipe 0.32 without a format."""
        containers = [containers] if isinstance(containers, Container) else list(containers)
        values = [value for container in containers for value in container.values()]
        kinds = [(type(container), container.prefix) for container in containers]
        key = (table_name, time_format, *kinds, *map(type, values))
        encoder = self._encoders.get(key)
        data = encoder(values) if encoder else None
        if encoder is None or data is None:
            encoder = _Encoder(self._writer, table_name, containers, time_format)
            self._encoders[key] = encoder
            data = encoder(values)
            assert data is not None
        objects = {name: values[i] for name, i in encoder.objects}
        meta = {key: c.meta[key] for c in containers for key in c.meta}
        self._rows.append(Row(table_name, encoder.layout, objects, meta))
        self._data.append(data)


class _Encoder:
    """Makes the bytes of rows of one layout.

    Parameters
    ----------
    writer : ctapipe.io.HDF5TableWriter
        Says which columns are left out, and how others are transformed.
    table_name : str
        The table.
    containers : list of ctapipe.core.Container
        What the first row is made of. Later ones have values of the same types.
    time_format : str
        Format of times.
    """

    def __init__(
        self,
        writer: HDF5TableWriter,
        table_name: str,
        containers: list[Container],
        time_format: str,
    ) -> None:
        transforms = internals.transforms_for(writer, table_name, containers)
        columns: dict[str, Column] = {}
        examples = []
        self._parts: list[_Part] = []
        # Columns that are not in the bytes, and the indices of their values.
        self.objects: list[tuple[str, int]] = []
        i = -1
        for container in containers:
            example = type(container)(prefix=container.prefix)
            examples.append(example)
            names = (name for name, _ in container.items(add_prefix=writer.add_prefix))
            for name, (key, field) in zip(names, container.fields.items(), strict=True):
                i += 1
                value = container[key]
                transform = transforms.get(name)
                example[key] = value if transform else _example(value)
                if isinstance(value, Container | Map) or internals.is_left_out(
                    writer, table_name, name
                ):
                    continue
                part = _Part.of(i, value, field, transform, time_format)
                # Of two columns with the same name the last one wins.
                if part is None or name in columns:
                    self.objects.append((name, i))
                else:
                    self._parts.append(part)
                    columns[name] = part.column(name)
        others = [Column(name, "object") for name, _ in self.objects]
        layout = RowLayout((*columns.values(), *others), examples, time_format)
        self._dtype = layout.dtype
        self.layout = zlib.compress(pickle.dumps(layout))

    def __call__(self, values: list[Any]) -> bytes | None:
        """Make the bytes of a row.

        Parameters
        ----------
        values : list
            All values of the containers.

        Returns
        -------
        bytes or None
            The row; None if it has to have another layout.
        """
        numbers = []
        for i, transform, unit, has_own_unit, dtype, shape in self._parts:
            value = values[i]
            if unit is not None:
                # What to_value does, without looking at units that are the same object.
                if value.unit is unit:
                    value = value.view(np.ndarray)
                elif has_own_unit and value.unit != unit:
                    return None
                else:
                    try:
                        value = value.to_value(unit)
                    except UnitConversionError:
                        return None
            elif transform is not None:
                value = transform(value)
            if shape is not None and (value.dtype != dtype or value.shape != shape):
                return None
            numbers.append(value)
        row = np.empty((), self._dtype)
        row[()] = tuple(numbers)
        return row.tobytes()


class _Part(NamedTuple):
    """How a value becomes numbers.

    Parameters
    ----------
    i : int
        Index of the value.
    transform : callable or None
        What is done to it, if it is not a quantity.
    unit : astropy.units.UnitBase or None
        Unit of the numbers, if it is a quantity.
    has_own_unit : bool
        Whether that is the unit of the value, and not one that all are converted to.
    dtype : numpy.dtype
        Of the numbers.
    shape : tuple of int or None
        Of the numbers; None if the type of the value says that it is a single one.
    """

    i: int
    transform: Callable[[Any], Any] | None
    unit: Any
    has_own_unit: bool
    dtype: np.dtype
    shape: tuple[int, ...] | None

    @classmethod
    def of(
        cls, i: int, value: Any, field: Field, transform: Any, time_format: str
    ) -> "_Part | None":
        """How a value is written.

        Parameters
        ----------
        i : int
            Its index.
        value : object
            The value.
        field : ctapipe.core.Field
            What is said of the column: the unit, and how exact times are.
        transform : ctapipe.io.tableio.ColumnTransform or None
            Transform of the column.
        time_format : str
            Format of times, unless the field says more.

        Returns
        -------
        _Part or None
            None if it is not made of numbers.
        """
        has_own_unit = False
        if transform is None and isinstance(value, enum.Enum):
            transform = internals.enum_transform(type(value))
        elif transform is None and isinstance(value, Time):
            transform = internals.time_transform(_time_format(field, time_format))
        if transform is not None:
            unit = None
            numbers = transform(value)
        elif isinstance(value, Quantity):
            has_own_unit = field.unit is None
            unit = value.unit if has_own_unit else field.unit
            if not value.unit.is_equivalent(unit):
                return None
            numbers = value.to_value(unit)
        else:
            unit = None
            numbers = value
        if type(numbers) in (float, int, bool):
            # What a transform makes a number of is always one.
            return cls(i, transform, unit, has_own_unit, np.dtype(type(numbers)), None)
        is_numbers = type(numbers) is np.ndarray or isinstance(numbers, np.generic)
        if not is_numbers or not internals.is_type_of_column(numbers.dtype.name):
            return None
        return cls(i, transform, unit, has_own_unit, numbers.dtype, numbers.shape)

    def column(self, name: str) -> Column:
        """The column that the numbers are written to."""
        transform = internals.describe_transform(self.transform) if self.transform else ""
        return Column(name, self.dtype.str, self.shape or (), self.unit, transform)


def _example(value: Any) -> Any:
    """A small value that makes the same column."""
    if isinstance(value, Container | Map):
        return type(value)()
    if isinstance(value, np.ndarray):
        return np.zeros_like(value)
    return value


def _time_format(field: Field, time_format: str) -> str:
    # Since ctapipe 0.32 it is a property of the field.
    if not hasattr(field, "time_resolution"):
        return time_format
    is_high = getattr(field.time_resolution, "name", None) == "HIGH"
    return "ctao_high_res" if is_high else "mjd"
