"""All of ctapipe that it does not declare public, and that the chain uses because it is fast.

Such names change without notice. So `unexpected` looks, before anything is processed, whether
they are what they were in the versions that the chain was tried with; if not, the chain takes the
public way, which writes the same file: ctapipe's event source makes the events, where
`ctapipe.pipeline.algorithms.event_reader.EventReader` runs, and ctapipe's `DataWriter` writes
them, where `ctapipe.pipeline.algorithms.event_writer.EventWriter` runs. Nothing but this module
uses these names, and nothing uses this module before it has looked.
"""

import functools
import importlib
import inspect
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import ctapipe
import ctapipe.fitting
import numpy as np
from ctapipe.containers import ArrayEventContainer, PeakTimeStatisticsContainer
from ctapipe.core import Container
from ctapipe.core.env import CTAPIPE_DISABLE_NUMBA_CACHE
from ctapipe.image import ImageProcessor, descriptive_statistics
from ctapipe.io import DataWriter, HDF5TableWriter, SimTelEventSource
from numba import njit

NEWEST_TRIED = (0, 32)

_lts_linear_regression = getattr(ctapipe.fitting, "_lts_linear_regression", None)


class PrivateName(NamedTuple):
    """A name, where it is, and what was found there.

    Parameters
    ----------
    owner : str
        The module, class or function.
    name : str
        Of what it has; of a function, an attribute that it sets or reads.
    parameters : tuple of str
        If it is called: all parameters that it takes, or took in an earlier version, one
        string for each.
    """

    owner: str
    name: str
    parameters: tuple[str, ...] = ()


# Why each is needed, and what the public way costs.
PRIVATE_NAMES = (
    # Rows are made by workers: else the main process writes one value at a time, four times the
    # work, and whole events are handed over.
    PrivateName("ctapipe.io.DataWriter", "_setup_output_path", ("self",)),
    PrivateName("ctapipe.io.DataWriter", "_setup_outputfile", ("self",)),
    PrivateName("ctapipe.io.DataWriter", "_setup_writer", ("self",)),
    PrivateName("ctapipe.io.DataWriter", "_write_constant_pointing", ("self, event",)),
    PrivateName("ctapipe.io.DataWriter.__init__", "_constant_telescope_pointing_written"),
    PrivateName("ctapipe.io.DataWriter.__init__", "_at_least_one_event"),
    PrivateName("ctapipe.io.DataWriter._setup_writer", "_writer"),
    PrivateName(
        "ctapipe.io.HDF5TableWriter",
        "_setup_new_table",
        ("self, table_name, containers", "self, table_name, containers, time_format"),
    ),
    PrivateName("ctapipe.io.HDF5TableWriter.__init__", "_tables"),
    PrivateName("ctapipe.io.tableio.TableWriter.__init__", "_transforms"),
    PrivateName(
        "ctapipe.io.HDF5TableWriter",
        "_realize_regexp_transforms",
        ("self, table_name, containers",),
    ),
    PrivateName(
        "ctapipe.io.HDF5TableWriter", "_is_column_excluded", ("self, table_name, col_name",)
    ),
    PrivateName("ctapipe.io.hdf5tableio", "PYTABLES_TYPE_MAP"),
    PrivateName("ctapipe.io.tableio", "EnumColumnTransform", ("enum",)),
    PrivateName("ctapipe.io.tableio", "QuantityColumnTransform", ("unit",)),
    PrivateName("ctapipe.io.tableio", "TimeColumnTransform", ("scale, format",)),
    PrivateName("ctapipe.io.tableio.ColumnTransform", "get_meta", ("self, colname",)),
    # The time gradient is fitted once, without the GIL: else twice, the second time while
    # nothing else runs in the main process.
    PrivateName(
        "ctapipe.image.ImageProcessor",
        "_parameterize_image",
        ("self, tel_id, image, signal_pixels, peak_time, default",),
    ),
    PrivateName(
        "ctapipe.fitting",
        "_lts_linear_regression",
        ("x, y, rng, samples, relative_sample_size, max_iterations, eps",),
    ),
    PrivateName("ctapipe.image.timing", "rmse", ("truth, prediction",)),
    # Workers parse: else the main process does, a fifth to a third of all the work.
    PrivateName("ctapipe.io.SimTelEventSource", "_generate_events", ("self",)),
    PrivateName("ctapipe.io.SimTelEventSource.__init__", "file_"),
)


def unexpected() -> tuple[str, ...]:
    """What is not as in the versions that the chain was tried with, a line each.

    Returns
    -------
    tuple of str
        Empty if the rest of this module can be used.
    """
    return look_at("ctapipe", ctapipe.__version__, NEWEST_TRIED, PRIVATE_NAMES)


@functools.cache
def look_at(
    package: str, version: str, newest: tuple[int, int], names: tuple[PrivateName, ...]
) -> tuple[str, ...]:
    """Compare a package with what is expected of it.

    Parameters
    ----------
    package : str
        Its name.
    version : str
        Its version.
    newest : tuple of int
        The newest version that was tried, as far as the second number.
    names : tuple of PrivateName
        What it should have.

    Returns
    -------
    tuple of str
        A line for each difference.
    """
    found = []
    if release(version) > newest:
        tried = ".".join(map(str, newest))
        found.append(f"{package} {version} is newer than {tried}, the newest that was tried")
    for private in names:
        difference = _difference(private)
        if difference:
            found.append(f"{package} {version}: {private.owner}: {difference}")
    return tuple(found)


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int(part) for part in version.split(".")[:2])


def _difference(private: PrivateName) -> str | None:
    owner = _find(private.owner)
    if owner is None:
        return "is gone"
    if inspect.isfunction(owner):
        return None if private.name in owner.__code__.co_names else f"no use of {private.name}"
    thing = getattr(owner, private.name, None)
    if thing is None:
        return f"{private.name} is gone"
    if private.parameters:
        parameters = ", ".join(inspect.signature(thing).parameters)
        if parameters not in private.parameters:
            return f"{private.name} takes ({parameters})"
    return None


def _find(path: str) -> Any:
    """What has a dotted name, None if nothing has."""
    module, _, name = path.rpartition(".")
    try:
        return importlib.import_module(path)
    except ImportError:
        return getattr(_find(module), name, None) if module else None


# -------------------------------------------------------------------- rows


class DataWriterWithoutFile(DataWriter):
    """Writes events to a `HDF5TableWriter` that others put in, without any file.

    It has the options of `ctapipe.io.DataWriter`.
    """

    _writer: Any

    def table_writer(self, made: HDF5TableWriter) -> Any:
        """What is written to, made of ctapipe's, which is closed."""
        raise NotImplementedError

    def _write_constant_pointing(self, event: ArrayEventContainer) -> None:
        # Which events are the first of a telescope is known where all events come together.
        self._constant_telescope_pointing_written.clear()
        super()._write_constant_pointing(event)

    def _setup_output_path(self) -> None:
        """Nothing: there is no output."""

    def _setup_outputfile(self) -> None:
        """Nothing: there is no output."""

    def _setup_writer(self) -> None:
        """Let the writer say what is written and how; the file it comes with is not used."""
        with tempfile.TemporaryDirectory() as directory:
            self.output_path = Path(directory) / "unused.h5"
            super()._setup_writer()
            self._writer.close()
        self._writer = self.table_writer(self._writer)


def table_writer_of(writer: DataWriter) -> HDF5TableWriter:
    """What a writer of events writes its tables with."""
    return writer._writer


def count_event(writer: DataWriter) -> None:
    """Tell a writer of events that it is not without any."""
    writer._at_least_one_event = True


def make_table(
    writer: HDF5TableWriter, name: str, containers: list[Container], time_format: str
) -> None:
    """Make a table of the columns that containers have.

    Parameters
    ----------
    writer : ctapipe.io.HDF5TableWriter
        With the file.
    name : str
        The table.
    containers : list of ctapipe.core.Container
        What its first row is made of.
    time_format : str
        Format of times; from ctapipe 0.32 on, the fields of the containers have it.
    """
    make = writer._setup_new_table
    if "time_format" in inspect.signature(make).parameters:
        make(name, containers, time_format)
    else:
        make(name, containers)


def table_of(writer: HDF5TableWriter, name: str) -> Any:
    """A table that was made, a `tables.Table`."""
    return writer._tables[name]


def transforms_of(writer: HDF5TableWriter, name: str) -> dict[str, Any]:
    """What makes numbers of the values of a table, by column."""
    return writer._transforms[name]


def transforms_for(
    writer: HDF5TableWriter, name: str, containers: Iterable[Container]
) -> dict[str, Any]:
    """The same, of a table that is not made yet, as far as its types need not be known."""
    writer._realize_regexp_transforms(name, containers)
    return transforms_of(writer, name)


def is_left_out(writer: HDF5TableWriter, table: str, column: str) -> bool:
    """Whether a column is not written."""
    return writer._is_column_excluded(table, column)


def is_type_of_column(name: str) -> bool:
    """Whether there can be columns of this type of NumPy."""
    return name in _tables_module().PYTABLES_TYPE_MAP


def enum_transform(enum: type) -> Any:
    """What makes numbers of an enumeration."""
    return _transforms_module().EnumColumnTransform(enum=enum)


def time_transform(time_format: str) -> Any:
    """What makes numbers of times."""
    return _transforms_module().TimeColumnTransform(scale="tai", format=time_format)


def is_quantity_transform(transform: Any) -> bool:
    """Whether it makes numbers of quantities; then it has a ``unit``."""
    return isinstance(transform, _transforms_module().QuantityColumnTransform)


def describe_transform(transform: Any) -> str:
    """What two transforms that make the same numbers have in common."""
    describe = getattr(transform, "get_meta", None)
    return f"{type(transform).__name__} {describe('') if describe else ''}"


def _tables_module() -> Any:
    return importlib.import_module("ctapipe.io.hdf5tableio")


def _transforms_module() -> Any:
    return importlib.import_module("ctapipe.io.tableio")


# ---------------------------------------------------------- time gradients


class ImageProcessorWithoutFits(ImageProcessor):
    """An image processor that leaves the fit of the time gradient out."""

    def _parameterize_image(
        self, tel_id: int, image: Any, signal_pixels: Any, peak_time: Any = None, **options: Any
    ) -> Container:
        parameters = super()._parameterize_image(tel_id, image, signal_pixels, None, **options)
        if peak_time is not None and parameters is not options["default"]:
            parameters.peak_time_statistics = descriptive_statistics(
                peak_time[signal_pixels], container_class=PeakTimeStatisticsContainer
            )
        return parameters


@njit(nogil=True, cache=not CTAPIPE_DISABLE_NUMBA_CACHE)
def _fit_line(x, y, rng, samples, sample_size, max_iterations, precision):  # type: ignore[no-untyped-def]
    beta, _ = _lts_linear_regression(x, y, rng, samples, sample_size, max_iterations, precision)
    return beta


def fit_line(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *parameters: float
) -> tuple[float, float]:
    """The regression of `ctapipe.fitting.lts_linear_regression`, without the GIL.

    Parameters
    ----------
    x, y : numpy.ndarray of float64, shape (n_points,)
        The points, at least two, all of them finite.
    rng : numpy.random.Generator
        Draws the points that it starts from.
    parameters : int or float
        The other parameters of that function, from the third on.

    Returns
    -------
    slope, intercept : float
        Of the line.
    """
    slope, intercept = _fit_line(x, y, rng, *parameters)
    return slope, intercept


def deviation(one: np.ndarray, other: np.ndarray) -> float:
    """The root mean square of the differences, to the last bit as ctapipe has it."""
    return importlib.import_module("ctapipe.image.timing").rmse(one, other)


# ------------------------------------------------------------------ events


def simtel_file(source: SimTelEventSource) -> Any:
    """The `eventio.SimTelFile` that a source reads."""
    return source.file_


def next_event(source: SimTelEventSource) -> ArrayEventContainer | None:
    """The first event of what the file of a source has from here on, None if it has none."""
    return next(source._generate_events(), None)
