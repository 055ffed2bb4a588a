from collections.abc import Callable
from typing import Any

from ._shared import SharedMemory
from .indices import ArenaIndex, HolderIndex

class Packer:
    def __init__(
        self,
        memory: SharedMemory,
        arena: ArenaIndex,
        arena_size: int,
        holder: HolderIndex,
        keeps: bool,
        ended: Callable[[], bool] | None = None,
    ) -> None: ...
    def pack(self, pickled: bytes, buffers: list[Any]) -> bytes: ...
    def unpack(self, packed: bytes) -> Any: ...
    def drop(self, block: int) -> None: ...
