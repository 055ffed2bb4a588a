"""What the command does instead of a run."""

import json
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any, NoReturn

from ctapipe.core import Tool
from ctapipe.core.traits import Bool, Path

from .configuration.graph import Graph
from .configuration.schema import configuration_schema
from .configuration.step_list import list_installed_steps, loadable_steps
from .drawing import draw_graph
from .errors import ConfigurationError
from .quickstart.project import write_project

__all__ = ["InsteadOfRun"]


class InsteadOfRun(Tool):
    """The options after which there is no run, nor anything that is written besides."""

    drawing = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Draw the graph into this file instead of a run: Mermaid (.mmd, or .md for a page), "
        "DOT (.dot, .gv) or, if Graphviz is installed, SVG (.svg). An old one is replaced only "
        "with --overwrite.",
    ).tag(config=True)

    quickstart = Path(
        default_value=None,
        allow_none=True,
        file_ok=False,
        help="Write a small project to begin with into this directory instead of a run: steps, "
        "configurations, a test, and a README that says what to type.",
    ).tag(config=True)

    list_steps = Bool(
        False,
        help="List the steps that installed packages declare, instead of a run: a configuration "
        "may name them by their class alone.",
    ).tag(config=True)

    schema = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Write a JSON schema of configurations into this file instead of a run, with which "
        "editors complete and check keys; with the options of the steps that are installed. An "
        "old one is replaced only with --overwrite.",
    ).tag(config=True)

    flags: dict[Any, Any] = {  # noqa: RUF012 (as traitlets has it)
        "list-steps": ({"Pipeline": {"list_steps": True}}, list_steps.help)
    }
    aliases: dict[Any, str] = {  # noqa: RUF012 (as traitlets has it)
        "graph": "Pipeline.drawing",
        "quickstart": "Pipeline.quickstart",
        "schema": "Pipeline.schema",
    }

    _has_answered = False

    def answer_without_graph(self) -> None:
        """Do what was asked for that needs no configuration, and exit."""
        if self.list_steps:
            self._has_answered = True
            print(list_installed_steps())
            raise SystemExit(0)
        if self.quickstart is not None:
            self._has_answered = True
            write_project(self.quickstart, self.overwrite)
            print(f"{self.quickstart}: README.md says what to type")
            raise SystemExit(0)

        if self.schema is not None:
            self._write_instead("--schema", self.schema, self._schema)

    def answer_with_graph(self, graph: Graph, executor: str) -> None:
        """Do what was asked for with a configuration that is right, and exit.

        Parameters
        ----------
        graph : Graph
            What it says.
        executor : str
            The executor of the pipeline.
        """
        path = self.drawing
        if path is not None:
            self._write_instead("--graph", path, lambda: draw_graph(graph, executor, path))

    def write_provenance(self) -> None:
        """Write what was read and written to the provenance log, if there was a run."""
        if not self._has_answered:
            super().write_provenance()

    def _schema(self) -> bytes:
        schema = configuration_schema(type(self), loadable_steps())
        return f"{json.dumps(schema, indent=2)}\n".encode()

    def _write_instead(self, option: str, path: FilePath, make: Callable[[], bytes]) -> NoReturn:
        self._has_answered = True
        self.check_output(path)
        content = make()
        try:
            path.write_bytes(content)
        except OSError as error:
            raise ConfigurationError(
                [f"{option}: cannot write '{path}': {error.strerror}; give another file"]
            ) from None
        raise SystemExit(0)
