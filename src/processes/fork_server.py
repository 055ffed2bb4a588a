"""The process that worker processes are forked from.

It is started afresh, imports what the steps need, and has one thread, no lock and no
socket of ZeroMQ when it forks: none of what makes it unsafe to fork a program with
threads. A fork takes milliseconds, so that a worker that died is soon replaced.

It ends when the main process closes its end of the connection, or dies.

The fork server of `multiprocessing` would not do. A program has one, for good, so a second run
could not preload other modules; a module that raises anything but `ImportError` ends it; and its
processes run the user's script again, and outlive a main process that is killed.
"""

import contextlib
import gc
import importlib
import os
import pickle
import signal
import socket
import sys
import traceback
from multiprocessing.connection import Connection, wait
from typing import Any

from .descriptor_socket import receive_descriptor
from .left_behind import end_children
from .not_inherited import close_in_forks
from .signals import INTERRUPTS, blocked_interrupts, ignore_interrupts

__all__ = ["serve"]

# Workers give way to the main process, which feeds them and takes their results: it is behind
# what all of them wait when there are more processes than cores.
NICENESS = 5


def serve(connection: Connection, descriptors: socket.socket) -> None:
    """Fork a worker process whenever the main process asks for one.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        To the main process. It first sends the path of modules, the command line and the
        modules to import; when it knows it, what worker processes are to be made of,
        pickled; then, for each worker, its slot and endpoint. It is told of every process
        that has started or ended, and why this one cannot go on.
    descriptors : socket.socket
        From the main process. The first file descriptor is that of the shared memory; then
        one comes before each worker's slot, of that worker's own connection.
    """
    ignore_interrupts()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    close_in_forks(connection, descriptors)
    # What modules make stays, in the workers too: a third of the time to import ctapipe would
    # go into looking for what does not.
    gc.disable()
    slots: dict[int, int] = {}
    try:
        sys.path[:], sys.argv[:], modules = connection.recv()
        for module in modules:
            # What is wrong with it, the main process says, which imports it too.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(module)
        setup_bytes = connection.recv_bytes()
        memory_fd = receive_descriptor(descriptors)
        setup = pickle.loads(setup_bytes)
        _fork_workers(connection, descriptors, setup, memory_fd, slots)
    except EOFError:
        pass
    except BaseException as error:
        # The main process may have died.
        with contextlib.suppress(OSError):
            connection.send(("failed", "".join(traceback.format_exception_only(error)).strip()))
    signal.set_wakeup_fd(-1)
    for pid in slots:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork_workers(
    connection: Connection,
    descriptors: socket.socket,
    setup: Any,
    memory_fd: int,
    slots: dict[int, int],
) -> None:
    """Do so until the main process has gone; ``slots`` are of those that live, by pid."""
    wake_read, wake_write = socket.socketpair()
    wake_write.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
    close_in_forks(wake_read, wake_write)
    connection.send(("ready",))
    while True:
        ready = wait([connection, wake_read])
        if wake_read in ready:
            wake_read.recv(4096)
            _reap(connection, slots)
        if connection in ready:
            slot, endpoint = connection.recv()
            worker_fd = receive_descriptor(descriptors)
            with blocked_interrupts():
                try:
                    pid = os.fork()
                except OSError as error:
                    connection.send(("refused", error.strerror))
                    continue
                if pid == 0:
                    _become_worker(setup, memory_fd, slot, endpoint, worker_fd)
            os.close(worker_fd)
            slots[pid] = slot
            connection.send(("started", slot, pid))


def _reap(connection: Connection, slots: dict[int, int]) -> None:
    # One by one: a module may have started processes of its own.
    for worker in list(slots):
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid:
            connection.send(("ended", slots.pop(pid), os.waitstatus_to_exitcode(status)))


def _become_worker(
    setup: Any,
    memory_fd: int,
    slot: int,
    endpoint: str,
    worker_fd: int,
) -> None:
    status = 1
    try:
        ignore_interrupts()
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        gc.freeze()
        gc.enable()
        os.nice(NICENESS)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with Connection(worker_fd) as connection:
            setup.run(memory_fd, slot, endpoint, connection)
        end_children()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
    # Nothing is left to do, and to take apart all that was imported takes half a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
