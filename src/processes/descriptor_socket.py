"""Hand file descriptors to another process, in order, over a socket that carries nothing else.

Each comes with one byte, so that neither half of one nor two at once can be received.
"""

import os
import socket

__all__ = ["receive_descriptor", "send_descriptor"]


def send_descriptor(to: socket.socket, descriptor: int) -> None:
    """Send a file descriptor; it stays open here.

    Parameters
    ----------
    to : socket.socket
        A Unix stream socket.
    descriptor : int
        What to send. On macOS it has to stay open until it has been received.

    Raises
    ------
    OSError
        If the other process has ended.
    """
    socket.send_fds(to, [b"\0"], [descriptor])


def receive_descriptor(of: socket.socket) -> int:
    """Wait for the next file descriptor, which is not inherited by programs that are started.

    Parameters
    ----------
    of : socket.socket
        The other end of the one that it is sent to.

    Raises
    ------
    EOFError
        If the other process has closed its end, or has ended.
    OSError
        If this process may not open any more files.
    """
    byte, descriptors, _, _ = socket.recv_fds(of, 1, 1)
    if not byte:
        raise EOFError
    if not descriptors:
        # The system drops a descriptor that there is no room for.
        raise OSError("a file descriptor was lost: this process may not open any more files")
    (descriptor,) = descriptors
    os.set_inheritable(descriptor, False)
    return descriptor
