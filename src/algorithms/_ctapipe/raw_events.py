"""Events of sim_telarray files, cut out of a file by one process and parsed by others.

To find where an event begins and ends takes a hundredth of the time to parse it, and the
bytes of the file are the smallest form that it has. What is made of them is what
`ctapipe.io.SimTelEventSource` makes, since it and `eventio.SimTelFile`, whose documentation
describes the file, do it.
"""

import dataclasses
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from ctapipe.containers import ArrayEventContainer
from ctapipe.io import SimTelEventSource
from eventio import EventIOFile, SimTelFile, iact
from eventio.histograms import Histograms
from eventio.simtel.objects import (
    ArrayEvent,
    CalibrationEvent,
    CalibrationPhotoelectrons,
    CameraMonitoring,
    LaserCalibration,
    MCEvent,
    MCPhotoelectronSum,
    MCShower,
    PixelMonitoring,
    RunHeader,
    TelescopeEvent,
    TriggerInformation,
)

from . import eventio_internals, internals

# Without what ctapipe does not use, such as the particles on the ground.
OF_EVENT = (MCEvent, iact.TelescopeData, MCPhotoelectronSum, ArrayEvent, CalibrationEvent)
OF_TELESCOPES = (
    RunHeader,
    *eventio_internals.descriptions_of_telescopes(),
    CameraMonitoring,
    LaserCalibration,
    PixelMonitoring,
)
USED = (*OF_EVENT, MCShower, CalibrationPhotoelectrons, *OF_TELESCOPES, Histograms)
BY_TELESCOPE = (
    "telescope_descriptions",
    "camera_monitorings",
    "laser_calibrations",
    "pixel_monitorings",
)


@dataclasses.dataclass(frozen=True)
class RawObject:
    """An object of an eventio file.

    Parameters
    ----------
    header : eventio.header.ObjectHeader
        Its header, with an address of 0.
    payload : bytes-like
        What it consists of.
    """

    header: Any
    payload: Any

    @classmethod
    def of(cls, o: Any) -> "RawObject":
        """Read an object, as far as the file has it.

        Parameters
        ----------
        o : eventio.base.EventIOObject
            The object; it cannot be used any more.
        """
        return cls(*eventio_internals.take_out(o))

    @property
    def is_cut(self) -> bool:
        """Whether the file ends within it."""
        return len(self.payload) < self.header.content_size

    def open(self) -> Any:
        """The object, to be parsed."""
        return eventio_internals.open_again(self.header, self.payload)

    def __reduce__(self) -> tuple[Any, ...]:
        # So that the bytes need not be copied into the pickle.
        return RawObject, (self.header, pickle.PickleBuffer(self.payload))


@dataclasses.dataclass(frozen=True)
class RawEvent:
    """The bytes of an event.

    Parameters
    ----------
    objects : tuple of RawObject
        What belongs to it, in the order of the file.
    changes : tuple of RawObject
        What the file says about the telescopes after its first event and before this one.
    count : int
        How many events come before it.
    pseudo_id : int
        The id of an event that has none in the file, else 0.
    """

    objects: tuple[RawObject, ...]
    changes: tuple[RawObject, ...]
    count: int
    pseudo_id: int


def raw_events(source: SimTelEventSource, parse: "RawEventParser") -> Iterator[RawEvent]:
    """Cut those events out of the file of a source that it would yield.

    The source is not read. At the end of the file it is told the histograms.

    Parameters
    ----------
    source : ctapipe.io.SimTelEventSource
        The source.
    parse : RawEventParser
        Of the same source, for an event that the file ends in.

    Yields
    ------
    RawEvent
        The next event.

    Raises
    ------
    Exception
        Whatever the source raises of what is damaged, after all events before that.
    """
    count = n_without_id = 0
    for objects, changes in _cut(source):
        if objects[-1].is_cut and parse(RawEvent(objects, changes, count, 0)) is None:
            # The source takes it for the end of the file, too, unless it raises.
            return
        event_id = _id_unless_skipped(objects, internals.simtel_file(source))
        if event_id is None:
            continue
        n_without_id += event_id == 0
        yield RawEvent(objects, changes, count, 0 if event_id else -n_without_id)
        count += 1
        if source.max_events and count >= source.max_events:
            return


def _cut(source: SimTelEventSource) -> Iterator[tuple[tuple[RawObject, ...], ...]]:
    """The objects of each event, and what has changed since the first one."""
    event: list[RawObject] = []
    # One shower can have several events.
    shower: list[RawObject] = []
    photoelectrons: list[RawObject] = []
    changes: dict[Any, RawObject] = {}
    changes_of_event: tuple[RawObject, ...] = ()
    is_after_first = False
    incomplete: list[RawObject] = []
    failure: Exception | None = None
    path = source.input_url.expanduser()
    with EventIOFile(path, zcat=not source.back_seekable) as file:
        try:
            for o in file:
                if not isinstance(o, USED):
                    continue
                begin = o.address
                raw = RawObject.of(o)
                if isinstance(o, OF_EVENT):
                    is_array_event = isinstance(o, ArrayEvent | CalibrationEvent)
                    # Calibration events can lack the object around them; no shower came before.
                    is_bare = isinstance(o, ArrayEvent) and not shower
                    if isinstance(o, MCEvent | CalibrationEvent) or is_bare:
                        if event:
                            yield tuple(event), changes_of_event
                        event = [*shower]
                        if isinstance(o, CalibrationEvent):
                            event += photoelectrons
                            photoelectrons = []
                    event.append(raw)
                    if is_array_event:
                        changes_of_event = tuple(changes.values())
                        is_after_first = True
                elif isinstance(o, Histograms):
                    internals.simtel_file(source).histograms = raw.open().parse()
                    break
                elif isinstance(o, OF_TELESCOPES) and not is_after_first:
                    if begin >= source.start_pos:
                        # The source has not seen yet whether it can be parsed.
                        raw.open().parse()
                elif raw.is_cut:
                    incomplete = [raw]
                elif isinstance(o, MCShower):
                    shower = [raw]
                elif isinstance(o, CalibrationPhotoelectrons):
                    photoelectrons = [raw]
                else:
                    changes[o.header.type, o.header.id] = raw
        except EOFError as error:
            # What was read before is complete.
            warnings.warn(str(error), stacklevel=2)
        except Exception as error:
            failure = error
    if event:
        yield tuple(event), changes_of_event
    if incomplete:
        yield tuple(incomplete), changes_of_event
    if failure is not None:
        raise failure


def _id_unless_skipped(objects: tuple[RawObject, ...], file: SimTelFile) -> int | None:
    """The id of an event in the file, None if eventio would skip the event."""
    by_type = {raw.header.type: raw for raw in objects}
    is_calibration = MCEvent.eventio_type not in by_type
    if CalibrationEvent.eventio_type in by_type:
        array_event = next(by_type[CalibrationEvent.eventio_type].open())
    elif ArrayEvent.eventio_type in by_type:
        array_event = by_type[ArrayEvent.eventio_type].open()
    else:
        return None
    event_id: int = array_event.header.id
    has_telescopes = False
    trigger = None
    for o in array_event:
        if isinstance(o, TriggerInformation):
            trigger = o
            event_id = o.header.id or event_id
        elif isinstance(o, TelescopeEvent):
            has_telescopes = (
                not file.allowed_telescopes or o.telescope_id in file.allowed_telescopes
            )
            if has_telescopes:
                break
    if trigger is not None and not has_telescopes:
        # It raises if it is damaged, as the telescopes behind it may be.
        trigger.parse()
    is_skipped = file.skip_calibration if is_calibration else not has_telescopes
    return None if is_skipped else event_id


class RawEventParser:
    """Makes events of their bytes.

    Parameters
    ----------
    source : ctapipe.io.SimTelEventSource
        The source of the same file. It must not be read by others.
    """

    def __init__(self, source: SimTelEventSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._at_first_event: dict[str, dict[int, dict[str, Any]]] = {}
        self._header: Any = None
        self._is_changed = False

    @classmethod
    def of_all(cls, shared: dict[str, Any], source: SimTelEventSource) -> "RawEventParser":
        """The one that all steps of a process use, as they use the same source.

        Parameters
        ----------
        shared : dict
            What these steps share.
        source : ctapipe.io.SimTelEventSource
            The source.
        """
        parser: RawEventParser = shared.setdefault("event parser", cls(source))
        return parser

    def __call__(self, raw: RawEvent) -> ArrayEventContainer | None:
        """Make an event.

        Parameters
        ----------
        raw : RawEvent
            Its bytes.

        Returns
        -------
        ctapipe.containers.ArrayEventContainer or None
            The event that the source would yield; None if the bytes are so damaged that it
            takes them for the end of the file.

        Raises
        ------
        Exception
            Whatever the source raises of what is damaged.
        """
        file = internals.simtel_file(self._source)
        with self._lock:
            if not self._at_first_event:
                self._read_to_first_event()
            if self._is_changed:
                self._undo_changes()
            self._is_changed = bool(raw.changes)
            objects = (each.open() for each in raw.changes + raw.objects)
            with eventio_internals.reading(file, objects):
                event = internals.next_event(self._source)
                is_all = eventio_internals.is_at_end(file)
        if event is None:
            return None
        if not is_all:
            raise ValueError("what begins the next event is missing")
        event.count = raw.count
        if raw.pseudo_id:
            event.index.event_id = raw.pseudo_id
        return event

    def _read_to_first_event(self) -> None:
        """Parse what holds for all events; some of it can come after the first shower."""
        file = internals.simtel_file(self._source)
        eventio_internals.read_to_first_event(file, OF_TELESCOPES)
        self._header = file.header
        self._at_first_event = {
            name: {tel_id: dict(values) for tel_id, values in getattr(file, name).items()}
            for name in BY_TELESCOPE
        }

    def _undo_changes(self) -> None:
        file = internals.simtel_file(self._source)
        file.header = self._header
        for name, by_telescope in self._at_first_event.items():
            for tel_id, values in by_telescope.items():
                getattr(file, name)[tel_id] = dict(values)
