"""Configurations that are nearly right, or hardly: clear lines, and nothing else."""

import copy
import json
import logging

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctapipe.pipeline import ConfigurationError, Pipeline, run

TOY = "ctapipe.pipeline.algorithms"
FULL = {
    "Pipeline": {
        "executor": "threads",
        "on_error": "skip",
        "max_errors": 3,
        "gui_address": "localhost:5565",
        "producer_conf": {
            "name": "READ",
            "class": "FakeProducer",
            "module": f"{TOY}.fake_producer",
            "next_steps": "CLEAN",
        },
        "stagers_conf": [
            {
                "name": "CLEAN",
                "class": "FakeProcess",
                "module": f"{TOY}.fake_process",
                "next_steps": ["AGAIN", "WRITE"],
                "nb_thread": 2,
                "queue_limit": 10,
                "prefetch": 3,
            },
            {
                "name": "AGAIN",
                "class": "FakeProcess",
                "module": f"{TOY}.fake_process",
                "chained": True,
                "serialization": "none",
            },
        ],
        "consumer_conf": {
            "name": "WRITE",
            "class": "FakeProcess2",
            "module": f"{TOY}.fake_process2",
            "ordered": True,
        },
    },
    "FakeProducer": {"max_events": 5},
    "CLEAN": {"TailcutsImageCleaner": {"picture_threshold_pe": 7}},
    "version": 1,
}
TOML = f"""
version = 1
[Pipeline]
executor = "threads"
producer_conf = {{ name = "READ", class = "FakeProducer", module = "{TOY}.fake_producer" }}
[[Pipeline.stagers_conf]]
name = "CLEAN"
class = "FakeProcess"
module = "{TOY}.fake_process"
[Pipeline.consumer_conf]
name = "WRITE"
class = "FakeProcess2"
module = "{TOY}.fake_process2"
[FakeProducer]
max_events = 5
"""
WORDS = st.sampled_from(
    [
        "READ",
        "CLEAN",
        "WRITE",
        "Pipeline",
        "version",
        "threads",
        "none",
        "",
        "name",
        "class",
        ".",
        "-1",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([2**31, 2**63, -(2**70), 10**400])
    | st.floats()
    | st.text(max_size=8)
    | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | WORDS, inner, max_size=3)
    ),
    max_leaves=6,
)


def places(tree, path=()):
    """Of all values in a tree of dictionaries and lists."""
    yield path
    if isinstance(tree, dict):
        for key in tree:
            yield from places(tree[key], (*path, key))
    elif isinstance(tree, list):
        for i in range(len(tree)):
            yield from places(tree[i], (*path, i))


@st.composite
def trees(draw):
    """A configuration in which a few values are others."""
    tree = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([each for each in places(tree) if each]))
        parent = tree
        for key in path:
            parent = parent[key]
        change = draw(st.sampled_from(["value", "value", "remove", "key", "copy"]))
        if change == "value":
            parent[last] = draw(VALUES)
        elif change == "remove":
            del parent[last]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        elif change == "copy":
            parent[draw(st.text(max_size=4) | WORDS)] = copy.deepcopy(parent[last])
        else:
            parent[draw(st.text(max_size=4) | WORDS)] = parent.pop(last)
    return tree


@st.composite
def texts(draw):
    """A file in which a few characters are others."""
    ending = draw(st.sampled_from(["json", "yaml", "toml"]))
    if ending == "toml":
        text = TOML
    else:
        text = json.dumps(FULL, indent=1) if ending == "json" else yaml.safe_dump(FULL)
    data = text.encode()
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(data)))
        end = begin + draw(st.sampled_from([0, 1, 1, 2, 5, 30, len(data)]))
        new = draw(
            st.binary(max_size=3)
            | st.sampled_from(list(b"{}[]:,'\"#&*!|>%@`\\\n\t\0- =.".decode())).map(str.encode)
            | st.text(max_size=3).map(lambda text: text.encode(errors="replace"))
        )
        data = data[:begin] + new + data[end:]
    return ending, data


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("configurations")


def assert_clear_lines(error):
    assert error.errors
    for line in error.errors:
        assert line.strip()
        assert not set(line) & set("\n\x1b"), line


def assert_clear(path):
    """It is right, or what is wrong is said, a line for each mistake."""
    with Pipeline() as tool:
        tool.log.setLevel(logging.CRITICAL)
        try:
            tool.initialize([f"--config={path}"])
        except ConfigurationError as error:
            assert_clear_lines(error)


def fuzz(strategy, **options):
    def decorate(test):
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
        return settings(deadline=None, suppress_health_check=checks, database=None, **options)(
            given(strategy)(test)
        )

    return decorate


def write_and_check(directory, ending, content):
    path = directory / f"damaged.{ending}"
    path.write_bytes(content)
    assert_clear(path)


@fuzz(trees(), max_examples=150, derandomize=True)
def test_other_values(directory, changed):
    write_and_check(directory, "json", json.dumps(changed).encode())


@fuzz(texts(), max_examples=150, derandomize=True)
def test_other_characters(directory, changed):
    write_and_check(directory, *changed)


@pytest.mark.full
@pytest.mark.timeout(1800)
@fuzz(trees(), max_examples=10_000)
def test_many_other_values(directory, changed):
    write_and_check(directory, "json", json.dumps(changed).encode())


@pytest.mark.full
@pytest.mark.timeout(1800)
@fuzz(texts(), max_examples=10_000)
def test_many_other_characters(directory, changed):
    write_and_check(directory, *changed)


def test_what_is_damaged_is_right(directory):
    path = directory / "right.json"
    path.write_text(json.dumps(FULL))
    with Pipeline() as tool:
        tool.initialize([f"--config={path}"])
    path = directory / "right.toml"
    path.write_text(TOML)
    with Pipeline() as tool:
        tool.initialize([f"--config={path}"])


ALIASES = "".join(
    f"{after}: &{after} {{{', '.join(f'K{i}: *{before}' for i in range(9))}}}\n"
    for before, after in zip("ABCDEFG", "BCDEFGH", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.json", '{"Pipeline": ' * 900 + "1" + "}" * 900, "nested more than 50 times, in 'Pipel"),
        ("a.yaml", "FakeProcess: &a {X: *a}", "nested more than 50 times, in 'FakeProcess'"),
        ("a.yaml", f"A: &A {{X: 1}}\n{ALIASES}", "more than 200000 values"),
        ("a.yaml", "1: {a: 2}", "the key 1 is no text; put it in quotes"),
        ("a.yaml", "Pipeline: {null: 3}", "the key None in 'Pipeline' is no text; put it in"),
        ("a.yaml", "Pipeline: {a: [{2020-01-01: 3}]}", "the key datetime.date(2020, 1, 1) in 'Pip"),
        ("a.yaml", f"A: 0x{'f' * 5000}", "a number of more than 4096 bits in 'A'"),
        ("a.yaml", f"version: 0x{'f' * 5000}", "'version' must be 1, not a int"),
        ("a.py", "import sys; sys.exit(3)", "cannot be read: 3"),
    ],
)
def test_a_file_that_holds_no_configuration(name, text, line, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        run(path)
    assert str(raised.value).startswith(f"{path}: {line}")
    assert "\n" not in str(raised.value)


def test_a_dictionary_that_is_no_configuration():
    with pytest.raises(ConfigurationError, match="a dictionary: the key 1 is no text"):
        run({1: 2})
