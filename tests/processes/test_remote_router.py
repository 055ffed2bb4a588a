"""The way of a worker process to the router."""

import socket
import threading

import pytest

from ctapipe.pipeline.processes.remote_router import RemoteRouter
from ctapipe.pipeline.transport._channel import COUNTS_SIZE, FLAGS_SIZE


def remote_router(path):
    return RemoteRouter(
        f"ipc://{path}", memoryview(bytearray(COUNTS_SIZE)), memoryview(bytearray(FLAGS_SIZE))
    )


def test_a_socket_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="router's socket"):
        remote_router(tmp_path / "removed").connect(0)


def test_a_socket_that_is_removed_while_a_worker_connects(tmp_path):
    path = tmp_path / "socket"

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def remove():
            connection, _ = listening.accept()
            path.unlink()
            connection.close()

        removing = threading.Thread(target=remove)
        removing.start()
        with pytest.raises(FileNotFoundError, match="router's socket"):
            remote_router(path).connect(0)
        removing.join()
