"""What a step can change for all that is in its process."""

import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
import warnings

import zmq


def closes_stdin(step, message):
    os.close(0)


def closes_stdout_and_stderr(step, message):
    os.close(1)
    os.close(2)


def ignores_signals(step, message):
    """Raises where it is not the main thread."""
    for number in (signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def blocks_signals(step, message):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))


def changes_directory(step, message):
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")


def removes_its_directory(step, message):
    os.makedirs("removed", exist_ok=True)
    os.chdir("removed")
    os.rmdir("../removed")


def clears_environment(step, message):
    os.environ.clear()


def changes_umask(step, message):
    os.umask(0o077)


def disables_logging(step, message):
    logging.disable(logging.CRITICAL)


def shuts_logging_down(step, message):
    logging.shutdown()


def replaces_stderr(step, message):
    sys.stderr = None


def turns_warnings_into_errors(step, message):
    warnings.simplefilter("error")


def destroys_zmq_instance(step, message):
    """The one that all users of pyzmq share."""
    zmq.Context.instance().destroy(linger=0)


def unfreezes_and_collects(step, message):
    gc.unfreeze()
    gc.collect()


def lowers_recursion_limit(step, message):
    sys.setrecursionlimit(60)


def removes_temporary_files(step, message):
    """Also the directory of the sockets."""
    for name in os.listdir(tempfile.gettempdir()):
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


def removes_temporary_files_and_dies(step, message):
    removes_temporary_files(step, message)
    os._exit(3)
