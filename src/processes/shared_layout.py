"""What lies where in the memory that the processes of a run share."""

import dataclasses
from collections.abc import Sequence

from ..configuration.graph import Role
from ..errors import ConfigurationError
from ..transport._channel import COUNTS_SIZE, FLAGS_SIZE
from ..transport._shared import SharedMemory
from ..transport.indices import ArenaIndex, HolderIndex

__all__ = ["SharedLayout", "arena_sizes"]

PAGE = 4096


def arena_sizes(roles: Sequence[Role], shared_memory_mb: int) -> tuple[int, ...]:
    """How the shared memory is divided: half for the producer, where all begins.

    Parameters
    ----------
    roles : sequence of {"producer", "stage", "consumer"}
        What the worker in each slot is.
    shared_memory_mb : int
        How much there is, MB.

    Returns
    -------
    tuple of int
        The size of the arena of each slot, bytes.
    """
    size = shared_memory_mb << 20
    sizes = {"producer": size // 2, "stage": size // 2 // roles.count("stage"), "consumer": 0}
    return tuple(max(sizes[role] // PAGE, 1) * PAGE for role in roles)


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
        """Memory that is laid out like this.

        Raises
        ------
        ConfigurationError
            If the system refuses so much.
        """
        counts_size = COUNTS_SIZE * len(self.arena_sizes)
        try:
            return SharedMemory(
                list(self.arena_sizes),
                control_size=FLAGS_SIZE + counts_size + self.chain_counts_size,
            )
        except OSError as error:
            size_mb = round(sum(self.arena_sizes) / 2**20)
            raise ConfigurationError(
                [
                    f"Pipeline.shared_memory_mb: there cannot be {size_mb} MB of shared memory "
                    f"({error.strerror}): set it lower, or raise the limits (ulimit)"
                ]
            ) from None

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
