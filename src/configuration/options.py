"""The options of the steps: check what a configuration says, find what is for one step."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ctapipe.core import ToolConfigurationError
from traitlets import HasTraits, TraitError
from traitlets.config import Config, Configurable
from traitlets.config.loader import DeferredConfig

from .earlier_names import advice_on
from .step_keys import describe_value
from .suggestions import did_you_mean

__all__ = ["check_options", "config_of_step", "options_from_elsewhere"]


def check_options(config: Config, classes: Mapping[str, type], names: Iterable[str]) -> list[str]:
    """The mistakes in a configuration's options, one line each.

    Parameters
    ----------
    config : traitlets.config.Config
        All of a configuration.
    classes : mapping of str to type
        The class of each step that could be loaded, by the step's name.
    names : iterable of str
        The names of all steps.
    """
    errors = []
    names = list(names)
    configurables = _loaded_configurables()
    for section, content in config.items():
        if section == "version":
            continue
        if not isinstance(content, Mapping) and section in ("Pipeline", *names):
            errors.append(
                f"{section!r} must be a section with options, not {describe_value(content)}"
            )
        elif not isinstance(content, Mapping):
            errors.append(
                f"unknown key {section!r} at the top of the configuration"
                + did_you_mean(section, ["Pipeline", "version", *names], more=configurables)
            )
        elif section in names:
            # A class that could not be loaded is a mistake that is reported already.
            step_class = classes.get(section)
            if step_class is None:
                continue
            if issubclass(step_class, Configurable):
                errors += _check_name(step_class)
                errors += _check_section(f"step {section!r}", Config(content), [step_class])
            elif content:
                errors.append(
                    f"step {section!r}: its class {step_class.__name__!r} takes no options; "
                    "it is no ctapipe.core.Component"
                )
        elif section in configurables:
            errors += _check_name(configurables[section][0])
            errors += _check_section(section, content, configurables[section])
        elif content:
            step_classes = [step_class.__name__ for step_class in classes.values()]
            nearest = advice_on(section) or did_you_mean(
                section, ["Pipeline", *names, *step_classes], more=configurables
            )
            errors.append(
                f"unknown section {section!r}: no step and no class has this name{nearest}"
            )
    return errors


def config_of_step(config: Config, command_line: Config, name: str, step_class: type) -> Config:
    """The configuration as one step is to see it.

    What is said under the step's own name is put into the section of its class, where
    the class looks for it. The command line wins over the files, and within each the
    step's own name over its class.

    Parameters
    ----------
    config, command_line : traitlets.config.Config
        What the files and what the command line say.
    name : str
        The step's name.
    step_class : type
        Its class.
    """
    merged = Config()
    for source in (config, command_line):
        # Copies, because merging keeps what it is given and changes it later.
        merged.merge(copy.deepcopy(source))
        own = source.get(name)
        if own and name != step_class.__name__:
            merged.merge(Config({step_class.__name__: Config(copy.deepcopy(own))}))
    # Its options are the pipeline's; the sections in it can be the step's.
    section = merged.pop("Pipeline", {})
    nested = {key: value for key, value in section.items() if isinstance(value, Config)}
    merged.merge(Config({"Pipeline": nested}))
    return merged


def options_from_elsewhere(
    config: Config, command_line: Config, classes: Mapping[str, type | None]
) -> tuple[list[Any], list[str]]:
    """What else has options, of steps whose ``options_from`` says so: a tool that one runs.

    Parameters
    ----------
    config, command_line : traitlets.config.Config
        What the files and what the command line say.
    classes : mapping of str to type
        The class of each step, by the step's name; None if it could not be loaded.

    Returns
    -------
    list
        With ``classes``, ``aliases`` and ``flags``, as a `ctapipe.core.Tool` has them.
    list of str
        Why it cannot be told, one line each.
    """
    found: list[Any] = []
    errors = []
    for name, step_class in classes.items():
        options_from = getattr(step_class, "options_from", None)
        if step_class is None or options_from is None:
            continue
        try:
            of_step = config_of_step(config, command_line, name, step_class)
            found += options_from(of_step)
        except ToolConfigurationError as error:
            errors.append(f"step {name!r}: {error}")
    return found, errors


def _check_name(configurable: type[Configurable]) -> list[str]:
    if configurable.__name__[0].isupper():
        return []
    return [
        f"the options of the class {configurable.__name__!r} cannot be set: its name must begin "
        "with a capital letter"
    ]


def _loaded_configurables() -> dict[str, list[type[Configurable]]]:
    """Every configurable class that the steps' modules have brought in, by name."""
    found: dict[str, list[type[Configurable]]] = {}
    to_visit: list[type[Configurable]] = [Configurable]
    seen = set()
    while to_visit:
        configurable = to_visit.pop()
        if configurable not in seen:
            seen.add(configurable)
            found.setdefault(configurable.__name__, []).append(configurable)
            to_visit += configurable.__subclasses__()
    return found


def _check_section(
    where: str, content: Mapping[str, Any], classes: list[type[Configurable]]
) -> Iterator[str]:
    traits: dict[str, list[tuple[type[Configurable], Any]]] = {}
    # A section of a base class holds options of all classes that are made from it.
    to_visit = list(classes)
    while to_visit:
        configurable = to_visit.pop()
        to_visit += configurable.__subclasses__()
        for name, trait in configurable.class_traits(config=True).items():
            traits.setdefault(name, []).append((configurable, trait))
    for key, value in content.items():
        if isinstance(value, Config):
            configurables = _loaded_configurables()
            if key in configurables:
                yield from _check_section(f"{where}: {key}", value, configurables[key])
            elif value:
                yield (
                    f"{where}: unknown section {key!r}: no class has this name"
                    + did_you_mean(key, configurables)
                )
        elif key not in traits:
            nearest = advice_on(key) if where == "Pipeline" else ""
            yield f"{where}: unknown option {key!r}{nearest or did_you_mean(key, traits)}"
        else:
            problems = [_problem(value, *declared) for declared in traits[key]]
            if all(problems):
                yield f"{where}: option {key!r}: {problems[0]}"


def _problem(value: Any, configurable: type[Configurable], trait: Any) -> str | None:
    """Why a trait of a class does not take a value, if so."""
    try:
        if isinstance(value, DeferredConfig):
            value = value.get_value(trait)
        if not (value is None and trait.allow_none) and hasattr(trait, "validate"):
            # An instance to name in the message; it is not initialized, and what its own class
            # asks for is not there.
            trait.validate(HasTraits.__new__(configurable), value)
    except (TraitError, ValueError) as error:
        return str(error)
    except Exception:
        # A trait that needs its object says so itself, when the step is made.
        return None
    return None
