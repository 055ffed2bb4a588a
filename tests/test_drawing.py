"""The drawing of a graph, as the command writes it."""

import json
import os
import re
import shutil

import pytest

STEPS = """
class Source:
    def run(self):
        yield 1


class Pass:
    def run(self, message):
        return message
"""

ODD = 'a "b" <c> & #1; \\\\n]'


@pytest.fixture
def configuration(tmp_path):
    (tmp_path / "steps.py").write_text(STEPS)

    def step(name, class_name="Pass", **keys):
        return {"name": name, "class": class_name, "module": "steps", **keys}

    content = {
        "Pipeline": {
            "producer_conf": step("SOURCE", "Source"),
            "stagers_conf": [
                step("SPLIT", nb_process=2, executor="processes", next_steps=[ODD, "END"]),
                step(ODD, queue_limit=-1, nb_thread=3),
                step("LAST", chained=True),
            ],
            "consumer_conf": step("END", queue_limit=7),
        }
    }
    path = tmp_path / "conf.json"
    path.write_text(json.dumps(content))
    return path


def drawn(command, configuration, name, *arguments):
    before = set(os.listdir(configuration.parent)) | {"__pycache__"}
    done = command(f"--config={configuration}", f"--graph={name}", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # No provenance, no output of a step.
    assert set(os.listdir(configuration.parent)) | before == before | {name}
    return configuration.with_name(name).read_text()


def test_mermaid(command, configuration):
    head, *lines = drawn(command, configuration, "graph.mmd").splitlines()
    assert head == "flowchart LR"
    nodes, edges = lines[:5], lines[5:]
    assert [line.strip() for line in edges] == [
        "s0 --> s1",
        "s1 --> s2",
        "s1 --> s4",
        "s2 --> s3",
        "s3 --> s4",
    ]
    assert nodes[0].strip() == 's0(["<b>SOURCE</b><br/>producer Source<br/>1 thread"])'
    assert "stage Pass<br/>2 processes<br/>queue limit 100" in nodes[1]
    assert "stage Pass<br/>3 threads<br/>queue unlimited" in nodes[2]
    assert nodes[3].strip() == 's3["<b>LAST</b><br/>stage Pass<br/>chained"]'
    assert "consumer Pass<br/>1 thread<br/>queue limit 7" in nodes[4]
    label = re.search(r"<b>(.*)</b>", nodes[2])[1]
    assert not set('"<>&\\[]') & set(label)
    assert re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label) == ODD


def test_mermaid_in_a_page(command, configuration):
    page = drawn(command, configuration, "graph.md")
    assert page.startswith("```mermaid\nflowchart LR\n")
    assert page.endswith("\n```\n")


@pytest.mark.parametrize("name", ["graph.dot", "graph.gv"])
def test_dot(command, configuration, name):
    text = drawn(command, configuration, name)
    assert text.startswith("digraph pipeline {\n")
    assert r'label="SOURCE\nproducer Source\n1 thread", style=rounded]' in text
    assert "    s1 -> s4\n" in text
    escaped = ODD.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    assert rf'label="{escaped}\nstage Pass\n3 threads\nqueue unlimited"' in text


def test_sequential_has_no_workers_and_no_queues(command, configuration):
    text = drawn(command, configuration, "graph.dot", "--executor=sequential")
    assert "thread" not in text
    assert "queue" not in text


@pytest.fixture
def graphviz(tmp_path, monkeypatch):
    """A program that stands in the place of Graphviz's."""

    def install(script):
        program = tmp_path / "bin" / "dot"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return install


def test_svg_is_what_graphviz_makes_of_dot(command, configuration, graphviz):
    graphviz('echo "<!-- $1 -->"; cat')
    svg = drawn(command, configuration, "graph.svg")
    dot = drawn(command, configuration, "graph.dot")
    assert svg == f"<!-- -Tsvg -->\n{dot}"


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_svg_of_graphviz(command, configuration):
    svg = drawn(command, configuration, "graph.svg")
    assert "<svg" in svg
    assert "a &quot;b&quot; &lt;c&gt; &amp; #1;" in svg


def test_graphviz_that_fails_is_one_line(command, configuration, graphviz):
    graphviz("echo no >&2; exit 1")
    done = command(f"--config={configuration}", "--graph=graph.svg")
    assert done.returncode == 2
    assert "cannot draw 'graph.svg': no\n" in done.stderr


def test_without_graphviz_svg_is_one_line(command, configuration, monkeypatch):
    monkeypatch.setenv("PATH", str(configuration.parent))
    done = command(f"--config={configuration}", "--graph=graph.svg")
    assert done.returncode == 2
    assert "there is no program 'dot'; install Graphviz, or give graph.mmd" in done.stderr
    assert not configuration.with_name("graph.svg").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--graph=graph.png"], "'graph.png'; the file should end in .mmd, .md, .dot, .gv, .svg"),
        (["--graph=nowhere/graph.mmd"], "No such file or directory; give another file"),
        (["--graph=conf.mmd"], "conf.mmd exists"),
        (["--graph=graph.mmd", "--LAST.x=1"], "step 'LAST': its class 'Pass' takes no options"),
    ],
)
def test_a_mistake_is_one_line(command, configuration, arguments, message):
    configuration.with_name("conf.mmd").write_text("mine")
    done = command(f"--config={configuration}", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert configuration.with_name("conf.mmd").read_text() == "mine"


def test_a_drawing_is_overwritten_if_told_so(command, configuration):
    configuration.with_name("graph.mmd").write_text("mine")
    done = command(f"--config={configuration}", "--graph=graph.mmd", "--overwrite")
    assert done.returncode == 0
    assert configuration.with_name("graph.mmd").read_text().startswith("flowchart")
