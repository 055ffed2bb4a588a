"""Events as the rows of the tables that are written of them.

They consist of numbers, and are smaller than events: workers can do most of the writing,
and the process with the file has little left to do.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from ctapipe.core import Container


class Column(NamedTuple):
    """A column of a row.

    Parameters
    ----------
    name : str
        As in the file.
    dtype : str
        Type of its numbers; "object" if it is not in the bytes of the row.
    shape : tuple of int
        Shape of its value.
    unit : astropy.units.UnitBase or None
        Unit of its numbers, if it is a quantity.
    transform : str
        Description of the transform that made the numbers, if one did.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    unit: Any = None
    transform: str = ""


class RowLayout(NamedTuple):
    """What the bytes of a row are, and what its table is made of.

    Parameters
    ----------
    columns : tuple of Column
        In the order of the row.
    containers : list of ctapipe.core.Container
        Containers with values of the same types and shapes.
    time_format : str
        Format of times.
    """

    columns: tuple[Column, ...]
    containers: list[Container]
    time_format: str

    @property
    def dtype(self) -> np.dtype:
        """Type of the row, a structured one."""
        return np.dtype([column[:3] for column in self.columns if column.dtype != "object"])


class Row(NamedTuple):
    """A row of a table.

    Parameters
    ----------
    table_name : str
        The table.
    layout : bytes
        The `RowLayout`, pickled and compressed.
    objects : dict of str to object
        Values of the columns that are not in the bytes.
    meta : dict of str to object
        Metadata of its containers, which its table gets from the first row.
    """

    table_name: str
    layout: bytes
    objects: dict[str, Any]
    meta: dict[str, Any]


@dataclasses.dataclass(slots=True)
class EventRows:
    """What is to be written of an event.

    Parameters
    ----------
    obs_id : int
        The observation that it is of.
    rows : list of Row
        In the order in which they are written; in each event those of where the telescopes
        point, which are written once in an observation.
    data : numpy.ndarray of uint8
        The bytes of the rows.
    meta : dict
        What earlier steps have attached to the event.
    """

    obs_id: int
    rows: list[Row]
    data: np.ndarray
    meta: dict[str, Any]
