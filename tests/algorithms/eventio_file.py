"""Files of sim_telarray made of the objects of others."""

import struct
from typing import NamedTuple

import zstandard

SYNC = bytes.fromhex("378a1fd4")
HEADER = struct.Struct("<IiI")
LENGTH = (1 << 30) - 1
ONLY_SUBOBJECTS = 1 << 30

CAMERA_SETTINGS, LASER_CALIBRATION = 2002, 2023
MC_SHOWER, MC_EVENT, TELESCOPE_DATA, PHOTOELECTRON_SUM, ARRAY_EVENT = 2020, 2021, 1204, 2026, 2010
CALIBRATION_EVENT = 2028


class FileObject(NamedTuple):
    """An object: its type with flags and version, its id, flags of its length, its bytes."""

    type_field: int
    id: int
    flags: int
    payload: bytes

    @property
    def kind(self):
        """The number of its type."""
        return self.type_field & 0xFFFF

    def dump(self):
        """As it is in another object."""
        return HEADER.pack(self.type_field, self.id, self.flags | len(self.payload)) + self.payload


def read_file(path, size):
    """The objects in the first bytes of a file that is compressed with zstd."""
    with open(path, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        data = stream.read(size)
    objects = []
    end = 0
    while end + len(SYNC) + HEADER.size <= len(data):
        type_field, id_, length = HEADER.unpack_from(data, end + len(SYNC))
        begin = end + len(SYNC) + HEADER.size
        end = begin + (length & LENGTH)
        if end <= len(data):
            objects.append(FileObject(type_field, id_, length & ~LENGTH, data[begin:end]))
    return objects


def dump_file(objects):
    """The bytes of a file."""
    return b"".join(SYNC + each.dump() for each in objects)


def without_id(event):
    """An array event without an id; the first object in it has one too."""
    type_field, _, length = HEADER.unpack_from(event.payload)
    payload = HEADER.pack(type_field, 0, length) + event.payload[HEADER.size :]
    return event._replace(id=0, payload=payload)


def calibration_event(event, kind=0):
    """An array event as one of calibration."""
    return FileObject(CALIBRATION_EVENT, kind, ONLY_SUBOBJECTS, event.dump())
