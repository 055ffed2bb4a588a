"""All of eventio that it does not declare public, and that is used to parse events in workers.

See `ctapipe.pipeline.algorithms._ctapipe.internals`, which does the same for ctapipe. Here the
public way costs that all events are parsed where they are read, in the main process: a fifth to
a third of all the work.
"""

import contextlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import eventio
import eventio.base
import eventio.simtel.simtelfile
from eventio import SimTelFile
from eventio.simtel.objects import ArrayEvent, CalibrationEvent

from .internals import PrivateName, look_at

NEWEST_TRIED = (2, 2)

# An object is taken out of one file and opened elsewhere; a file is let read such objects.
PRIVATE_NAMES = (
    PrivateName("eventio.base", "KNOWN_OBJECTS"),
    PrivateName("eventio.base.EventIOObject", "__init__", ("self, header, filehandle",)),
    PrivateName("eventio.base.EventIOObject.__init__", "content_address"),
    PrivateName("eventio.simtel.simtelfile", "telescope_descriptions_types"),
    PrivateName("eventio.SimTelFile.__init__", "_file"),
    PrivateName("eventio.SimTelFile.__init__", "_finished"),
    PrivateName("eventio.SimTelFile.__init__", "current_event"),
    PrivateName("eventio.SimTelFile.__init__", "current_mc_shower"),
    PrivateName("eventio.SimTelFile", "_parse_next_object", ("self",)),
)


def unexpected() -> tuple[str, ...]:
    """What is not as in the versions that parsing in workers was tried with, a line each.

    Returns
    -------
    tuple of str
        Empty if the rest of this module can be used.
    """
    return look_at("eventio", eventio.__version__, NEWEST_TRIED, PRIVATE_NAMES)


def take_out(o: Any) -> tuple[Any, bytes]:
    """Take an object out of its file.

    Parameters
    ----------
    o : eventio.base.EventIOObject
        The object; it cannot be used any more.

    Returns
    -------
    header : eventio.header.ObjectHeader
        Its header, as of an object at the beginning of a file.
    payload : bytes
        What it consists of; less of it, if the file ends before.
    """
    payload = o.read()
    o.header.content_address = 0
    return o.header, payload


def open_again(header: Any, payload: Any) -> Any:
    """Make an object of what was taken out of a file, to be parsed.

    Parameters
    ----------
    header : eventio.header.ObjectHeader
        Its header.
    payload : bytes-like
        What it consists of.
    """
    kind = eventio.base.KNOWN_OBJECTS.get(header.type, eventio.base.EventIOObject)
    return kind(header, BytesIO(payload))


def descriptions_of_telescopes() -> tuple[type, ...]:
    """The types of the objects that describe telescopes."""
    return eventio.simtel.simtelfile.telescope_descriptions_types


@contextlib.contextmanager
def reading(file: SimTelFile, objects: Iterable[Any]) -> Iterator[None]:
    """Let a file read other objects, as if they came first; afterwards its own again.

    Parameters
    ----------
    file : eventio.SimTelFile
        The file.
    objects : iterable of eventio.base.EventIOObject
        What it reads.
    """
    file._finished = False
    file.current_event = file.current_mc_shower = None
    opened = file._file
    file._file = iter(objects)
    try:
        yield
    finally:
        file._file = opened


def is_at_end(file: SimTelFile) -> bool:
    """Whether a file has come to the end of what it reads; else there is another event."""
    at_end: bool = file._finished
    return at_end


def read_to_first_event(file: SimTelFile, types: tuple[type, ...]) -> None:
    """Parse all objects of some types that come before the first event.

    Parameters
    ----------
    file : eventio.SimTelFile
        The file, just opened.
    types : tuple of type
        The types.
    """
    while not isinstance(o := file._file.peek(), ArrayEvent | CalibrationEvent | None):
        if isinstance(o, types):
            file._parse_next_object()
        else:
            next(file._file)
