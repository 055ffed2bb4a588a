"""Rows that workers make are those that ctapipe's writer writes."""

import enum
import itertools
import pickle
from contextlib import contextmanager

import astropy.units as u
import ctapipe.core.container
import numpy as np
from astropy.time import Time
from ctapipe.core import Container, Field
from ctapipe.io import HDF5TableWriter
from ctapipe.io.tableio import FixedPointColumnTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from ctapipe.pipeline.algorithms._ctapipe.row_maker import RowRecorder
from ctapipe.pipeline.algorithms._ctapipe.row_writer import RowWriter
from ctapipe.pipeline.algorithms._ctapipe.rows import EventRows

TimeResolution = getattr(ctapipe.core.container, "TimeResolution", None)


class Color(enum.Enum):
    RED = 1
    BLUE = 7


# Of a field for times; before ctapipe 0.32 all were as exact as can be.
EXACT = {"time_resolution": TimeResolution.HIGH} if TimeResolution else {}


class Values(Container):
    """One of each kind that ctapipe can write, and of those that it cannot."""

    number = Field(None)
    angle = Field(None, unit=u.deg)
    length = Field(None)
    time = Field(None)
    exact_time = Field(None, **EXACT)
    color = Field(None)
    text = Field(None, max_length=5)
    array = Field(None)
    packed = Field(None)
    excluded = Field(None)
    inner = Field(None)


class Others(Container):
    """A second one for the same row, with a column that the first has."""

    default_prefix = ""
    number = Field(None)
    length = Field(0.0)


class Later(Container):
    """One of its columns is in the table."""

    default_prefix = ""
    number = Field(None)
    unknown = Field(1.0)


NOT_FIT_FOR_OTHERS = ("time", "exact_time", "color", "packed")

NUMBERS = st.one_of(
    st.floats(width=32),
    st.integers(-100, 100),
    st.booleans(),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.integers(0, 100).map(np.int16),
)


def arrays(shape):
    return st.builds(
        lambda dtype, start: (np.arange(np.prod(shape)).reshape(shape) + start).astype(dtype),
        st.sampled_from(["f4", "f8", "i2", "u1", "?"]),
        st.integers(0, 50),
    )


def quantities(shape, *units):
    numbers = st.one_of(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3, width=32).map(np.float32))
    return st.builds(u.Quantity, arrays(shape) if shape else numbers, st.sampled_from(units))


@st.composite
def rows(draw):
    """Rows of one table, most of which fit into it."""
    shape = draw(st.sampled_from([(), (3,), (2, 2)]))
    strategies = {
        "number": NUMBERS,
        "angle": quantities(shape, u.deg, u.rad),
        "length": quantities(shape, *draw(st.sampled_from([(u.m,), (u.m, u.cm)]))),
        "time": st.integers(0, 1000).map(lambda i: Time(59000 + i / 7, format="mjd", scale="utc")),
        "exact_time": st.integers(0, 9).map(lambda i: Time(59000 + i / 7, format="mjd")),
        "color": st.sampled_from(Color),
        "text": st.text("abcd\u00e9", max_size=7),
        "array": arrays(shape),
        "packed": st.lists(st.floats(-5, 5), min_size=2, max_size=2).map(np.array),
        "excluded": NUMBERS,
        "inner": st.just(Others(number=1)),
    }
    always = draw(st.sets(st.sampled_from(list(strategies))))
    unfit = st.one_of(st.none(), NUMBERS, arrays((3,)), st.just(3 * u.s), st.just([1, 2]))
    rows = []
    for _ in range(draw(st.integers(1, 8))):
        values = {name: draw(strategies[name]) for name in always}
        if not draw(st.integers(0, 9)):
            name = draw(st.sampled_from([name for name in strategies if name != "inner"]))
            values[name] = None if name in NOT_FIT_FOR_OTHERS else draw(unfit)
        meta = {} if draw(st.integers(0, 4)) else {"a": 1}
        # The second number may become known later.
        number, later = draw(st.tuples(NUMBERS, st.none()) | st.tuples(st.just(0.0), st.floats()))
        rows.append((values, number, later, meta))
    return rows


def containers(values, number, meta):
    """What a row is made of."""
    one = Values(**values)
    one.meta = dict(meta)
    return [one, Others(number=number)]


NAMES = map("rows{}.h5".format, itertools.count())


@contextmanager
def writer(**options):
    """A writer to a file in memory."""
    in_memory = {"driver": "H5FD_CORE", "driver_core_backing_store": 0}
    made = HDF5TableWriter(next(NAMES), add_prefix=True, **in_memory, **options)
    made.exclude("/events/.*", ".*excluded")
    packed = FixedPointColumnTransform(10, 0, np.float64, np.int16)
    made.add_column_transform_regexp("events/.*", ".*packed", packed)
    with made:
        yield made


def content(made):
    """What is in the file."""
    made.h5file.flush()
    return {
        table._v_pathname: (
            table.dtype,
            table[:].tobytes(),
            {name: str(table.attrs[name]) for name in table.attrs._f_list("all")},
        )
        for table in made.h5file.walk_nodes("/", "Table")
    }


def number_of_written(write, rows):
    """How many rows are written before one cannot be."""
    for i, row in enumerate(rows):
        try:
            write(i, row)
        except Exception:
            return i
    return len(rows)


@settings(deadline=None)
@given(rows(), st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_rows_of_several_workers(rows, workers):
    # Some rows are put into the file before the last one is there.
    with writer() as expected, writer(IO_BUFFER_SIZE=300) as written, writer() as rules:
        recorders = [RowRecorder(rules) for _ in range(3)]
        write_rows = RowWriter(written)

        def write(i, row):
            values, number, later, meta = row
            recorders[workers[i]].write("events/a", containers(values, number, meta))
            event = EventRows(1, *recorders[workers[i]].take(), {})
            overwriting = {} if later is None else {"events/a": Later(number=later)}
            write_rows(pickle.loads(pickle.dumps(event)), overwriting)

        def write_containers(i, row):
            values, number, later, meta = row
            expected.write("events/a", containers(values, number if later is None else later, meta))

        n_rows = number_of_written(write_containers, rows)
        assert number_of_written(write, rows) == n_rows
        write_rows.flush()
        assert content(written) == content(expected)
