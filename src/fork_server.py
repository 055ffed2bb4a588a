"""The process that worker processes are forked from.

It is started afresh, imports what the steps need, and has one thread, no lock and no
socket of ZeroMQ when it forks: none of what makes it unsafe to fork a program with
threads. A fork takes milliseconds, so that a worker that died is soon replaced.

It ends when the main process closes its end of the connection, or dies.
"""

import contextlib
import gc
import importlib
import os
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from typing import Any

from .fork_server_client import INTERRUPTS

__all__ = ["serve"]

# Workers give way to the main process, which feeds them and takes their results: it is behind
# what all of them wait when there are more processes than cores.
NICENESS = 5


def serve(connection: Connection) -> None:
    """Fork a worker process whenever the main process asks for one.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        To the main process. It first sends the path of modules, the command line and the
        modules to import; when it knows it, what worker processes are to be made of,
        pickled, and a handle of the shared memory; then, for each worker, its index and
        endpoint, and a handle of its own connection. It is told of every process that has
        started or ended.
    """
    # The main process decides what an interrupt means, and ends the workers.
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    # What modules make stays, in the workers too: a third of the time to import ctapipe would
    # go into looking for what does not.
    gc.disable()
    try:
        sys.path[:], sys.argv[:], modules = connection.recv()
        for module in modules:
            # What is wrong with it, the main process says, which imports it too.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(module)
        setup_bytes = connection.recv_bytes()
        memory_fd = recv_handle(connection)
        setup = pickle.loads(setup_bytes)
    except EOFError:
        return
    except BaseException as error:
        with contextlib.suppress(OSError):
            connection.send(("failed", "".join(traceback.format_exception_only(error)).strip()))
        return
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    indices: dict[int, int] = {}
    with contextlib.suppress(EOFError, OSError):
        connection.send(("ready",))
        while True:
            ready = wait([connection, wake_read])
            if wake_read in ready:
                os.read(wake_read, 4096)
                _reap(connection, indices)
            if connection in ready:
                index, endpoint = connection.recv()
                handle = recv_handle(connection)
                pid = os.fork()
                if pid == 0:
                    _become_worker(setup, memory_fd, index, endpoint, handle, connection)
                os.close(handle)
                indices[pid] = index
                connection.send(("started", index, pid))
    for pid in indices:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(connection: Connection, indices: dict[int, int]) -> None:
    while indices:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        connection.send(("ended", indices.pop(pid), os.waitstatus_to_exitcode(status)))


def _become_worker(
    setup: Any, memory_fd: int, index: int, endpoint: str, handle: int, of_server: Connection
) -> None:
    status = 1
    try:
        gc.freeze()
        gc.enable()
        os.nice(NICENESS)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        of_server.close()
        with Connection(handle) as connection:
            setup.run(memory_fd, index, endpoint, connection)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
    # Nothing is left to do, and to take apart all that was imported takes half a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
