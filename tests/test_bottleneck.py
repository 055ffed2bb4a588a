"""The sentence on the bottleneck at the end of a summary."""

import pytest
from traitlets.config import Config

from ctapipe.pipeline import run
from ctapipe.pipeline.bottleneck import bottleneck_sentence
from ctapipe.pipeline.configuration.reader import read_graph
from ctapipe.pipeline.summary import summary_table


class Source:
    def run(self):
        yield from range(3)


class Pass:
    def run(self, message):
        return message


def graph(**keys):
    """Source, READ, CLEAN, HILLAS and WRITE; keys are those of HILLAS."""
    names = ("CLEAN", "HILLAS")
    stages = [{"name": name, "class": Pass, **(keys if name == names[1] else {})} for name in names]
    return read_graph(
        Config(
            {
                "Pipeline": {
                    "producer_conf": {"name": "READ", "class": Source},
                    "stagers_conf": stages,
                    "consumer_conf": {"name": "WRITE", "class": Pass},
                }
            }
        )
    )


def sentence(graph, busy_s, elapsed_s=100.0, executor="threads", done=1000):
    steps = [
        {"name": spec.name, "role": spec.role, "workers": spec.workers}
        | {"done": done, "failed": 0, "busy_s": busy}
        for spec, busy in zip(graph.steps, busy_s, strict=True)
    ]
    return bottleneck_sentence(graph, executor, steps, elapsed_s)


def test_names_the_stage_that_others_wait_for():
    said = sentence(graph(nb_thread=2), [70, 60, 194, 65])
    assert said.startswith(
        "HILLAS ran 97 % of the time on 2 workers while CLEAN waited 40 %: "
        "give HILLAS more nb_thread"
    )


def test_processes_are_named_by_their_own_key(monkeypatch):
    monkeypatch.setattr("ctapipe.pipeline.bottleneck.usable_cores", lambda: 4)
    said = sentence(graph(nb_process=3, executor="processes"), [1, 2, 290, 50])
    assert said.endswith("while READ waited 99 %: give HILLAS more nb_process")
    said = sentence(graph(nb_process=4), [1, 2, 390, 50], executor="processes")
    assert "it has a process for each core that this process may use; try more cores" in said


@pytest.mark.parametrize("slowest, name", [(0, "READ"), (3, "WRITE")])
def test_a_step_with_one_worker_is_not_told_to_have_more(slowest, name):
    busy_s = [20.0] * 4
    busy_s[slowest] = 98.0
    said = sentence(graph(), busy_s)
    assert said.startswith(f"{name} ran 98 % of the time on 1 worker while ")
    assert f"more workers will not help, {name} has one" in said
    assert "nb_thread" not in said


def test_a_chain_is_one_step_and_says_where_its_time_goes():
    said = sentence(graph(chained=True), [5, 30, 65, 10])
    assert said.startswith("CLEAN + HILLAS ran 95 % of the time on 1 worker while READ waited 95 %")
    assert "give CLEAN more nb_thread" in said
    assert said.endswith("; most of the time is HILLAS's")


@pytest.mark.parametrize(
    "busy_s, options",
    [
        ([10, 10, 60, 10], {}),
        ([95, 10, 97, 10], {}),
        ([0.1, 0.1, 0.9, 0.1], {"elapsed_s": 0.95}),
        ([10, 10, 97, 10], {"executor": "sequential"}),
        ([10, 10, 97, 10], {"done": 2}),
        ([0, 0, 0, 0], {"elapsed_s": 0.0}),
    ],
    ids=["nothing is busy", "two are", "short", "sequential", "few messages", "nothing was done"],
)
def test_says_nothing_where_it_cannot_tell(busy_s, options):
    assert sentence(graph(), busy_s, **options) is None


def test_the_table_ends_with_it():
    summary = run([Source, Pass, {"name": "END", "class": Pass}], executor="sequential")
    assert summary["bottleneck"] is None
    assert "None" not in summary_table(summary)
    summary["bottleneck"] = "Pass ran."
    assert summary_table(summary).splitlines()[-1] == "Pass ran."
