"""A producer of files and a stage that says what became of them, as if a tool had been run."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

from ctapipe.core import Component
from ctapipe.core.traits import Dict, List, Unicode

from ctapipe.pipeline import run
from ctapipe.pipeline.algorithms._files import FileResult

RUN = """
import json, sys
sys.path += {path!r}
import files_done
from ctapipe.pipeline.algorithms.{module} import {consumer}
files_done.run_files({consumer}, **json.loads(sys.argv[1]))
"""


class Files(Component):
    """Sends names of files."""

    names = List(Unicode()).tag(config=True)

    def run(self):
        self.parent.shared["files"] = [*self.names]
        yield from self.names


class Done(Component):
    """Says what became of each: it is done, if ``results`` has nothing else to say.

    ``killed``: there the whole run ends; ``lost``: it has no result.
    """

    results = Dict().tag(config=True)

    def run(self, path):
        result = FileResult(path, path, "done", 3, 1.5, 200.25, 1)
        given = self.results.get(path, {})
        if given == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if given == "lost":
            raise OSError(f"nobody knows what became of {path}")
        return dataclasses.replace(result, **given)


def run_files(consumer, names, results=None, executor="sequential", stages=(), **options):
    """Run a pipeline of files to its end."""
    stagers = [{"name": "DONE", "class": Done}, *stages]
    conf = {
        "on_error": options.pop("on_error", "skip"),
        "executor": executor,
        "producer_conf": {"name": "FILES", "class": Files},
        "stagers_conf": stagers,
        "consumer_conf": {"name": "LAST", "class": consumer, "ordered": True},
    }
    files = {"names": [str(name) for name in names]}
    given = {str(name): result for name, result in (results or {}).items()}
    return run({"Pipeline": conf, "Files": files, "Done": {"results": given}, **options})


def run_killed(consumer, options):
    """Run one in a process of its own, which is killed."""
    module = consumer.__module__.rpartition(".")[2]
    script = RUN.format(path=sys.path, module=module, consumer=consumer.__name__)
    done = subprocess.run([sys.executable, "-c", script, json.dumps(options)], timeout=60)
    assert done.returncode == -signal.SIGKILL
