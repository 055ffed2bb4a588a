"""Draw the graph of a pipeline, as text that others lay out."""

import re
import shutil
import subprocess
from pathlib import Path

from .configuration.graph import UNLIMITED, Graph, StepSpec
from .errors import ConfigurationError

__all__ = ["FORMATS", "draw_graph"]

FORMATS = (".mmd", ".md", ".dot", ".gv", ".svg")


def draw_graph(graph: Graph, executor: str, path: Path) -> bytes:
    """A drawing of a graph, as what the ending of its file says: Mermaid, DOT or SVG.

    Parameters
    ----------
    graph : Graph
        What to draw.
    executor : str
        The executor of the pipeline.
    path : pathlib.Path
        Where the drawing is to be.

    Raises
    ------
    ConfigurationError
        If nothing is drawn as such a file, or Graphviz does not draw it.
    """
    if path.suffix == ".svg":
        return _svg(_dot(graph, executor), path)
    if path.suffix in (".dot", ".gv"):
        return _dot(graph, executor).encode()
    if path.suffix == ".mmd":
        return _mermaid(graph, executor).encode()
    if path.suffix == ".md":
        return f"```mermaid\n{_mermaid(graph, executor)}```\n".encode()
    raise ConfigurationError(
        [f"cannot draw a graph as {path.name!r}; the file should end in {', '.join(FORMATS)}"]
    )


def _lines_of(spec: StepSpec, executor: str) -> list[str]:
    """What is said of a step below its name."""
    lines = [f"{spec.role} {spec.step_class.__name__}"]
    if spec.chained:
        return [*lines, "chained"]
    if executor == "sequential":
        return lines
    lines.append(spec.describe_workers(executor))
    if spec.role != "producer":
        limit = "unlimited" if spec.queue_limit == UNLIMITED else f"limit {spec.queue_limit}"
        lines.append(f"queue {limit}")
    return lines


def _edges(graph: Graph) -> list[tuple[int, int]]:
    return [
        (i, graph.index(name)) for i, spec in enumerate(graph.steps) for name in spec.next_steps
    ]


def _mermaid(graph: Graph, executor: str) -> str:
    lines = ["flowchart LR"]
    for i, spec in enumerate(graph.steps):
        name, *others = map(_mermaid_text, [spec.name, *_lines_of(spec, executor)])
        label = "<br/>".join([f"<b>{name}</b>", *others])
        lines.append(f'    s{i}["{label}"]' if spec.role == "stage" else f'    s{i}(["{label}"])')
    lines += [f"    s{i} --> s{j}" for i, j in _edges(graph)]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """Text of which nothing is taken for Markdown, HTML or an end of the label."""
    return re.sub(r"[^\w \-.,]", lambda found: f"#{ord(found[0])};", _in_one_line(text))


def _dot(graph: Graph, executor: str) -> str:
    lines = ["digraph pipeline {", "    rankdir=LR", "    node [shape=box]"]
    for i, spec in enumerate(graph.steps):
        label = r"\n".join(map(_dot_text, [spec.name, *_lines_of(spec, executor)]))
        style = "" if spec.role == "stage" else ", style=rounded"
        lines.append(f'    s{i} [label="{label}"{style}]')
    lines += [f"    s{i} -> s{j}" for i, j in _edges(graph)]
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(text: str) -> str:
    # Graphviz reads entities of HTML in a label, too.
    text = _in_one_line(text).replace("&", "&amp;")
    return text.replace("\\", r"\\").replace('"', r"\"")


def _in_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _svg(dot: str, path: Path) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise ConfigurationError(
            [
                f"cannot draw {path.name!r}: there is no program 'dot'; install Graphviz, or "
                f"give {path.stem}.mmd or {path.stem}.dot"
            ]
        )
    try:
        done = subprocess.run([program, "-Tsvg"], input=dot.encode(), capture_output=True)
    except OSError as error:
        raise ConfigurationError([f"cannot run {program!r}: {error.strerror}"]) from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise ConfigurationError([f"{program!r} cannot draw {path.name!r}: {said}"])
    return done.stdout
