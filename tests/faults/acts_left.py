"""What a step can start and leave behind."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading
import time

from records import record

LONG_S = 1000

kept = []


def forks(step, message):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def forks_what_lasts(step, message):
    child = os.fork()
    if child == 0:
        record(step.name, step.instance, "lasts", os.getpid())
        time.sleep(LONG_S)
        os._exit(0)


def starts_a_thread(step, message):
    threading.Thread(target=time.sleep, args=[0.3]).start()


def starts_a_daemon_thread(step, message):
    threading.Thread(target=time.sleep, args=[LONG_S], daemon=True).start()


def starts_a_thread_that_lasts(step, message):
    threading.Thread(target=time.sleep, args=[LONG_S]).start()


def starts_a_program(step, message):
    command = [sys.executable, "-S", "-c", f"import time; time.sleep({LONG_S})"]
    program = subprocess.Popen(command)
    kept.append(program)
    record(step.name, step.instance, "lasts", program.pid)


def leaves_a_fork_pool(step, message):
    leaves_a_pool("fork")


def leaves_a_spawn_pool(step, message):
    leaves_a_pool("spawn")


def leaves_a_forkserver_pool(step, message):
    leaves_a_pool("forkserver")


def leaves_a_pool(method):
    pool = multiprocessing.get_context(method).Pool(1)
    assert pool.map(abs, [-1]) == [1]
    kept.append(pool)


def leaves_an_executor(step, message):
    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    assert pool.submit(abs, -1).result() == 1
    kept.append(pool)


def leaves_a_manager(step, message):
    manager = multiprocessing.get_context("fork").Manager()
    kept.append((manager, manager.list([1])))


def leaves_a_process(step, message):
    process = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=[LONG_S], daemon=True
    )
    process.start()
    kept.append(process)
