"""Memory that processes share: what is allocated, who frees it, and what a kill leaves."""

import gc
import os
from contextlib import closing

import hypothesis.strategies as st
import numpy as np
import pytest
from blocks import FIRST, MAIN, PAGE, SECOND, sent, states
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctapipe.pipeline.transport._shared import SharedMemory

pytestmark = pytest.mark.usefixtures("nothing_left")


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
    with pytest.raises(OSError, match="File too large"):
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
