"""What can be told of a configuration before it is checked, also of one that is wrong."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

from ctapipe.core import Tool
from traitlets.config import Config

from .installed_steps import installed_steps

__all__ = ["modules_in_processes", "pipeline_section", "with_options_of_process"]


def pipeline_section(config: Config) -> Mapping[str, Any]:
    """The section of the pipeline, of a configuration that is not checked yet."""
    section = config.get("Pipeline")
    return section if isinstance(section, Mapping) else {}


def modules_in_processes(config: Config, executor: str) -> list[str]:
    """The modules of the stages, if any of them is to run in worker processes.

    As far as can be told before they are imported, and of a configuration that may be wrong.

    Parameters
    ----------
    config : traitlets.config.Config
        All of a configuration.
    executor : str
        The executor of the pipeline.
    """
    stages = pipeline_section(config).get("stagers_conf")
    stages = stages if isinstance(stages, list | tuple) else []
    confs = [conf for conf in stages if isinstance(conf, Mapping)]
    kinds = [conf.get("executor", executor) for conf in confs]
    if executor == "sequential" or "processes" not in kinds:
        return []
    installed = installed_steps() if any("module" not in conf for conf in confs) else {}
    modules = [conf.get("module", _declared_in(conf.get("class"), installed)) for conf in confs]
    return [module for module in modules if isinstance(module, str)]


def _declared_in(class_name: Any, installed: Mapping[str, list[EntryPoint]]) -> str | None:
    declared = installed.get(class_name, []) if isinstance(class_name, str) else []
    return declared[0].module if len(declared) == 1 else None


def with_options_of_process(config: Config) -> Config:
    """With what a configuration of ``ctapipe-process`` says of tools in general.

    Parameters
    ----------
    config : traitlets.config.Config
        All of a configuration.
    """
    section = config.get("ProcessorTool", {})
    options = Tool.class_trait_names(config=True)
    merged = Config({"Tool": {name: section[name] for name in options if name in section}})
    if "progress_bar" in section:
        merged.Pipeline.progress_bar = section["progress_bar"]
    merged.merge(config)
    return merged
