"""Memory that processes share: what is allocated, who frees it, and what a kill leaves."""

import gc
import mmap
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctapipe.pipeline.transport._shared import SharedMemory

PAGE = mmap.PAGESIZE
MAIN, FIRST, SECOND = 0, 1, 2

posix_shm = Path("/dev/shm")


@pytest.fixture(autouse=True)
def nothing_left():
    """Nothing is ever in a directory that others see, or that a killed process would leave."""
    before = set(posix_shm.glob("*"))
    yield
    assert set(posix_shm.glob("*")) <= before


@pytest.fixture
def memory():
    memory = SharedMemory([64 * PAGE, 16 * PAGE])
    yield memory
    memory.close()


def states(memory, arena=0):
    return [state for _, _, state in memory.blocks(arena)]


def sent(memory, data, arena=0):
    """A block with a message that the router has accepted."""
    block = memory.arena(arena).put([data])
    memory.mark_sent(block)
    return block


@pytest.mark.parametrize("has_memfd", [True, False])
def test_two_that_have_the_memory_see_the_same(monkeypatch, has_memfd):
    """Also on macOS, and where Python was built for an old Linux, as by conda."""
    if not has_memfd:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with closing(SharedMemory([PAGE])) as memory:
        assert not os.get_inheritable(memory.fd)
        with closing(SharedMemory.attach(memory.fd, private=True)) as other:
            block = memory.arena(0).put([b"seen"])
            assert other.blocks(0) == memory.blocks(0)
            assert other.blocks(0)[0][0] == block


# ------------------------------------------------------------ against a simple model


class Allocation(RuleBasedStateMachine):
    """One arena against a list of what is in it."""

    N_PAGES = 12

    def __init__(self):
        super().__init__()
        self.memory = SharedMemory([PAGE, self.N_PAGES * PAGE, PAGE])
        self.attached = SharedMemory.attach(self.memory.fd, private=True)
        self.arena = self.attached.arena(1)
        self.first = self.memory.blocks(1)[0][0]
        self.buffers = {}
        self.state = {}
        self.arrays = {}
        self.n_put = 0

    def teardown(self):
        for block, state in self.state.items():
            if state != "HELD 1":
                self.memory.free(block)
        self.arrays.clear()
        self.state.clear()
        whole = self.arena.put([bytes(self.N_PAGES * PAGE)])
        assert self.memory.blocks(1) == [(whole, self.N_PAGES * PAGE, "WRITTEN")]
        assert states(self.memory, 0) == states(self.memory, 2) == ["FREE"]
        self.attached.close()
        self.memory.close()

    def pages_of(self, block):
        size = sum(-(-len(data) // 64) * 64 for data in self.buffers[block])
        return max(1, -(-size // PAGE))

    def first_room(self, wanted):
        at = self.first
        for block in sorted(self.state):
            if block - at >= wanted:
                return at
            at = block + self.pages_of(block)
        return at if self.first + self.N_PAGES - at >= wanted else None

    def some(self, data, *accepted):
        blocks = sorted(block for block, state in self.state.items() if state in accepted)
        return data.draw(st.sampled_from(blocks))

    def has(*accepted):
        return precondition(lambda self: any(state in accepted for state in self.state.values()))

    @rule(sizes=st.lists(st.integers(0, 3 * PAGE), min_size=1, max_size=4))
    def put(self, sizes):
        self.n_put += 1
        buffers = [bytes([(self.n_put + i) % 256]) * size for i, size in enumerate(sizes)]
        self.buffers[None] = buffers
        expected = self.first_room(self.pages_of(None))
        block = self.arena.put(buffers)
        assert block == expected
        if block is not None:
            self.buffers[block] = buffers
            self.state[block] = "WRITTEN"

    @has("WRITTEN")
    @rule(data=st.data())
    def accept(self, data):
        block = self.some(data, "WRITTEN")
        self.memory.mark_sent(block)
        self.state[block] = "SENT"

    @has("SENT")
    @rule(data=st.data(), change=st.booleans())
    def receive(self, data, change):
        block = self.some(data, "SENT")
        sizes = [len(buffer) for buffer in self.buffers[block]]
        received = self.attached.get(block, sizes, FIRST)
        assert received == self.buffers[block]
        if change:
            for buffer in received:
                buffer[:] = bytes(len(buffer))
        self.arrays[block] = received
        self.state[block] = "SENT HELD 1"

    @has("SENT HELD 1", "HELD 1")
    @rule(data=st.data())
    def let_go(self, data):
        block = self.some(data, "SENT HELD 1", "HELD 1")
        received = self.arrays.pop(block)
        while received:
            assert self.state[block] in states(self.memory, 1)
            received.pop(data.draw(st.integers(0, len(received) - 1)))
        if self.state[block] == "HELD 1":
            del self.state[block]
        else:
            self.state[block] = "SENT"

    @has("WRITTEN", "SENT", "SENT HELD 1")
    @rule(data=st.data())
    def acknowledge(self, data):
        block = self.some(data, "WRITTEN", "SENT", "SENT HELD 1")
        self.memory.free(block)
        if self.state[block] == "SENT HELD 1":
            self.state[block] = "HELD 1"
        else:
            del self.state[block]

    @rule()
    def lose_the_sender(self):
        self.memory.reclaim_arena(1)
        self.state = {block: state for block, state in self.state.items() if state != "WRITTEN"}

    @rule(block=st.integers(0, 40))
    def give_a_wrong_number(self, block):
        # Neither a free block nor a page within one is a message's.
        if block not in self.state:
            for call in (self.memory.free, self.memory.mark_sent):
                with pytest.raises(ValueError, match="of no message"):
                    call(block)
            with pytest.raises(ValueError, match="of no message"):
                self.attached.get(block, [1], FIRST)

    @invariant()
    def is_as_the_model(self):
        at = self.first
        taken = {}
        for block, size, state in self.memory.blocks(1):
            assert block == at
            at += size // PAGE
            if state != "FREE":
                taken[block] = (size, state)
        assert at == self.first + self.N_PAGES
        assert taken == {
            block: (self.pages_of(block) * PAGE, state) for block, state in self.state.items()
        }

    @invariant()
    def contents_are_intact(self):
        for block, state in self.state.items():
            if state == "SENT":
                sizes = [len(buffer) for buffer in self.buffers[block]]
                assert self.memory.get(block, sizes, MAIN) == self.buffers[block]


TestAllocation = Allocation.TestCase
TestAllocation.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)


# ------------------------------------------------------------------------ one process


def test_what_is_no_shared_memory_is_not_attached(tmp_path):
    with (tmp_path / "file").open("w+b") as file:
        for content in (b"", b"short", bytes(2 * PAGE)):
            file.write(content)
            file.flush()
            with pytest.raises(ValueError, match="not shared memory"):
                SharedMemory.attach(file.fileno(), private=True)


def test_numbers_that_do_not_exist(memory):
    for call in (memory.arena, memory.reclaim_arena, memory.blocks):
        with pytest.raises(IndexError):
            call(2)
    with pytest.raises(IndexError):
        memory.reclaim_holder(0xFFFF)
    block = sent(memory, b"message")
    for number in (0, 1 << 20, (1 << 64) - 1):
        for call in (memory.mark_sent, memory.free):
            with pytest.raises(ValueError, match="of no message"):
                call(number)
        with pytest.raises(ValueError, match="of no message"):
            memory.get(number, [1], FIRST)
    with pytest.raises(ValueError, match="of no message"):
        memory.get(block, [7], 0xFFFF)
    for sizes in ([PAGE + 1], [1] * 65, [PAGE, 1 << 63, 1 << 63]):
        with pytest.raises(ValueError, match="smaller"):
            memory.get(block, sizes, FIRST)
    assert states(memory) == ["SENT", "FREE"]
    assert memory.get(block, [7], FIRST) == [b"message"]


def test_sizes_that_cannot_be():
    with pytest.raises(ValueError, match="negative"):
        SharedMemory([PAGE, -PAGE])
    with pytest.raises(ValueError, match="too much"):
        SharedMemory([PAGE << 32])


def test_arena_without_room():
    memory = SharedMemory([0])
    assert memory.arena(0).put([b"a"]) is None
    assert memory.blocks(0) == []
    memory.close()


def test_what_is_no_buffer_leaves_no_block(memory):
    kept = bytearray(PAGE)
    with pytest.raises(TypeError):
        memory.arena(0).put([kept, "text"])
    kept.clear()
    assert states(memory) == ["FREE"]


def test_control_memory_is_zero_and_of_all():
    memory = SharedMemory([PAGE], control_size=3 * PAGE)
    attached = SharedMemory.attach(memory.fd, private=True)
    for one, other in ((memory, attached), (attached, memory)):
        read, write = one.control, other.control
        assert read == bytes(3 * PAGE)
        write[:] = b"x" * (3 * PAGE)
        assert read == b"x" * (3 * PAGE)
        write[:] = bytes(3 * PAGE)
    assert memory.arena(0).put([b"y" * PAGE]) is not None
    assert read == bytes(3 * PAGE)
    attached.close()
    memory.close()


def test_arrays_are_aligned(memory):
    arrays = [np.arange(n, dtype=np.uint8) for n in (1, 0, 63, 64, 65, 7)]
    block = memory.arena(0).put(arrays)
    memory.mark_sent(block)
    received = memory.get(block, [array.nbytes for array in arrays], MAIN)
    for sent_one, buffer in zip(arrays, received, strict=True):
        array = np.frombuffer(buffer, dtype=np.uint8)
        np.testing.assert_array_equal(array, sent_one)
        assert array.ctypes.data % 64 == 0 or not len(array)


def test_memory_outlives_its_closing_while_arrays_lie_on_it():
    memory = SharedMemory([PAGE])
    attached = SharedMemory.attach(memory.fd, private=True)
    block = sent(memory, b"message")
    (received,) = attached.get(block, [7], FIRST)
    array = np.frombuffer(received, dtype="S7")
    del received
    fd = memory.fd
    attached.close()
    memory.free(block)
    assert states(memory) == ["HELD 1"]
    assert array == [b"message"]
    del array
    assert states(memory) == ["FREE"]
    memory.close()
    memory.close()
    for call in (lambda: memory.control, lambda: memory.arena(0), lambda: memory.blocks(0)):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_the_main_process_changes_its_arrays_in_place(memory):
    block = sent(memory, b"message")
    (received,) = memory.get(block, [7], MAIN)
    received[:] = b"changed"
    del received
    assert memory.get(block, [7], MAIN) == [b"changed"]


@pytest.mark.parametrize("change", [False, True])
def test_a_message_in_used_room_shows_nothing_of_the_last_one(memory, change):
    attached = SharedMemory.attach(memory.fd, private=True)
    size = 8 * PAGE
    for i in range(20):
        block = sent(memory, bytes([i]) * size)
        (received,) = attached.get(block, [size], FIRST)
        assert received == bytes([i]) * size
        if change:
            received[i * 100 % size] = 255
        memory.free(block)
        del received
        assert states(memory)[0] == "FREE"


def test_what_a_receiver_has_changed_is_not_in_the_message(memory):
    first, second = (SharedMemory.attach(memory.fd, private=True) for _ in range(2))
    block = sent(memory, b"message")
    (received,) = first.get(block, [7], FIRST)
    received[:] = b"changed"
    assert received == b"changed"
    with pytest.raises(ValueError, match="of no message to be received"):
        second.get(block, [7], SECOND)
    memory.reclaim_holder(FIRST)
    assert second.get(block, [7], SECOND) == [b"message"]


def test_collection_in_a_cycle_frees(memory):
    block = sent(memory, b"message")
    cycle = memory.get(block, [7], MAIN)
    cycle.append(cycle)
    memory.free(block)
    del cycle
    gc.collect()
    assert states(memory)[0] == "FREE"


def test_reclaiming_takes_only_what_is_the_dead_ones(memory):
    attached = SharedMemory.attach(memory.fd, private=True)
    other = memory.arena(1)
    not_sent = memory.arena(0).put([b"a"])
    waiting = sent(memory, b"b")
    in_work, kept, of_another = (sent(memory, bytes([i]), arena=1) for i in range(3))
    others_own = other.put([b"c"])
    arrays = [attached.get(in_work, [1], FIRST), attached.get(kept, [1], FIRST)]
    arrays.append(attached.get(of_another, [1], SECOND))
    memory.free(kept)
    memory.reclaim_arena(0)
    memory.reclaim_holder(FIRST)
    assert {block: state for block, _, state in memory.blocks(0)[:2]} == {
        not_sent: "FREE",
        waiting: "SENT",
    }
    assert {block: state for block, _, state in memory.blocks(1)[:4]} == {
        in_work: "SENT",
        kept: "FREE",
        of_another: "SENT HELD 2",
        others_own: "WRITTEN",
    }


# ------------------------------------------------------------------------ processes

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
