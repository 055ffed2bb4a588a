"""Read configuration files."""

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from traitlets.config import Config, PyFileConfigLoader

from ..errors import ConfigurationError

__all__ = ["importable_from", "read_configuration"]

SUFFIXES = (".json", ".yaml", ".yml", ".toml", ".py")


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
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError([f"{path}: cannot be read: {reason}"]) from error
    if not isinstance(content, dict):
        raise ConfigurationError([f"{path}: must hold sections with options, as 'Pipeline'"])
    # The format's own version, that traitlets puts into the JSON files it writes.
    version = content.pop("version", 1)
    if version != 1:
        raise ConfigurationError([f"{path}: 'version' must be 1, not {version!r}"])
    return Config(content)


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
