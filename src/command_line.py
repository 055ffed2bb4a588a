"""What has to be known of a command line before traitlets can read it."""

import argparse
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from traitlets import Container, Dict, HasTraits
from traitlets.config import Config
from traitlets.config.loader import DeferredConfigList, DeferredConfigString

from .configuration.suggestions import did_you_mean
from .errors import ConfigurationError

__all__ = [
    "files_and_executor",
    "names_in",
    "take_step_options",
    "unknown_options",
    "with_equals",
    "without_value",
]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError([f"command line: {message}"])


def files_and_executor(arguments: list[str]) -> tuple[list[str], str | None]:
    """The configuration files that a command line names, and the executor.

    The files say which classes there are, whose options the rest may set; with the executor
    they say where these classes are needed.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        *("-c", "--config", "--Tool.config_files", "--Pipeline.config_files"),
        action="append",
        default=[],
        dest="files",
    )
    parser.add_argument("--executor", "--Pipeline.executor")
    given, _ = parser.parse_known_args(arguments)
    return given.files, given.executor


def with_equals(arguments: Iterable[str]) -> list[str]:
    """Arguments with ``-j=8`` for ``-j8``, which traitlets does not take."""
    return [re.sub(r"^(-[A-Za-z])([0-9]+)$", r"\1=\2", argument) for argument in arguments]


def without_value(
    arguments: list[str],
    aliases: Iterable[str | Sequence[str]],
    flags: Iterable[str | Sequence[str]],
) -> list[str]:
    """One line for each option that needs a value and has none.

    Parameters
    ----------
    arguments : list of str
        The command line, without the options of steps.
    aliases, flags : iterable of str or tuple of str
        As a `ctapipe.core.Tool` has them.
    """
    errors = []
    needing = set(names_in(aliases)).difference(names_in(flags))
    for argument, following in itertools.pairwise([*arguments, None]):
        if argument == "--":
            break
        match = re.fullmatch(r"--?([A-Za-z][^=]*)", argument or "")
        is_alone = following is None or re.match(r"-[A-Za-z-]", following)
        if match and is_alone and ("." in match[1] or match[1] in needing):
            errors.append(f"command line: {argument} needs a value, {argument}=VALUE")
    return errors


def names_in(options: Iterable[str | Sequence[str]]) -> list[str]:
    """All names of options, of which each may have several.

    Parameters
    ----------
    options : iterable of str or tuple of str
        The aliases, or the flags, of a `ctapipe.core.Tool`.
    """
    return [name for names in options for name in ([names] if isinstance(names, str) else names)]


def take_step_options(
    arguments: list[str], classes: Mapping[str, type | None]
) -> tuple[list[str], Config]:
    """Take out ``--NAME.option=value`` where NAME is a step's.

    Traitlets takes only names that could be those of classes.

    Parameters
    ----------
    arguments : list of str
        The command line.
    classes : mapping of str to type
        The class of each step, by the step's name; None if it could not be loaded.

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
    others: list[str] = []
    taken = Config()
    rest = iter(arguments)
    for argument in rest:
        name, dot, option = argument.removeprefix("--").partition(".")
        if not (argument.startswith("--") and dot and name in classes):
            others.append(argument)
            continue
        option, equals, value = option.partition("=")
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                raise ConfigurationError([f"command line: {argument} needs a value"])
        *sections, option = option.split(".")
        section = taken.setdefault(name, Config())
        for nested in sections:
            section = section[nested]
        several = _takes_several(classes[name], option) and not sections
        if option in section and not several:
            raise ConfigurationError(
                [f"command line: {argument.partition('=')[0]} is given twice; give it once"]
            )
        if several:
            section[option] = DeferredConfigList([*section.get(option, []), value])
        else:
            section[option] = DeferredConfigString(value)
    return others, taken


def _takes_several(step_class: Any, option: str) -> bool:
    if step_class is None or not issubclass(step_class, HasTraits):
        return False
    traits = step_class.class_traits()
    return isinstance(traits.get(option), Container | Dict)


def unknown_options(
    arguments: list[str], known: Iterable[str], sections: Iterable[str]
) -> list[str]:
    """One line for each option that is neither an alias, nor a flag, nor ``Class.option``.

    Parameters
    ----------
    arguments : list of str
        The command line, without the options of steps.
    known : iterable of str
        The aliases and flags.
    sections : iterable of str
        The names of steps and classes, to suggest.
    """
    errors = []
    known = list(known)
    for argument in arguments:
        if argument == "--":
            break
        match = re.fullmatch(r"--?([A-Za-z][^=]*)(=.*)?", argument, re.DOTALL)
        if match and "." not in match[1] and match[1] not in known:
            nearest = did_you_mean(match[1], [name for name in known if len(name) > 1])
            errors.append(f"command line: unknown option {argument!r}{nearest}")
        elif match and "." in match[1] and not match[1][0].isupper():
            section = match[1].partition(".")[0]
            nearest = did_you_mean(section, sections)
            errors.append(
                f"command line: {argument!r}: no step and no class is named {section!r}{nearest}"
            )
    return errors
