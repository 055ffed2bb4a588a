"""Steps that installed packages declare."""

import json
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from checkout import ROOT

from ctapipe.pipeline import ConfigurationError, run
from ctapipe.pipeline import algorithms as ready_made

STEPS = '''
class Numbers:
    """Producer of three numbers.

    They are small.
    """

    def run(self):
        yield from range(3)


class Double:
    """Stage that doubles a number."""

    def run(self, number):
        return 2 * number


class Write:
    def run(self, number):
        with open("numbers.txt", "a") as file:
            print(number, file=file)
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with these steps, and returns where."""

    def install_package(name, *classes, steps=STEPS):
        site = tmp_path / "site"
        module = name.replace("-", "_") + "_steps"
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(steps)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{name} = {module}:{name}" for name in classes]
        text = "\n".join(["[ctapipe.pipeline.steps]", *lines, ""])
        (metadata / "entry_points.txt").write_text(text)
        monkeypatch.syspath_prepend(site)

    return install_package


def configuration(**keys):
    return {
        "Pipeline": {
            "producer_conf": {"name": "NUMBERS", "class": "Numbers"},
            "stagers_conf": [{"name": "DOUBLE", "class": "Double", **keys}],
            "consumer_conf": {"name": "WRITE", "class": "Write"},
        }
    }


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_class_is_found_by_its_name_alone(install, command, tmp_path, executor):
    install("gamma-tools", "Numbers", "Double", "Write")
    (tmp_path / "conf.json").write_text(json.dumps(configuration()))
    done = command("--config=conf.json", f"--executor={executor}")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted((tmp_path / "numbers.txt").read_text().split()) == ["0", "2", "4"]


def mistakes(configuration):
    with pytest.raises(ConfigurationError) as caught:
        run(configuration)
    return caught.value.errors


def test_two_packages_with_the_same_class_are_one_line(install):
    install("gamma-tools", "Numbers", "Double", "Write")
    install("other-tools", "Double")
    (mistake,) = mistakes(configuration())
    assert mistake.startswith("step 'DOUBLE': the class 'Double' is declared by several packages: ")
    assert "gamma-tools (gamma_tools_steps)" in mistake
    assert "other-tools (other_tools_steps)" in mistake
    assert mistake.endswith("; say which with 'module'")


def test_a_class_that_nobody_declares_gets_the_nearest(install):
    install("gamma-tools", "Numbers", "Double", "Write")
    wrong = configuration()
    wrong["Pipeline"]["stagers_conf"][0]["class"] = "Dubble"
    assert mistakes(wrong) == (
        "step 'DOUBLE': the key 'module' is missing, and no installed package declares the class "
        "'Dubble' (did you mean 'Double'?)",
    )


def test_list(install, command, tmp_path):
    install("gamma-tools", "Numbers", "Double", "Gone")
    before = set(tmp_path.iterdir())
    done = command("--list-steps")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(tmp_path.iterdir()) == before
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    double = ["stage or consumer", "gamma-tools", "Stage that doubles a number."]
    assert [part.strip() for part in lines["Double"].split("  ") if part][1:] == double
    numbers = ["producer", "gamma-tools", "Producer of three numbers."]
    assert [part.strip() for part in lines["Numbers"].split("  ") if part][1:] == numbers
    assert "the module 'gamma_tools_steps' has no class 'Gone'" in lines["Gone"]


def test_all_ready_made_steps_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"]["ctapipe.pipeline.steps"]
    for name, value in declared.items():
        module, _, class_name = value.partition(":")
        assert class_name == name
        assert callable(getattr(import_module(module), name).run)
    modules = {value.partition(":")[0].rpartition(".")[2] for value in declared.values()}
    algorithms = Path(ready_made.__file__).parent.glob("[a-z]*.py")
    assert modules == {path.stem for path in algorithms}
