"""The main process of a trial, forked from one that has imported everything."""

import atexit
import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import tempfile
import threading

import surroundings
from preloaded import use_preloaded_fork_server
from records import DIRECTORY, show_stacks_on_request

from ctapipe.pipeline import run, tool

__all__ = ["become"]

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def become(trial, directory):
    """Be the main process of a trial, in its directory, up to `SystemExit`."""
    os.chdir(directory)
    redirect(0, os.devnull, os.O_RDONLY)
    redirect(1, "stdout", os.O_WRONLY | os.O_CREAT)
    redirect(2, "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.setsid()
    os.environ[DIRECTORY] = str(directory)
    os.environ["TMPDIR"] = str(directory / "t")
    tempfile.tempdir = None
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable()
    show_stacks_on_request()
    if not trial.is_fresh:
        use_preloaded_fork_server()
    finish_preparing = (
        getattr(surroundings, trial.fault.around, None) if trial.fault.around else None
    )
    if finish_preparing is not None:
        finish_preparing(trial, directory)
    (directory / "trial.json").write_text(json.dumps(trial.for_steps()))
    (directory / "conf.json").write_text(json.dumps(trial.configuration(), indent=1))
    before = descriptors()
    try:
        if trial.fault.around == "two_runs_in_threads":
            run_twice(trial)
        else:
            sys.argv = ["ctapipe-pipeline", "--config=conf.json", "--summary=summary.json"]
            sys.argv += trial.arguments
            tool.main()
    except SystemExit as end:
        finish(directory, before)
        if trial.exits_quickly:
            exit_quickly(end.code)
        raise
    except BaseException:
        finish(directory, before)
        raise


def finish(directory, before):
    # What is not needed any more may lie in cycles.
    gc.collect()
    write_what_is_left(directory, before)


def exit_quickly(code):
    """As Python exits, but for taking apart all that was imported, which takes half a trial."""
    threading._shutdown()
    atexit._run_exitfuncs()
    status = code if isinstance(code, int) else int(code is not None)
    for file in (sys.stdout, sys.stderr):
        try:
            if file is not None:
                file.flush()
        except (OSError, ValueError):
            status = 120
    os._exit(status)


def redirect(descriptor, path, flags):
    opened = os.open(path, flags, 0o666)
    os.dup2(opened, descriptor)
    os.close(opened)


def run_twice(trial):
    """Two runs at the same time, neither in the main thread."""
    errors = []

    def run_once():
        try:
            assert run("conf.json")["state"] == "finished"
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=run_once) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(1 if errors else 0)


def descriptors():
    """What is open, by descriptor."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def write_what_is_left(directory, before):
    left = {
        "modules": sorted(sys.modules),
        "descriptors": [
            target for name, target in descriptors().items() if before.get(name) != target
        ],
        "threads": [
            thread.name for thread in threading.enumerate() if thread is not threading.main_thread()
        ],
    }
    # Not where there is no descriptor left.
    with contextlib.suppress(OSError):
        (directory / "after.json").write_text(json.dumps(left))
