"""What can be at ``gui_address``, in a process of its own."""

import contextlib
import os
import random
import socket
import time

import zmq

__all__ = ["open_window"]

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\0" + bytes(31)


def open_window(name, seed):
    """Start it; its pid and its port."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            globals()[name](random.Random(seed), lambda port: os.write(write, b"%d\n" % port))
            time.sleep(1000)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        port = int(file.readline())
    return pid, port


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def is_absent(rng, tell):
    tell(free_port())


def subscriber(port=None):
    receiver = zmq.Context.instance().socket(zmq.SUB)
    receiver.subscribe("")
    if port is None:
        return receiver, receiver.bind_to_random_port("tcp://127.0.0.1")
    receiver.bind(f"tcp://127.0.0.1:{port}")
    return receiver, port


def reads(rng, tell):
    receiver, port = subscriber()
    tell(port)
    while True:
        receiver.recv_multipart()


def vanishes(rng, tell):
    receiver, port = subscriber()
    tell(port)
    receiver.recv_multipart()
    receiver.close(linger=0)


def does_not_read(rng, tell):
    _, port = subscriber()
    tell(port)


def comes_late(rng, tell):
    port = free_port()
    tell(port)
    time.sleep(0.2 * rng.random())
    # Somebody else may have it by now.
    with contextlib.suppress(zmq.ZMQError):
        receiver, _ = subscriber(port)
        while True:
            receiver.recv_multipart()


def connections(tell):
    with socket.create_server(("127.0.0.1", 0)) as server:
        tell(server.getsockname()[1])
        while True:
            yield server.accept()[0]


def closes_at_once(rng, tell):
    for connection in connections(tell):
        connection.close()


def is_silent(rng, tell):
    kept = []
    for connection in connections(tell):
        kept.append(connection)


def floods(rng, tell):
    send_all(tell, b"", rng.randbytes(1 << 20))


def sends_garbage_after_greeting(rng, tell):
    send_all(tell, GREETING, rng.randbytes(1 << 20))


def send_all(tell, first, rest):
    for connection in connections(tell):
        with contextlib.suppress(OSError), connection:
            connection.sendall(first)
            for _ in range(50):
                connection.sendall(rest)
