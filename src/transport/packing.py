"""Messages as bytes that can leave the process, their large buffers in shared memory."""

import pickle
import struct
import time
from collections.abc import Callable
from typing import Any

from ._shared import SharedMemory

__all__ = ["Bodies"]

# As in _wire.h: the block, how many buffers, the size of the pickle.
HEAD = struct.Struct("=QII")
PAUSE_S = 0.001


class Bodies:
    """Packs what a worker sends to another process, and unpacks what it receives.

    Parameters
    ----------
    memory : SharedMemory
        Where large buffers go.
    worker : int
        The worker's number, which is also that of its arena.
    room : int
        The size of its arena, bytes.
    is_process : bool
        Whether the worker can die: what it receives is then kept for another one.
    ended : callable, optional
        Makes `pack` wait while there is no room, until it says that the run ends. Else
        buffers for which there is no room travel with the message: a stage that waited
        could be what the room is waiting for.
    """

    def __init__(
        self,
        memory: SharedMemory,
        worker: int,
        room: int,
        is_process: bool,
        ended: Callable[[], bool] | None = None,
    ) -> None:
        self._memory = memory
        self._arena = memory.arena(worker)
        self._worker = worker
        self._room = room
        self._is_process = is_process
        self._ended = ended

    def pack(self, pickled: bytes, buffers: list[Any]) -> bytes:
        """A message as bytes.

        Parameters
        ----------
        pickled : bytes
            Its pickle.
        buffers : list of buffer
            Those that the pickle does not hold; they are copied.
        """
        if not buffers:
            return HEAD.pack(0, 0, len(pickled)) + pickled
        sizes = [raw.nbytes for raw in buffers]
        block = self._put(buffers, sum(sizes))
        head = HEAD.pack(block, len(sizes), len(pickled)) + struct.pack(f"={len(sizes)}Q", *sizes)
        return b"".join([head, pickled, *(buffers if block == 0 else [])])

    def unpack(self, body: bytes) -> Any:
        """The message that a sender has packed.

        Its arrays are writable; those in shared memory lie there until nobody uses them.

        Raises
        ------
        Exception
            Whatever unpickling the message raises.
        """
        block, n_buffers, pickle_size = HEAD.unpack_from(body)
        sizes = list(struct.unpack_from(f"={n_buffers}Q", body, HEAD.size))
        offset = HEAD.size + 8 * n_buffers
        pickled = memoryview(body)[offset : offset + pickle_size]
        if block:
            buffers = self._memory.get(block, sizes, self._worker)
            if not self._is_process:
                self._memory.free(block)
            return pickle.loads(pickled, buffers=buffers)
        offset += pickle_size
        copies = []
        for size in sizes:
            copies.append(bytearray(body[offset : offset + size]))
            offset += size
        return pickle.loads(pickled, buffers=copies)

    def drop(self, body: bytes) -> None:
        """Give back what a body takes that will not be sent, or not be unpacked."""
        (block,) = struct.unpack_from("=Q", body)
        if block:
            self._memory.free(block)

    def _put(self, buffers: list[Any], size: int) -> int:
        """The block that the buffers are in, 0 if there is no room for them."""
        while True:
            block = self._arena.put(buffers)
            if block is not None:
                return block
            if size > self._room or not self._waits():
                return 0
            time.sleep(PAUSE_S)

    def _waits(self) -> bool:
        """Whether there will be room: steps may keep what they have received."""
        if self._ended is None or self._ended():
            return False
        return any("SENT" in state for _, _, state in self._memory.blocks(self._worker))
