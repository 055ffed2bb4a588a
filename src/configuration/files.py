"""Read configuration files."""

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from traitlets.config import Config, PyFileConfigLoader

from ..errors import ConfigurationError
from .step_keys import describe_value

__all__ = ["config_of", "importable_from", "read_configuration"]

SUFFIXES = (".json", ".yaml", ".yml", ".toml", ".py")
# More than anybody writes; YAML can say it in a few lines.
DEEPEST = 50
MOST_VALUES = 200_000
MOST_BITS = 4096


def read_configuration(path: str | Path) -> Config:
    """Read one configuration file.

    Parameters
    ----------
    path : str or pathlib.Path
        A JSON, YAML, TOML or Python file, as ctapipe's tools take them.

    Raises
    ------
    ConfigurationError
        If it is not there, or is not what its suffix says.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigurationError([f"there is no configuration file {str(path)!r}"])
    try:
        content = _parse(path)
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError([f"{path}: cannot be read: {reason}"]) from error
    if not isinstance(content, dict):
        raise ConfigurationError([f"{path}: must hold sections with options, as 'Pipeline'"])
    # The format's own version, that traitlets puts into the JSON files it writes.
    version = content.pop("version", 1)
    if version != 1:
        raise ConfigurationError([f"{path}: 'version' must be 1, not {describe_value(version)}"])
    # Where an editor finds the schema.
    content.pop("$schema", None)
    return config_of(content, str(path))


def config_of(content: Mapping[str, Any], where: str) -> Config:
    """Make a configuration of what a file holds, or a dictionary.

    Parameters
    ----------
    content : mapping
        It.
    where : str
        What it is of.

    Raises
    ------
    ConfigurationError
        If it is not of such a kind that all of it can be looked at.
    """
    mistake = _mistake_in_tree(content)
    if mistake is not None:
        raise ConfigurationError([f"{where}: {mistake}"])
    return Config({key: _with_empty_sections(value) for key, value in content.items()})


def _with_empty_sections(value: Any) -> Any:
    """What YAML makes of a section of which all is commented out is nothing, and no section."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        return value
    # As traitlets tells sections from options.
    return {
        inner: _with_empty_sections(what) if inner[:1].isupper() else what
        for inner, what in value.items()
    }


def _mistake_in_tree(tree: Any) -> str | None:
    """One that would keep others from being found."""
    to_visit: list[tuple[Any, tuple[str, ...]]] = [(tree, ())]
    n_values = 0
    while to_visit:
        value, path = to_visit.pop()
        n_values += 1
        if n_values > MOST_VALUES:
            return f"more than {MOST_VALUES} values"
        if len(path) > DEEPEST:
            return f"nested more than {DEEPEST} times, in {path[0]!r}"
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(key, str):
                    place = f" in {'.'.join(path)!r}" if path else ""
                    return f"the key {describe_value(key)}{place} is no text; put it in quotes"
                to_visit.append((inner, (*path, key)))
        elif isinstance(value, list | tuple):
            to_visit += [(inner, (*path, str(i))) for i, inner in enumerate(value)]
        elif isinstance(value, int) and value.bit_length() > MOST_BITS:
            return f"a number of more than {MOST_BITS} bits in {'.'.join(path)!r}"
    return None


def _parse(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix in (".yaml", ".yml"):
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.suffix == ".toml":
        return tomllib.loads(path.read_text(encoding="utf-8"))
    if path.suffix == ".py":
        return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    raise ConfigurationError(
        [f"{path}: unknown kind of configuration file; it should end in {', '.join(SUFFIXES)}"]
    )


@contextmanager
def importable_from(paths: Iterable[str | Path]) -> Iterator[None]:
    """While entered, modules are also found beside these files and in the current directory.

    Parameters
    ----------
    paths : iterable of path
        Configuration files.
    """
    directories = [str(Path(path).expanduser().resolve().parent) for path in paths]
    added = list(dict.fromkeys([*directories, str(Path.cwd())]))
    sys.path[:0] = added
    try:
        yield
    finally:
        # The first of each, which are those; a step may have added others.
        for directory in added:
            if directory in sys.path:
                sys.path.remove(directory)
