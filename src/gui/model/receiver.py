"""The socket that pipelines connect to."""

import logging
import time
from types import TracebackType

import zmq

from ...errors import ConfigurationError
from ...status.snapshot import MOST_BYTES, BadSnapshot, read_snapshot
from .keys import read_secret_key
from .shown_pipelines import ShownPipeline, ShownPipelines, TooManyPipelines

__all__ = ["Receiver"]

# The longest frame that libzmq takes in at all; it closes the connection of a longer one.
MOST_FRAME_BYTES = 4 * MOST_BYTES
# How many messages wait in libzmq, per connection, before it stops reading.
MOST_WAITING = 32
LONGEST_ID = 64
# What is done in one call of `receive`, so that a flood leaves time for the rest.
MOST_MESSAGES = 1000
MOST_READ = 10
MOST_PENDING = 256


class Receiver:
    """Listens for snapshots, drops what is none, and brings `ShownPipelines` up to date.

    A message has two frames: the pipeline's id, and the snapshot. So only the newest one of
    each pipeline has to be read.

    Parameters
    ----------
    host : str
        The address to listen on, or ``*`` for all.
    port : int
        The port; 0 for any that is free.
    log : logging.Logger
        Where to say, once of each kind, what was dropped.
    server_key_file : path, optional
        The window's secret key; who does not know its public key is not listened to.

    Attributes
    ----------
    pipelines : ShownPipelines
        What has been heard of.

    Raises
    ------
    ConfigurationError
        If it cannot listen there, or the key cannot be read.
    """

    def __init__(
        self, host: str, port: int, log: logging.Logger, server_key_file: str | None = None
    ) -> None:
        self.pipelines = ShownPipelines()
        self._log = log
        self._logged: set[str] = set()
        self._pending: dict[bytes, bytes] = {}
        keys = None if server_key_file is None else read_secret_key(server_key_file)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.rcvhwm = MOST_WAITING
        self._socket.maxmsgsize = MOST_FRAME_BYTES
        self._socket.ipv6 = ":" in host
        if keys is not None:
            self._socket.curve_server = True
            self._socket.curve_publickey, self._socket.curve_secretkey = keys
        self._socket.subscribe(b"")
        try:
            self._socket.bind(f"tcp://{f'[{host}]' if ':' in host else host}:{port or '*'}")
        except zmq.ZMQError as error:
            self.close()
            if error.errno == zmq.EADDRINUSE:
                problem = (
                    f"PipeGui.port: port {port} is in use, perhaps by another window; choose "
                    f"another with --PipeGui.port={port + 1}, and tell the pipelines with "
                    f"--gui_address={'localhost' if host == '127.0.0.1' else host}:{port + 1}"
                )
            else:
                problem = f"PipeGui.host: cannot listen on {host!r}, port {port}: {error.strerror}"
            raise ConfigurationError([problem]) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)

    @property
    def address(self) -> str:
        """Where it listens: ``host:port``."""
        endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        return endpoint.decode().rstrip("\0").removeprefix("tcp://")

    @property
    def fd(self) -> int:
        """A file descriptor that becomes readable when there may be something to receive."""
        fd = self._socket.getsockopt(zmq.FD)
        assert isinstance(fd, int)
        return fd

    def receive(self, first: str | None = None) -> tuple[list[ShownPipeline], bool]:
        """Take in what has arrived, without waiting for more.

        Parameters
        ----------
        first : str, optional
            The id of the pipeline that must not wait.

        Returns
        -------
        list of ShownPipeline
            Those that are new or have changed.
        bool
            Whether there may be more to take in at once: `fd` tells of new arrivals only
            when there is not.
        """
        more = self._drain()
        now_s = time.monotonic()
        ids = list(self._pending)[:MOST_READ]
        if first is not None and first.encode() in self._pending:
            ids = [first.encode(), *(other for other in ids if other != first.encode())]
        changed = []
        for pipeline_id in ids:
            try:
                snapshot = read_snapshot(self._pending.pop(pipeline_id))
                if snapshot.pipeline.encode(errors="replace") != pipeline_id:
                    raise BadSnapshot("its two frames are of different pipelines")
                changed.append(self.pipelines.update(snapshot, now_s))
            except (BadSnapshot, TooManyPipelines) as error:
                self._drop(str(error))
        return changed, more or bool(self._pending)

    def find_lost(self) -> list[ShownPipeline]:
        """Those that have just become lost."""
        return self.pipelines.find_lost(time.monotonic())

    def _drain(self) -> bool:
        for _ in range(MOST_MESSAGES):
            try:
                frames = self._receive_frames()
            except zmq.Again:
                return False
            if len(frames) != 2 or len(frames[0]) > LONGEST_ID:
                self._drop("not two frames, an id and a snapshot")
            elif frames[0] not in self._pending and len(self._pending) >= MOST_PENDING:
                self._drop(f"snapshots of more than {MOST_PENDING} pipelines at once")
            else:
                # Those that have waited longest stay first.
                self._pending[frames[0]] = frames[1]
        return True

    def _receive_frames(self) -> list[bytes]:
        """The frames of a message; three, if there are more."""
        frames = [self._socket.recv(zmq.NOBLOCK)]
        while self._socket.rcvmore:
            frame = self._socket.recv(zmq.NOBLOCK)
            if len(frames) < 3:
                frames.append(frame)
        return frames

    def _drop(self, why: str) -> None:
        # Each says a fixed text, or one of few: what arrived is not in it.
        if why not in self._logged:
            self._logged.add(why)
            self._log.warning("dropped what is no snapshot: %s (said once)", why)
