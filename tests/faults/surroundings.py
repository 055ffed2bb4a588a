"""What a run can find when it starts, prepared in its own process."""

import os
import random
import resource
import sys

MB = 1 << 20


def few_descriptors(trial, directory):
    n = len(os.listdir("/proc/self/fd")) + draw(trial).randrange(3, 60)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def few_processes(trial, directory):
    used = sum(
        len(os.listdir(f"/proc/{pid}/task"))
        for pid in os.listdir("/proc")
        if pid.isdigit() and is_own(pid)
    )
    n = used + draw(trial).randrange(12)
    resource.setrlimit(resource.RLIMIT_NPROC, (n, n))


def is_own(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.getuid()
    except OSError:
        return False


def little_address_space(trial, directory):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    size += draw(trial).choice([1, 10, 30, 60, 90, 150, 300, 600]) * MB
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def small_files_only(trial, directory):
    trial.line_bytes = 20_000
    size = draw(trial).choice([100_000, 100_000, 100 * MB])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def output_to_full_disk(trial, directory):
    trial.output = "/dev/full"


def stdout_full(trial, directory):
    trial.output = ""
    replace(1, "/dev/full")


def stdout_closed(trial, directory):
    """As Python finds it when it is started with a closed one."""
    trial.output = ""
    os.close(1)
    sys.stdout = sys.__stdout__ = None


def stdout_not_read(trial, directory):
    trial.output = ""
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 1)
    os.close(write)


def stderr_closed(trial, directory):
    os.close(2)
    sys.stderr = sys.__stderr__ = None


def stderr_full(trial, directory):
    replace(2, "/dev/full")


def log_full(trial, directory):
    trial.arguments += ["--log-file=/dev/full", "--log-level=DEBUG"]


def no_temporary_directory(trial, directory):
    os.environ["TMPDIR"] = str(directory / "nowhere")


def long_temporary_directory(trial, directory):
    path = directory / "t" / ("long" * 30)
    path.mkdir()
    os.environ["TMPDIR"] = str(path)


def temporary_directory_not_writable(trial, directory):
    (directory / "t").chmod(0o500)


def replace(descriptor, path):
    opened = os.open(path, os.O_WRONLY)
    os.dup2(opened, descriptor)
    os.close(opened)


def draw(trial):
    return random.Random(f"around {trial.seed}/{trial.number}")
