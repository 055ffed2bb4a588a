"""Configurations: what they mean, and every mistake in them."""

import copy
import importlib
import json
import re
import sys

import pytest
from ctapipe.core import Component
from ctapipe.core.traits import Int
from traitlets.config import Config

from ctapipe.pipeline import ConfigurationError, Pipeline, run
from ctapipe.pipeline.configuration.graph import DEFAULT_QUEUE_LIMIT
from ctapipe.pipeline.configuration.reader import read_graph


class Producer(Component):
    """A producer."""

    max_events = Int(3).tag(config=True)

    def run(self):
        yield from range(self.max_events)


class Stage:
    def run(self, message):
        return message


class Consumer:
    def run(self, message):
        pass


class NoStep:
    pass


def configuration():
    return {
        "Pipeline": {
            "producer_conf": {"name": "READ", "class": "Producer", "module": __name__},
            "stagers_conf": [
                {"name": "CLEAN", "class": "Stage", "module": __name__},
                {"name": "HILLAS", "class": "Stage", "module": __name__},
            ],
            "consumer_conf": {"name": "WRITE", "class": "Consumer", "module": __name__},
        }
    }


def graph_of(conf):
    return read_graph(Config(copy.deepcopy(conf)))


@pytest.mark.parametrize(
    "section",
    [
        5,
        {"executor": "processes", "stagers_conf": 5},
        {"executor": "processes", "stagers_conf": [5]},
        {"executor": ["processes"], "stagers_conf": []},
    ],
)
def test_what_is_looked_at_before_the_check_may_be_anything(tmp_path, section):
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps({"Pipeline": section}))
    with pytest.raises(ConfigurationError):
        run(path)
    with pytest.raises(ConfigurationError):
        Pipeline().initialize([f"--config={path}"])


def test_the_steps_form_a_chain_when_next_steps_are_absent():
    graph = graph_of(configuration())
    assert [step.name for step in graph.steps] == ["READ", "CLEAN", "HILLAS", "WRITE"]
    assert [step.role for step in graph.steps] == ["producer", "stage", "stage", "consumer"]
    assert [step.next_steps for step in graph.steps] == [("CLEAN",), ("HILLAS",), ("WRITE",), ()]
    assert all(step.workers == 1 for step in graph.steps)
    assert all(step.queue_limit == DEFAULT_QUEUE_LIMIT for step in graph.steps)
    assert graph.steps[0].step_class is Producer


@pytest.mark.parametrize("next_steps", ["CLEAN,HILLAS", " CLEAN , HILLAS ", ["CLEAN", "HILLAS"]])
def test_next_steps_are_names_separated_by_commas_or_a_list(next_steps):
    conf = configuration()
    conf["Pipeline"]["producer_conf"]["next_steps"] = next_steps
    assert graph_of(conf).steps[0].next_steps == ("CLEAN", "HILLAS")


def test_settings_of_the_steps():
    conf = configuration()
    conf["Pipeline"]["serialization"] = "none"
    conf["Pipeline"]["stagers_conf"][0].update(nb_thread=4, queue_limit=7, prefetch=3)
    conf["Pipeline"]["stagers_conf"][1]["serialization"] = "pickle"
    conf["Pipeline"]["consumer_conf"]["queue_limit"] = -1
    graph = graph_of(conf)
    assert (graph.steps[1].workers, graph.steps[1].queue_limit) == (4, 7)
    assert graph.steps[3].queue_limit == -1
    assert [step.prefetch for step in graph.steps] == [None, 3, None, None]
    assert [step.serialization for step in graph.steps] == ["none", "none", "pickle", "none"]


def test_a_graph_cannot_be_changed():
    with pytest.raises(AttributeError):
        graph_of(configuration()).steps[0].name = "OTHER"


def test_ranks_follow_the_messages_not_the_listing():
    conf = configuration()
    conf["Pipeline"]["producer_conf"]["next_steps"] = "HILLAS"
    stages = conf["Pipeline"]["stagers_conf"]
    stages[0]["next_steps"] = "WRITE"
    stages[1]["next_steps"] = "CLEAN"
    assert graph_of(conf).ranks() == [0, 2, 1, 3]


def test_ranks_of_a_cycle_start_where_the_producers_messages_come_in():
    conf = configuration()
    stages = conf["Pipeline"]["stagers_conf"]
    stages[0]["next_steps"] = "HILLAS"
    stages[1]["next_steps"] = "CLEAN, WRITE"
    assert graph_of(conf).ranks() == [0, 1, 2, 3]


def change(path, value):
    """A configuration with one value changed, or removed (...), and one key added."""

    def apply(conf):
        target = conf
        for key in path[:-1]:
            target = target[key]
        if value is ...:
            del target[path[-1]]
        else:
            target[path[-1]] = value

    return apply


P = "Pipeline"
FIRST = (P, "stagers_conf", 0)

MISTAKES = [
    ((P, "producer_conf"), ..., r"Pipeline.producer_conf is missing"),
    ((P, "consumer_conf"), ..., r"Pipeline.consumer_conf is missing"),
    ((*FIRST, "name"), ["A"], r"stagers_conf\[0\]: 'name' must be a text"),
    ((P, "stagers_conf"), ..., r"Pipeline.stagers_conf is missing"),
    ((P, "stagers_conf"), [], r"Pipeline.stagers_conf is missing"),
    ((P, "stagers_conf"), {"a": 1}, r"stagers_conf must be a list of steps, not {'a': 1}"),
    ((P, "producer_conf"), [1], r"Pipeline.producer_conf must be one step.*not \[1\]"),
    ((*FIRST,), "text", r"Pipeline.stagers_conf\[0\] must be one step.*not 'text'"),
    ((*FIRST, "name"), ..., r"Pipeline.stagers_conf\[0\]: the key 'name' is missing"),
    ((*FIRST, "name"), 7, r"stagers_conf\[0\]: 'name' must be a text without a comma, not 7"),
    ((*FIRST, "name"), "A,B", r"step 'A,B': 'name' must be a text without a comma"),
    ((*FIRST, "name"), "Pipeline", r"step 'Pipeline': this name is taken by a section"),
    ((*FIRST, "class"), ..., r"step 'CLEAN': the key 'class' is missing"),
    ((*FIRST, "module"), ..., r"step 'CLEAN': the key 'module' is missing"),
    ((*FIRST, "class"), "Stag", r"step 'CLEAN': .* no class 'Stag' \(did you mean 'Stage'\?\)"),
    ((*FIRST, "class"), 5, r"step 'CLEAN': 'class' must be a name, not 5"),
    ((*FIRST, "class"), "NoStep", r"step 'CLEAN': the class 'NoStep' has no method 'run'"),
    ((*FIRST, "module"), "no_such", r"step 'CLEAN': there is no module 'no_such'"),
    (
        (*FIRST, "module"),
        "ctapipe.pipeline.algorithms.fake_proces",
        r"no module .*did you mean 'ctapipe.pipeline.algorithms.fake_process'",
    ),
    ((*FIRST, "prev"), "A", r"step 'CLEAN': unknown key 'prev' \(the step before names this one"),
    (("Pipeline", "mode"), "sequential", r"Pipeline: unknown option 'mode' \(say 'executor'"),
    ((*FIRST, "nb_threads"), 2, r"step 'CLEAN': unknown key 'nb_threads' \(did you mean 'nb_thr"),
    ((*FIRST, "nb_thread"), 0, r"step 'CLEAN': 'nb_thread' must be a whole number from 1 .* not 0"),
    (
        (*FIRST, "nb_process"),
        10**9,
        r"'nb_process' must be 'auto', .* or a whole number from 1 to 10000, not 1",
    ),
    (
        (*FIRST, "queue_limit"),
        1 << 63,
        r"'queue_limit' must be .* from 1 to 1000000000, or",
    ),
    ((*FIRST, "nb_thread"), "2", r"step 'CLEAN': 'nb_thread' must be .* not '2'"),
    ((*FIRST, "nb_thread"), True, r"step 'CLEAN': 'nb_thread' must be .* not True"),
    ((*FIRST, "queue_limit"), 0, r"step 'CLEAN': 'queue_limit' must be .*or -1 .* not 0"),
    ((*FIRST, "queue_limit"), 1.5, r"step 'CLEAN': 'queue_limit' must be .* not 1.5"),
    ((*FIRST, "prefetch"), 0, r"step 'CLEAN': 'prefetch' must be a whole number from 1 .* not 0"),
    ((*FIRST, "serialization"), "json", r"'serialization' must be one of 'pickle', 'none', not"),
    ((P, "serialization"), "json", r"Pipeline: option 'serialization': .* not the str 'json'"),
    ((*FIRST, "ordered"), "yes", r"step 'CLEAN': 'ordered' must be true or false, not 'yes'"),
    ((P, "producer_conf", "ordered"), True, r"step 'READ': 'ordered' is not for the producer"),
    ((P, "producer_conf", "prefetch"), 2, r"step 'READ': 'prefetch' is not for the producer"),
    ((*FIRST, "next_steps"), "HILAS", r"step 'CLEAN': .*'HILAS', which is no step.*'HILLAS'"),
    ((*FIRST, "next_steps"), "READ", r"step 'CLEAN': .*nothing can be sent to the producer"),
    ((*FIRST, "next_steps"), 3, r"step 'CLEAN': 'next_steps' must be names .* not 3"),
    ((*FIRST, "next_steps"), "WRITE", r"step 'HILLAS': nothing reaches the stage"),
    ((*FIRST, "name"), "HILLAS", r"step 'HILLAS': the name is used twice"),
    ((P, "producer_conf", "nb_thread"), 2, r"step 'READ': 'nb_thread' is not for the producer: ea"),
    ((P, "consumer_conf", "nb_thread"), 2, r"step 'WRITE': 'nb_thread' is not for the consumer: t"),
    ((P, "producer_conf", "queue_limit"), 2, r"step 'READ': 'queue_limit' is not for the producer"),
    ((P, "consumer_conf", "next_steps"), "HILLAS", r"step 'WRITE': 'next_steps' is not for the co"),
    ((P, "stagers_con"), [], r"Pipeline: unknown option 'stagers_con' \(did you mean 'stagers_co"),
    (("READ",), 5, r"'READ' must be a section with options, not 5"),
    (("Pipeline",), 5, r"'Pipeline' must be a section with options, not 5"),
    (("Producer",), {"max_event": 3}, r"Producer: unknown option 'max_event' .*'max_events'"),
    (("READ",), {"max_event": 3}, r"step 'READ': unknown option 'max_event' .*'max_events'"),
    (("Producer",), {"max_events": "x"}, r"Producer: option 'max_events': .*expected an int, no"),
    (("Produce",), {"max_events": 1}, r"unknown section 'Produce'.*did you mean 'Producer'"),
    (("ImageProcesor",), {"x": 1}, r"unknown section 'ImageProcesor'.*did you mean 'ImageProcess"),
    (("CLEAN",), {"x": 1}, r"step 'CLEAN': its class 'Stage' takes no options"),
    (("pipeline",), 3, r"unknown key 'pipeline' at the top .*did you mean 'Pipeline'"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_every_mistake_is_one_line_that_names_its_place(path, value, message):
    conf = configuration()
    change(path, value)(conf)
    with pytest.raises(ConfigurationError) as failure:
        graph_of(conf)
    matching = [line for line in failure.value.errors if re.search(message, line)]
    assert matching, failure.value.errors
    assert "\n" not in matching[0]


def test_steps_without_a_name_are_not_taken_for_one():
    conf = configuration()
    for stage in conf[P]["stagers_conf"]:
        del stage["name"]
    with pytest.raises(ConfigurationError) as failure:
        graph_of(conf)
    assert failure.value.errors == (
        "Pipeline.stagers_conf[0]: the key 'name' is missing",
        "Pipeline.stagers_conf[1]: the key 'name' is missing",
    )


def test_all_mistakes_are_reported_together():
    conf = configuration()
    conf["Pipeline"]["producer_conf"]["nb_thread"] = 2
    conf["Pipeline"]["stagers_conf"][0]["class"] = "Stag"
    conf["Pipeline"]["stagers_conf"][1]["next_steps"] = "WROTE"
    conf["Producer"] = {"max_event": 3}
    with pytest.raises(ConfigurationError) as failure:
        graph_of(conf)
    assert len(failure.value.errors) == 4
    assert str(failure.value).startswith("4 mistakes in the configuration:\n  - step 'READ'")


def test_mistakes_in_every_part_of_a_pipeline():
    with pytest.raises(ConfigurationError) as failure:
        graph_of({"Pipeline": {"producer_conf": "x", "stagers_conf": {}}})
    assert len(failure.value.errors) == 3


@pytest.mark.parametrize("value", [None, 3, [1, 2, 3]])
def test_what_is_no_configuration(value):
    with pytest.raises(ConfigurationError, match="a pipeline is|a step is"):
        run(value)


@pytest.mark.parametrize("conf", [{}, {"Pipeline": 5}, {"Pipeline": None}, {"Pipeline": {}}])
def test_a_configuration_without_a_pipeline(conf):
    with pytest.raises(ConfigurationError, match="no pipeline is configured"):
        graph_of(conf)


class lower(Component):
    """A class whose options traitlets does not take."""

    a = Int(1).tag(config=True)

    def run(self, message):
        return message


@pytest.mark.parametrize("section", ["lower", "CLEAN"])
def test_options_of_a_class_that_cannot_have_any_are_an_error(section):
    conf = configuration()
    conf["Pipeline"]["stagers_conf"][0]["class"] = "lower"
    conf[section] = {"a": 2}
    with pytest.raises(ConfigurationError, match="'lower' cannot be set: .* a capital letter"):
        graph_of(conf)


def test_a_module_that_exits_when_imported(tmp_path, monkeypatch):
    (tmp_path / "script_steps.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    conf = configuration()
    conf["Pipeline"]["stagers_conf"][0]["module"] = "script_steps"
    with pytest.raises(ConfigurationError, match=r"'script_steps' cannot be imported: SystemExit"):
        graph_of(conf)


def test_the_python_path_is_as_before_after_a_run():
    before = list(sys.path)
    with pytest.raises(ConfigurationError):
        run({})
    run(configuration())
    assert sys.path == before


def test_a_module_behind_a_link_is_not_imported_again(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "linked_steps.py").write_text(
        "class Stage:\n    def run(self, message):\n        return message\n"
    )
    (tmp_path / "link").symlink_to("real")
    monkeypatch.syspath_prepend(tmp_path / "real")
    module = importlib.import_module("linked_steps")
    monkeypatch.syspath_prepend(tmp_path / "link")
    conf = configuration()
    conf["Pipeline"]["stagers_conf"][0]["module"] = "linked_steps"
    assert graph_of(conf).steps[1].step_class is module.Stage


def test_a_module_that_cannot_be_imported_says_where(tmp_path, monkeypatch):
    (tmp_path / "broken_steps.py").write_text("import ctapipe\nimport no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    conf = configuration()
    conf["Pipeline"]["stagers_conf"][0]["module"] = "broken_steps"
    with pytest.raises(ConfigurationError) as failure:
        graph_of(conf)
    assert re.search(
        r"step 'CLEAN': the module 'broken_steps' cannot be imported: ModuleNotFoundError: "
        r"No module named 'no_such_package' \(.*broken_steps.py, line 2\)",
        str(failure.value),
    )


def test_a_module_with_a_syntax_error_says_where(tmp_path, monkeypatch):
    (tmp_path / "odd_steps.py").write_text("class Stage:\n    def run(self\n")
    monkeypatch.syspath_prepend(tmp_path)
    conf = configuration()
    conf["Pipeline"]["stagers_conf"][0]["module"] = "odd_steps"
    with pytest.raises(ConfigurationError, match=r"SyntaxError.*odd_steps.py, line 2"):
        graph_of(conf)


def test_nothing_runs_when_the_configuration_is_wrong():
    made = []

    class Noisy:
        def __init__(self):
            made.append(self)

        def run(self, message=None):
            made.append(message)

    with pytest.raises(ConfigurationError):
        run([Noisy, {"class": Noisy, "name": "S", "nb_thread": 0}, {"class": Noisy, "name": "C"}])
    assert not made


def test_two_steps_are_no_pipeline():
    with pytest.raises(ConfigurationError, match="at least three steps"):
        run([Producer, Consumer])


def test_an_executor_that_does_not_exist():
    with pytest.raises(ConfigurationError, match="no executor 'thread' .*did you mean 'threads'"):
        run(configuration(), executor="thread")


def test_an_address_that_is_none():
    for address in ("nowhere", "localhost:port", "localhost:99999", "ipc://x"):
        with pytest.raises(ConfigurationError, match="gui_address"):
            run(configuration(), gui_address=address)
