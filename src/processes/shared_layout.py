"""What lies where in the memory that the processes of a run share."""

import dataclasses

from ..transport._channel import COUNTS_SIZE, FLAGS_SIZE
from ..transport._shared import SharedMemory
from ..transport.indices import ArenaIndex, HolderIndex

__all__ = ["SharedLayout"]


@dataclasses.dataclass(frozen=True)
class SharedLayout:
    """What lies where: an arena for each slot, and what controls the run.

    A slot is the place of a worker, counted from 0 in the order in which an executor makes
    them; who takes the place of one that died has the same.

    Parameters
    ----------
    arena_sizes : tuple of int
        The size of the arena of each slot, bytes.
    chain_counts_size : int
        The size of the counts of chains, bytes.
    """

    arena_sizes: tuple[int, ...] = ()
    chain_counts_size: int = 0

    def create(self) -> SharedMemory:
        """Memory that is laid out like this."""
        counts_size = COUNTS_SIZE * len(self.arena_sizes)
        return SharedMemory(
            list(self.arena_sizes),
            control_size=FLAGS_SIZE + counts_size + self.chain_counts_size,
        )

    def arena(self, slot: int) -> ArenaIndex:
        """What the worker in a slot sends from."""
        return ArenaIndex(slot)

    def holder(self, slot: int) -> HolderIndex:
        """What it is as a receiver."""
        return HolderIndex(slot)

    def flags(self, memory: SharedMemory) -> memoryview:
        """The run's flags."""
        return memory.control[:FLAGS_SIZE]

    def counts(self, memory: SharedMemory, slot: int) -> memoryview:
        """Its counts of what was sent."""
        begin = FLAGS_SIZE + COUNTS_SIZE * slot
        return memory.control[begin : begin + COUNTS_SIZE]

    def chain_counts(self, memory: SharedMemory) -> memoryview:
        """The counts of chains."""
        begin = FLAGS_SIZE + COUNTS_SIZE * len(self.arena_sizes)
        return memory.control[begin : begin + self.chain_counts_size]
