"""Objects of an EventIO file: headers, objects in objects, and numbers of variable length.

The layout is that of K. Bernlöhr's EventIO, as in "The EventIO data format", which comes with
hessioxxx and sim_telarray. All is little-endian.
"""

import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "SYNC_MARKER",
    "dump_container",
    "dump_differences",
    "dump_object",
    "floats",
    "header",
    "integers",
    "shorts",
    "string",
    "unsigned_varint",
    "varint",
    "varint_string",
]

# Stands before each object that is not in another one.
SYNC_MARKER = struct.pack("<I", 0xD41F8A37)

LENGTH_BITS = 30
EXTENDED = 1 << 17
ONLY_SUBOBJECTS = 1 << 30


def header(
    type_: int, length: int, id_: int = 0, version: int = 0, only_subobjects: bool = False
) -> bytes:
    """The header of an object.

    Parameters
    ----------
    type_ : int
        What the object is.
    length : int
        Bytes of its content.
    id_ : int
        What tells it from others of its type.
    version : int
        The layout of its content.
    only_subobjects : bool
        Whether its content is other objects, and nothing else.
    """
    extension, length_field = divmod(length, 1 << LENGTH_BITS)
    type_field = type_ | version << 20 | (EXTENDED if extension else 0)
    fields = struct.pack("<IiI", type_field, id_, length_field | only_subobjects * ONLY_SUBOBJECTS)
    return fields + struct.pack("<I", extension) if extension else fields


def dump_object(type_: int, *content: bytes, id_: int = 0, version: int = 0) -> bytes:
    """An object with data, which is filled up to a multiple of four bytes.

    Parameters
    ----------
    type_, id_, version : int
        See `header`.
    *content : bytes
        Its data.
    """
    data = b"".join(content)
    data += bytes(-len(data) % 4)
    return header(type_, len(data), id_, version) + data


def dump_container(type_: int, objects: Iterable[bytes], id_: int = 0, version: int = 0) -> bytes:
    """An object of objects.

    Parameters
    ----------
    type_, id_, version : int
        See `header`.
    objects : iterable of bytes
        What is in it.
    """
    data = b"".join(objects)
    return header(type_, len(data), id_, version, only_subobjects=True) + data


def floats(*values: ArrayLike) -> bytes:
    """Numbers and arrays as 4-byte floats."""
    return b"".join(np.asarray(value, dtype="<f4").tobytes() for value in values)


def integers(*values: ArrayLike) -> bytes:
    """Numbers and arrays as 4-byte integers."""
    return b"".join(np.asarray(value, dtype="<i4").tobytes() for value in values)


def shorts(*values: ArrayLike) -> bytes:
    """Numbers and arrays as 2-byte integers."""
    return b"".join(np.asarray(value, dtype="<i2").tobytes() for value in values)


def string(text: str) -> bytes:
    """A text, its length first, as a 2-byte integer."""
    data = text.encode()
    return shorts(len(data)) + data


def varint_string(text: str) -> bytes:
    """A text, its length first, as a number of variable length."""
    data = text.encode()
    return unsigned_varint(len(data)) + data


def unsigned_varint(number: int) -> bytes:
    """A number of up to 28 bits in one to four bytes.

    As in UTF-8, the first byte begins with a set bit for each byte that follows.
    """
    for n_following in range(4):
        if number < 1 << 7 * (n_following + 1):
            prefix = 0xF00 >> n_following & 0xFF if n_following else 0
            data = bytearray(number.to_bytes(n_following + 1, "big"))
            data[0] |= prefix
            return bytes(data)
    raise ValueError(f"{number} has more than 28 bits")


def varint(number: int) -> bytes:
    """A number with a sign, which is kept in the lowest bit."""
    return unsigned_varint(2 * number if number >= 0 else -2 * number - 1)


def dump_differences(rows: NDArray[np.uint16]) -> bytes:
    """Rows of numbers, each but the first of a row as its difference to the one before.

    Parameters
    ----------
    rows : ndarray
        Of shape (rows, numbers).

    Returns
    -------
    bytes
        The differences as numbers with a sign, in one to three bytes each.
    """
    differences = rows.astype(np.int32)
    differences[:, 1:] -= rows[:, :-1]
    # The sign is in the lowest bit, as in varint.
    numbers = (differences << 1 ^ differences >> 31).ravel()
    long = np.flatnonzero(numbers >= 1 << 7)
    longest = long[numbers[long] >= 1 << 14]
    second = numbers[long] >> 8 & 0xFF | 0x80 * (numbers[long] < 1 << 14)
    third = numbers[longest] >> 16 | 0xC0
    data = np.insert(
        (numbers & 0xFF).astype(np.uint8),
        np.concatenate([longest, long]),
        np.concatenate([third, second]).astype(np.uint8),
    )
    return data.tobytes()
