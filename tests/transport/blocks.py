"""Blocks of shared memory, as tests look at them."""

import mmap

PAGE = mmap.PAGESIZE
MAIN, FIRST, SECOND = 0, 1, 2


def states(memory, arena=0):
    return [state for _, _, state in memory.blocks(arena)]


def sent(memory, data, arena=0):
    """A block with a message that the router has accepted."""
    block = memory.arena(arena).put([data])
    memory.mark_sent(block)
    return block
