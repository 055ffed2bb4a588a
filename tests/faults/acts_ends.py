"""How a step can end its process or another one, or keep it from going on."""

import contextlib
import ctypes
import os
import random
import re
import signal
import threading
import time

import process_table
from records import record, trial


def exits_with_0(step, message):
    os._exit(0)


def exits_with_3(step, message):
    os._exit(3)


def kills_itself(step, message):
    os.kill(os.getpid(), signal.SIGKILL)


def segfaults(step, message):
    # A stack dump of the test's own faulthandler is not wanted.
    signal_default(signal.SIGSEGV)
    ctypes.string_at(0)


def aborts(step, message):
    signal_default(signal.SIGABRT)
    os.abort()


def signal_default(number):
    # Not by the module signal, which only the main thread may use.
    ctypes.CDLL(None).signal(int(number), None)


def is_ended_by_alarm(step, message):
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    time.sleep(60)


def kills_the_fork_server(step, message):
    record(step.name, step.instance, "kills", os.getppid())
    os.kill(os.getppid(), signal.SIGKILL)


def stops_the_fork_server(step, message):
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(0.1)
    os.kill(os.getppid(), signal.SIGCONT)


def kills_a_sibling(step, message):
    siblings = sorted(set(process_table.children(os.getppid())) - {os.getpid()})
    if siblings:
        sibling = random.Random(trial()["seed"]).choice(siblings)
        record(step.name, step.instance, "kills", sibling)
        with contextlib.suppress(ProcessLookupError):
            os.kill(sibling, signal.SIGKILL)


def closes_all_descriptors(step, message):
    os.closerange(3, 4096)


def closes_sockets(step, message):
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if re.match("socket:", os.readlink(f"/proc/self/fd/{name}")):
                os.close(int(name))


def blocks(step, message):
    while True:
        time.sleep(0.01)


def blocks_in_c(step, message):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def blocks_with_the_gil(step, message):
    re.match(r"(a|a)*$", "a" * 100 + "b")


def blocks_with_blocked_signals(step, message):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    blocks(step, message)
