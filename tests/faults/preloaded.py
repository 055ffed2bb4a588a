"""A fork server that has imported everything already: most trials need no new Python."""

import contextlib
import os
import runpy
import subprocess
import sys
import time

from records import STACKS

from ctapipe.pipeline.processes import fork_server_client

__all__ = ["use_preloaded_fork_server"]


class ForkedPython:
    """As ``subprocess.Popen([sys.executable, "-m", ...])``, by a fork of this process.

    To be made while this process has one thread, as it has before a run begins.
    """

    def __init__(self, command, *, stdin=None, env=None, pass_fds=(), **_):
        assert command[:2] == [sys.executable, "-m"]
        self.returncode = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self._become(command[2:], stdin, env, set(pass_fds))
                status = 0
            finally:
                os._exit(status)

    def _become(self, arguments, stdin, env, kept):
        if stdin == subprocess.DEVNULL:
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if int(name) not in kept and not lives_on(name):
                    os.close(int(name))
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        sys.argv[:] = arguments
        runpy.run_module(arguments[0], run_name="__main__")

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        deadline = time.monotonic() + (1e9 if timeout is None else timeout)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a fork", timeout)
            time.sleep(0.001)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(9)

    def terminate(self):
        self.send_signal(15)


class Subprocess:
    """The module `subprocess`, with another ``Popen``."""

    Popen = ForkedPython

    def __getattr__(self, name):
        return getattr(subprocess, name)


def lives_on(name):
    """Whether a new program would have this descriptor; or it is for the stacks of a hang."""
    if os.readlink(f"/proc/self/fd/{name}").endswith(f"/{STACKS}"):
        return True
    return int(name) <= 2 and os.get_inheritable(int(name))


def use_preloaded_fork_server():
    """Let runs of this process have one."""
    fork_server_client.subprocess = Subprocess()
