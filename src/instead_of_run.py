"""What the command does instead of a run."""

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any, NoReturn

from ctapipe.core import Tool
from ctapipe.core.traits import Path

from .configuration.graph import Graph
from .drawing import draw_graph
from .errors import ConfigurationError

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

    aliases: dict[Any, str] = {"graph": "Pipeline.drawing"}  # noqa: RUF012 (as traitlets has it)

    _has_answered = False

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
