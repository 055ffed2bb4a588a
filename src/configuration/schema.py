"""What a configuration may say, as a JSON schema, for editors."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets
from ctapipe.core.traits import Path
from traitlets import HasTraits, TraitType

from .graph import UNLIMITED, Role
from .step_keys import (
    AUTO,
    HIGHEST_LIMIT,
    MOST_PREFETCH,
    MOST_WORKERS,
    NOT_FOR,
    RESERVED_NAMES,
    SERIALIZATIONS,
    STEP_KEYS,
    WORKER_KINDS,
)

__all__ = ["configuration_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Sections within a section are told from options by their first letter, as traitlets does it.
SECTIONS_WITHIN = {"^[A-Z]": {"type": ["object", "null"]}}
WORKERS = {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}
COUNT = {"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT}
STEP_NAME = {"type": "string", "pattern": "^[^,]+$", "not": {"enum": list(RESERVED_NAMES)}}
KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "name": ("What the step is called, unlike all others.", STEP_NAME),
    "class": ("The name of its class.", {"type": "string", "minLength": 1}),
    "module": (
        "The module with the class; not needed for one that an installed package declares.",
        {"type": ["string", "null"], "minLength": 1},
    ),
    "next_steps": (
        "The steps that it sends to, the first by default; the one listed next, if absent.",
        {"type": ["string", "array", "null"], "items": {"type": "string"}},
    ),
    "nb_thread": ("How many workers it has.", WORKERS),
    "nb_process": (
        "How many workers it has; 'auto': as many as there are cores.",
        {"anyOf": [WORKERS, {"const": AUTO}]},
    ),
    "executor": ("What its workers are.", {"enum": list(WORKER_KINDS)}),
    "queue_limit": (
        "How many messages may wait for it; -1 for no limit.",
        {"anyOf": [COUNT, {"const": UNLIMITED}]},
    ),
    "prefetch": (
        "How many messages each worker may hold.",
        {"type": "integer", "minimum": 1, "maximum": MOST_PREFETCH},
    ),
    "serialization": ("How what it sends is handed over.", {"enum": list(SERIALIZATIONS)}),
    "ordered": (
        "Whether it gets messages in the order in which the producer has sent the events.",
        {"type": "boolean"},
    ),
    "chained": (
        "Whether it runs in the workers of the stage before it.",
        {"type": "boolean"},
    ),
    "job_timeout": (
        "How long a job may take, seconds.",
        {"type": "number", "exclusiveMinimum": 0},
    ),
    "max_jobs_per_worker": (
        "After how many jobs another worker process takes the place of one.",
        COUNT,
    ),
}


def configuration_schema(pipeline: type[HasTraits], steps: Iterable[type]) -> dict[str, Any]:
    """A JSON schema of configurations, with which an editor completes and checks keys.

    It is for a configuration that is in one file. It does not know whether steps, modules and
    classes exist, nor the options of classes other than `steps`.

    Parameters
    ----------
    pipeline : type
        The class whose options are those of the section ``Pipeline``.
    steps : iterable of type
        Classes of steps whose sections it is to know.
    """
    sections = {
        step.__name__: _section(step) for step in steps if issubclass(step, traitlets.HasTraits)
    }
    section = _section(pipeline)
    section["properties"] |= {
        "producer_conf": {"$ref": "#/$defs/producer"},
        "stagers_conf": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/stage"}},
        "consumer_conf": {"$ref": "#/$defs/consumer"},
    }
    return {
        "$schema": DIALECT,
        "title": "Configuration of ctapipe-pipeline",
        "type": "object",
        "properties": {"$schema": {"type": "string"}, "version": {"const": 1}}
        | {"Pipeline": section}
        | sections,
        # Of steps by their own names, and of other classes.
        "additionalProperties": {"type": ["object", "null"]},
        "$defs": {role: _step(role) for role in ("producer", "stage", "consumer")},
    }


def _step(role: Role) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            key: {"description": KEYS[key][0], **KEYS[key][1]}
            for key in STEP_KEYS
            if (key, role) not in NOT_FOR
        },
        "required": ["name", "class"],
        "additionalProperties": False,
    }


def _section(configurable: type[HasTraits]) -> dict[str, Any]:
    traits = configurable.class_traits(config=True)
    return {
        "description": (configurable.__doc__ or "").strip().partition("\n")[0],
        # What is commented out is empty in YAML.
        "type": ["object", "null"],
        "properties": {name: _option(trait) for name, trait in sorted(traits.items())},
        "patternProperties": SECTIONS_WITHIN,
        "additionalProperties": False,
    }


def _option(trait: TraitType[Any, Any]) -> dict[str, Any]:
    schema = _values(trait)
    if schema and trait.allow_none:
        schema = {"anyOf": [schema, {"type": "null"}]}
    default = trait.default_value
    if default is not None and _is_json(default):
        schema = {"default": default, **schema}
    return {"description": " ".join(trait.help.split()), **schema} if trait.help else schema


def _values(trait: TraitType[Any, Any]) -> dict[str, Any]:
    """What an option may be; anything, if that is not known of its kind."""
    kind = type(trait)
    if kind in (traitlets.Int, traitlets.Float):
        schema: dict[str, Any] = {"type": "integer" if kind is traitlets.Int else "number"}
        limits: Mapping[str, Any] = {"minimum": "min", "maximum": "max"}
        values = {key: getattr(trait, name) for key, name in limits.items()}
        return schema | {
            key: value for key, value in values.items() if value is not None and _is_finite(value)
        }
    if kind is traitlets.Bool:
        return {"type": "boolean"}
    if kind in (traitlets.Unicode, Path):
        return {"type": "string"}
    if kind is traitlets.Enum and _is_json(trait.values):
        return {"enum": list(trait.values)}
    if kind is traitlets.List:
        return {"type": "array"}
    return {}


def _is_finite(value: float) -> bool:
    return abs(value) != float("inf")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
