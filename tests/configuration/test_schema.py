"""The JSON schema of configurations: does it say what the command says?"""

import copy
import json

import pytest
import yaml
from checkout import EXAMPLES, ROOT
from traitlets.config import Config

from ctapipe.pipeline import ConfigurationError, Pipeline
from ctapipe.pipeline.configuration.reader import read_graph
from ctapipe.pipeline.configuration.schema import configuration_schema
from ctapipe.pipeline.configuration.step_keys import STEP_KEYS, mistakes_in_keys
from ctapipe.pipeline.configuration.step_list import loadable_steps

jsonschema = pytest.importorskip("jsonschema")

VALUES = [0, 1, 2, -1, -2, 1.5, 20_000, 10**10, True, False, None, [], "", "x", "auto"]
VALUES += ["a,b", "Pipeline", "threads", "processes", "sequential", "pickle", "none"]
CONFIGURATIONS = sorted(
    path for path in EXAMPLES.rglob("*") if path.suffix in (".json", ".yaml", ".yml")
)
CONFIGURATIONS += sorted((ROOT / "src" / "quickstart" / "project-files").glob("*.yaml.txt"))


@pytest.fixture(scope="module")
def schema():
    schema = configuration_schema(Pipeline, loadable_steps())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


@pytest.fixture(scope="module")
def is_valid(schema):
    return jsonschema.Draft202012Validator(schema).is_valid


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_examples_are_valid(schema, path):
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize("role", ["producer", "stage", "consumer"])
def test_keys_of_a_step_are_those_of_the_command(schema, role):
    of_role = {"$ref": f"#/$defs/{role}", "$defs": schema["$defs"]}
    is_valid = jsonschema.Draft202012Validator(of_role).is_valid
    others = ("class", "module", "next_steps")
    for key in [*STEP_KEYS, "nb_threads"]:
        for value in VALUES:
            # What the others must be is looked at elsewhere.
            if key not in others:
                conf = {"name": "STEP", "class": "Step", key: value}
                assert is_valid(conf) == (not list(mistakes_in_keys(conf, role))), conf
    for lacking in ({"name": "STEP"}, {"class": "Step"}):
        assert not is_valid(lacking)


TOY = {
    "Pipeline": {
        "producer_conf": {"name": "SHOWERS", "class": "FakeProducer"},
        "stagers_conf": [{"name": "CLEANING", "class": "FakeProcess"}],
        "consumer_conf": {"name": "TABLE", "class": "FakeProcess2"},
    }
}
FAKES = "ctapipe.pipeline.algorithms."
TOY["Pipeline"]["producer_conf"]["module"] = FAKES + "fake_producer"
TOY["Pipeline"]["stagers_conf"][0]["module"] = FAKES + "fake_process"
TOY["Pipeline"]["consumer_conf"]["module"] = FAKES + "fake_process2"


@pytest.mark.parametrize(
    "section, options",
    [
        ("FakeProducer", {"max_events": 3}),
        ("FakeProducer", {"max_events": "three"}),
        ("FakeProducer", {"max_events": None}),
        ("FakeProducer", {"max_event": 3}),
        ("FakeProducer", {}),
        ("FakeProducer", 3),
        ("FakeProcess", {"picture_threshold_pe": 7.5}),
        ("FakeProcess", {"picture_threshold_pe": 7}),
        ("CLEANING", {"picture_threshold_pe": 8}),
        ("CLEANING", 8),
        ("DataWriter", {"overwrite": True}),
        ("Pipeline", {"jobs": None}),
        ("Pipeline", {"on_error": "skip", "max_errors": 0}),
        ("Pipeline", {"max_errors": -1}),
        ("Pipeline", {"on_error": "go on"}),
        ("Pipeline", {"executor": "sequential", "log_level": "DEBUG"}),
        ("Pipeline", {"log_level": "LOUD"}),
        ("Pipeline", {"summary": "summary.json", "overwrite": True}),
        ("Pipeline", {"overwrite": "yes"}),
        ("Pipeline", {"FakeProducer": {"max_events": 3}}),
        ("Pipeline", {"stagers_conf": []}),
        ("Pipeline", {"stagers_conf": {}}),
        ("Pipeline", {"producer_conf": None}),
        ("Pipeline", {"nb_thread": 3}),
    ],
    ids=str,
)
def test_sections_are_those_of_the_command(is_valid, section, options):
    content = copy.deepcopy(TOY)
    if isinstance(options, dict):
        content.setdefault(section, {}).update(options)
    else:
        content[section] = options
    try:
        read_graph(Config(copy.deepcopy(content)))
    except ConfigurationError:
        is_right = False
    else:
        is_right = True
    assert is_valid(content) == is_right


def test_says_what_a_key_is_for(schema):
    assert schema["properties"]["Pipeline"]["properties"]["jobs"]["description"]
    assert schema["properties"]["FakeProducer"]["properties"]["max_events"]["default"]
    for role in ("producer", "stage", "consumer"):
        for key in schema["$defs"][role]["properties"].values():
            assert key["description"]


def test_the_command_writes_it_and_takes_a_file_that_names_it(command, tmp_path, is_valid):
    done = command("--schema=schema.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["schema.json"]
    written = json.loads((tmp_path / "schema.json").read_text())
    content = {"$schema": "schema.json", "version": 1, **TOY}
    assert jsonschema.Draft202012Validator(written).is_valid(content)
    (tmp_path / "conf.json").write_text(json.dumps(content))
    assert command("--config=conf.json", "--graph=graph.mmd").returncode == 0
    assert command("--schema=schema.json").returncode == 2
    assert command("--schema=nowhere/schema.json").returncode == 2
