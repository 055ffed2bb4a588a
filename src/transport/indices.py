"""The numbers of a worker: one from whoever has to do with it."""

from typing import NewType

__all__ = ["ArenaIndex", "HolderIndex", "RouterIndex"]

# The router's: in the order in which workers were connected.
RouterIndex = NewType("RouterIndex", int)

# Of the part of the shared memory that a worker sends from.
ArenaIndex = NewType("ArenaIndex", int)

# By which blocks of the shared memory say who has received them.
HolderIndex = NewType("HolderIndex", int)
