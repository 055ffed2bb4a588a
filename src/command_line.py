"""What has to be known of a command line before traitlets can read it."""

import argparse
import re
from collections.abc import Iterable
from typing import NoReturn

from traitlets.config import Config
from traitlets.config.loader import DeferredConfigString

from .errors import ConfigurationError
from .names import did_you_mean

__all__ = ["configuration_files", "take_step_options", "unknown_options"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError([f"command line: {message}"])


def configuration_files(arguments: list[str]) -> list[str]:
    """The configuration files that a command line names.

    They say which classes there are, whose options the rest may set.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        *("-c", "--config", "--Tool.config_files", "--Pipeline.config_files"),
        action="append",
        default=[],
        dest="files",
    )
    return parser.parse_known_args(arguments)[0].files


def take_step_options(arguments: list[str], names: Iterable[str]) -> tuple[list[str], Config]:
    """Take out ``--NAME.option=value`` where NAME is a step's.

    Traitlets takes only names that could be those of classes.

    Returns
    -------
    list of str
        The other arguments.
    traitlets.config.Config
        The options, in a section per step.

    Raises
    ------
    ConfigurationError
        If one has no value.
    """
    names = set(names)
    others: list[str] = []
    taken: dict[str, dict[str, DeferredConfigString]] = {}
    rest = iter(arguments)
    for argument in rest:
        name, dot, option = argument.removeprefix("--").partition(".")
        if not (argument.startswith("--") and dot and name in names):
            others.append(argument)
            continue
        option, equals, value = option.partition("=")
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                raise ConfigurationError([f"command line: {argument} needs a value"])
        taken.setdefault(name, {})[option] = DeferredConfigString(value)
    return others, Config(taken)


def unknown_options(arguments: list[str], known: Iterable[str]) -> list[str]:
    """One line for each option that is neither an alias, nor a flag, nor ``Class.option``."""
    errors = []
    known = list(known)
    for argument in arguments:
        if argument == "--":
            break
        match = re.fullmatch(r"--?([A-Za-z][^=]*)(=.*)?", argument, re.DOTALL)
        if match and "." not in match[1] and match[1] not in known:
            nearest = did_you_mean(match[1], [name for name in known if len(name) > 1])
            errors.append(f"command line: unknown option {argument!r}{nearest}")
    return errors
