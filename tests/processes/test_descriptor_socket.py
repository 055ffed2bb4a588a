"""File descriptors that are handed to another process."""

import os
import resource
import socket

import pytest

from ctapipe.pipeline.processes.descriptor_socket import receive_descriptor, send_descriptor


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    # A test that waits for ever fails.
    theirs.settimeout(60)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(autouse=True)
def no_descriptor_is_left():
    before = os.listdir("/dev/fd")
    yield
    assert os.listdir("/dev/fd") == before


def test_many_on_their_way_arrive_one_by_one_in_order(ends):
    ours, theirs = ends
    files = []
    for i in range(50):
        file = os.memfd_create(str(i)) if hasattr(os, "memfd_create") else os.dup(0)
        files.append(os.fstat(file).st_ino)
        send_descriptor(ours, file)
        os.close(file)
    for inode in files:
        received = receive_descriptor(theirs)
        assert os.fstat(received).st_ino == inode
        assert not os.get_inheritable(received)
        os.close(received)


def test_the_end_of_the_other_process_comes_after_what_it_has_sent(ends):
    ours, theirs = ends
    send_descriptor(ours, 0)
    ours.close()
    os.close(receive_descriptor(theirs))
    with pytest.raises(EOFError):
        receive_descriptor(theirs)


def test_the_receiver_has_ended(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(ConnectionError):
        send_descriptor(ours, 0)


def test_a_descriptor_that_there_is_no_room_for(ends):
    ours, theirs = ends
    for _ in range(2):
        send_descriptor(ours, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match="may not open any more files"):
            receive_descriptor(theirs)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.close(receive_descriptor(theirs))
