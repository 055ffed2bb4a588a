"""Shared memory in several processes, some of which are killed."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from blocks import FIRST, MAIN, PAGE, SECOND, sent, states

from ctapipe.pipeline.transport._shared import SharedMemory

pytestmark = pytest.mark.usefixtures("nothing_left")

CHILD = """
import pickle, sys
import numpy as np
from ctapipe.pipeline.transport._shared import SharedMemory

memory = SharedMemory.attach(int(sys.argv[1]), private=True)
arena = memory.arena(int(sys.argv[2]))
kept = {}


def get(pickled, block, sizes, holder):
    kept[block] = pickle.loads(pickled, buffers=memory.get(block, sizes, holder))


def put(array):
    buffers = []
    pickled = pickle.dumps(array, protocol=5, buffer_callback=buffers.append)
    buffers = [buffer.raw() for buffer in buffers]
    return pickled, arena.put(buffers), [buffer.nbytes for buffer in buffers]


def add(block, number):
    kept[block] += number


def read(block):
    return kept[block].copy()


def drop(block):
    del kept[block]


while True:
    function, arguments = pickle.load(sys.stdin.buffer)
    pickle.dump(globals()[function](*arguments), sys.stdout.buffer, protocol=4)
    sys.stdout.buffer.flush()
"""


class Child:
    """A process that has inherited the memory; its functions are those of ``CHILD``."""

    def __init__(self, memory, arena):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(memory.fd), str(arena)],
            pass_fds=[memory.fd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __getattr__(self, function):
        def call(*arguments):
            pickle.dump((function, arguments), self.process.stdin, protocol=4)
            self.process.stdin.flush()
            return pickle.load(self.process.stdout)

        return call

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def children(memory):
    children = [Child(memory, arena) for arena in (0, 1)]
    yield children
    for child in children:
        child.kill()


def test_arrays_between_processes(memory, children):
    first, second = children
    size = 5 * PAGE // 8
    blocks = []
    for i in range(3):
        pickled, block, sizes = first.put(np.full(size, float(i)))
        memory.mark_sent(block)
        second.get(pickled, block, sizes, SECOND)
        blocks.append(block)

    # Writable, and not seen by anybody else.
    second.add(blocks[1], 10)
    assert (second.read(blocks[1]) == 11).all()
    (here,) = memory.get(sent(memory, b"x"), [1], MAIN)
    del here
    assert [state for state in states(memory) if state == "SENT HELD 2"] == ["SENT HELD 2"] * 3

    # Kept after its message is acknowledged, whatever else is sent.
    for block in blocks:
        memory.free(block)
    second.drop(blocks[0])
    for i in range(20):
        pickled, block, sizes = first.put(np.full(size, 100.0 + i))
        assert block == blocks[0]
        memory.mark_sent(block)
        second.get(pickled, block, sizes, SECOND)
        assert (second.read(block) == 100 + i).all()
        second.add(block, 1)
        memory.free(block)
        second.drop(block)
    assert (second.read(blocks[1]) == 11).all()
    assert (second.read(blocks[2]) == 2).all()

    # Its death frees what it has kept, and nothing else.
    pickled, block, sizes = first.put(np.full(size, 7.0))
    memory.mark_sent(block)
    second.get(pickled, block, sizes, SECOND)
    second.add(block, 1)
    second.kill()
    memory.reclaim_holder(SECOND)
    assert "HELD" not in " ".join(states(memory))
    first.get(pickled, block, sizes, FIRST)
    assert (first.read(block) == 7).all()


def forked(run, *arguments):
    """A process that runs a function for ever."""
    process = os.fork()
    if process == 0:
        try:
            run(*arguments)
        finally:
            os._exit(1)
    return process


def killed_after(process, seconds):
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_sender_is_killed_while_it_allocates():
    n_pages = 32
    memory = SharedMemory([n_pages * PAGE])
    whole = memory.blocks(0)
    generator = random.Random(1)

    def allocate(seed):
        random_one = random.Random(seed)
        own = SharedMemory.attach(memory.fd, private=True)
        arena = own.arena(0)
        blocks = []
        while True:
            block = arena.put([bytes(random_one.randrange(6 * PAGE))])
            if block is None or random_one.random() < 0.3:
                random_one.shuffle(blocks)
                for _ in range(random_one.randrange(len(blocks) + 1)):
                    own.free(blocks.pop())
            if block is not None:
                blocks.append(block)
                if random_one.random() < 0.5:
                    own.mark_sent(block)

    n_left = 0
    for seed in range(150):
        process = forked(allocate, seed)
        deadline = time.monotonic() + 30
        while memory.blocks(0) == whole and time.monotonic() < deadline:
            time.sleep(0)
        killed_after(process, generator.uniform(0, 0.005))
        memory.reclaim_arena(0)
        blocks = memory.blocks(0)
        n_left += len(blocks) > 1
        assert sum(size for _, size, _ in blocks) == n_pages * PAGE
        at = whole[0][0]
        for block, size, _ in blocks:
            assert block == at
            at += size // PAGE
        left = [block for block, _, state in blocks if state == "SENT"]
        assert {state for _, _, state in blocks} <= {"SENT", "FREE"}
        # What the router has accepted stays until it is done, beside a new sender.
        if left:
            memory.free(left.pop(0))
        for block in left:
            memory.free(block)
        block = memory.arena(0).put([bytes(n_pages * PAGE)])
        assert block == whole[0][0]
        memory.free(block)
        assert memory.blocks(0) == whole
    assert n_left
    memory.close()


def test_receiver_is_killed_while_it_receives(memory):
    generator = random.Random(2)
    size = 3 * PAGE

    def receive():
        own = SharedMemory.attach(memory.fd, private=True)
        kept = []
        while True:
            for block in blocks:
                with suppress(ValueError):
                    kept += own.get(block, [size], FIRST)
                    kept[-1][:] = b"x" * size
            kept.clear()

    for _ in range(50):
        blocks = [sent(memory, bytes([i]) * size) for i in range(4)]
        process = forked(receive)
        acknowledged = generator.choice(blocks)
        time.sleep(generator.uniform(0.001, 0.004))
        memory.free(acknowledged)
        killed_after(process, generator.uniform(0, 0.002))
        memory.reclaim_holder(FIRST)
        for i, block in enumerate(blocks):
            if block != acknowledged:
                assert memory.get(block, [size], MAIN) == [bytes([i]) * size]
                memory.free(block)
        assert set(states(memory)) == {"FREE"}


def test_reclaiming_while_others_allocate(memory):
    """What a dead receiver has held is found although its arena changes meanwhile."""

    def allocate():
        random_one = random.Random(3)
        own = SharedMemory.attach(memory.fd, private=True)
        arena = own.arena(0)
        blocks = []
        while True:
            block = arena.put([b"", bytes(random_one.randrange(4 * PAGE))])
            if block is not None:
                blocks.append(block)
            if block is None or random_one.random() < 0.5:
                own.free(blocks.pop(random_one.randrange(len(blocks))))

    attached = SharedMemory.attach(memory.fd, private=True)
    spaced = [sent(memory, b"x" * PAGE * (1 + i % 3)) for i in range(16)]
    for block in spaced[::2]:
        memory.free(block)
    held = spaced[1::2]
    process = forked(allocate)
    try:
        for _ in range(3000):
            arrays = [attached.get(block, [PAGE], FIRST) for block in held]
            memory.reclaim_holder(FIRST)
            assert [state for _, _, state in memory.blocks(0) if "HELD" in state] == []
            del arrays
    finally:
        killed_after(process, 0)
    memory.reclaim_arena(0)
    assert sorted(block for block, _, state in memory.blocks(0) if state == "SENT") == held


def test_a_forked_process_frees_nothing(memory):
    (received,) = memory.get(sent(memory, b"message"), [7], MAIN)
    process = os.fork()
    if process == 0:
        del received
        try:
            memory.get(sent(memory, b"message"), [7], MAIN)
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert states(memory)[0] == "SENT HELD 0"
    assert received == b"message"
