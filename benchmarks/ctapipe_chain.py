"""How long the ctapipe chain takes, measured in a process of its own.

All of the command; or the event loop, from before the first event is read until the last
one is written. Run as a script it prints the seconds of the event loop.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from ctapipe.core import run_tool
from ctapipe.tools.process import ProcessorTool

from ctapipe.pipeline import run
from ctapipe.pipeline.algorithms.event_reader import EventReader
from ctapipe.pipeline.algorithms.event_writer import EventWriter
from ctapipe.pipeline.processes.fork_server_client import THREAD_COUNTS

__all__ = ["command", "event_loop"]

EXAMPLES = Path(__file__).parents[1] / "examples"
# So that files without the effective focal length can be measured, too.
FILES = {"SimTelEventSource": {"focal_length_choice": "EQUIVALENT"}}


def event_loop(what, path):
    """Seconds of the event loop, from a new process.

    All compute with one thread per process: threads of BLAS that share two cores with
    others make it slower, and the figures random.

    Parameters
    ----------
    what : {"ctapipe-process", "sequential", "processes"}
        What runs it.
    path : pathlib.Path
        The file with events.
    """
    command = [sys.executable, __file__, what, str(path)]
    env = {**os.environ, **dict.fromkeys(THREAD_COUNTS, "1")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return float(done.stdout)


def command(what, path):
    """Seconds of the whole command, from its start to its end.

    Parameters
    ----------
    what : {"ctapipe-process", "processes"}
        What runs it.
    path : pathlib.Path
        The file with events.
    """
    programs = {
        "ctapipe-process": ["ctapipe-process", "--write-images"],
        "processes": ["ctapipe-pipeline", f"--config={EXAMPLES / 'dl1.yaml'}", "-j2"],
    }
    name, *options = programs[what]
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.yaml"
        config.write_text(yaml.safe_dump(FILES))
        program = Path(sys.executable).with_name(name)
        files = [f"--config={config}", f"--input={path}", "--output=events.dl1.h5"]
        began = time.perf_counter()
        subprocess.run([program, *options, *files], check=True, capture_output=True, cwd=directory)
        return time.perf_counter() - began


class TimedReader(EventReader):
    """Notes when it begins."""

    def run(self):
        TimedReader.began = time.perf_counter()
        yield from super().run()


class TimedWriter(EventWriter):
    """Notes when it has written an event."""

    def run(self, event):
        super().run(event)
        TimedWriter.ended = time.perf_counter()


class TimedTool(ProcessorTool):
    """Notes how long its loop takes."""

    def start(self):
        began = time.perf_counter()
        super().start()
        TimedTool.loop_s = time.perf_counter() - began


def _with_pipeline(executor, path, output):
    config = yaml.safe_load((EXAMPLES / "dl1.yaml").read_text()) | FILES
    config["Pipeline"]["jobs"] = 2
    config["EventSource"] = {"input_url": str(path)}
    config["DataWriter"]["output_path"] = str(output)
    config["Pipeline"]["producer_conf"] |= {"class": TimedReader, "module": __name__}
    config["Pipeline"]["consumer_conf"] |= {"class": TimedWriter, "module": __name__}
    run(config, executor=executor)
    return TimedWriter.ended - TimedReader.began


def _with_ctapipe(path, output):
    config = output.with_name("config.yaml")
    config.write_text(yaml.safe_dump(FILES))
    options = [f"--config={config}", f"--input={path}", f"--output={output}", "--write-images"]
    run_tool(TimedTool(), options, cwd=output.parent)
    return TimedTool.loop_s


if __name__ == "__main__":
    what, path = sys.argv[1], Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "events.dl1.h5"
        if what == "ctapipe-process":
            print(_with_ctapipe(path, output))
        else:
            print(_with_pipeline(what, path, output))
