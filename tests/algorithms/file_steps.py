"""What a stage that works on files needs before and after it."""

import json
from pathlib import Path

from ctapipe.core import Component
from ctapipe.core.traits import List, Unicode

from ctapipe.pipeline import StepError


class Names(Component):
    """Sends names."""

    names = List(Unicode()).tag(config=True)

    def run(self):
        yield from self.names


class Rows(Component):
    """Writes a line for each result, and fails for those of what failed."""

    def run(self, result):
        with open("results.jsonl", "a") as file:
            file.write(json.dumps(vars(result)) + "\n")
        if result.state == "failed":
            raise StepError(self.name, f"{result.input}: {result.error}")


def results():
    """What became of each file, by its name."""
    lines = Path("results.jsonl").read_text().splitlines()
    return {Path(row["input"]).name: row for row in map(json.loads, lines)}
