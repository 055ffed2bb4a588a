"""What the steps of the ctapipe chain have in common: its sections, and what is to be computed."""

import contextlib
import copy
import os
import threading
from typing import Any, ClassVar

import ctapipe
import ctapipe.image
from ctapipe.calib import CameraCalibrator, GainSelector
from ctapipe.core import Component, QualityQuery, Tool, ToolConfigurationError
from ctapipe.exceptions import InputMissing
from ctapipe.image import ImageCleaner, ImageExtractor, ImageModifier, ImageProcessor
from ctapipe.image.muon.processor import MuonProcessor
from ctapipe.instrument import SoftwareTrigger
from ctapipe.io import DataLevel, DataWriter, EventSource, MonitoringSource, MonitoringType
from ctapipe.io.metadata import Contact, Instrument
from ctapipe.reco import Reconstructor, ShowerProcessor
from ctapipe.tools import process
from ctapipe.utils import EventTypeFilter
from traitlets import TraitError
from traitlets.config import Config

from .._input import cannot_read, is_damage
from .cameras import share_geometries

WaveformModifier = getattr(ctapipe.image, "WaveformModifier", None)  # since ctapipe 0.31

# What ctapipe-process can use, of a file with events and of one with monitoring data.
DATA_LEVELS = (DataLevel.R1, DataLevel.DL0, DataLevel.DL1_IMAGES, DataLevel.DL1_PARAMETERS)
MONITORING_TYPES = (
    MonitoringType.PIXEL_STATISTICS,
    MonitoringType.CAMERA_COEFFICIENTS,
    MonitoringType.TELESCOPE_POINTINGS,
)
# What ctapipe-process makes, and so the chain does; with all classes that inherit.
COMPONENTS = (
    CameraCalibrator,
    Contact,
    DataWriter,
    EventSource,
    EventTypeFilter,
    GainSelector,
    ImageCleaner,
    ImageExtractor,
    ImageModifier,
    ImageProcessor,
    Instrument,
    MonitoringSource,
    MuonProcessor,
    QualityQuery,
    Reconstructor,
    ShowerProcessor,
    SoftwareTrigger,
    *([WaveformModifier] if WaveformModifier else []),
)

ADVICE = "give an event file, --input=FILE"
OPTIONS_OF_PROCESS = process.ProcessorTool.class_own_traits(config=True)


class ProcessorTool(Component):
    """The options that ``ctapipe-process`` has in its section, and what follows from them.

    It is the parent of ctapipe's components, as it is there, so that their sections can
    stand at the top of the configuration or in this one.
    """

    progress_bar = copy.copy(OPTIONS_OF_PROCESS["progress_bar"])
    force_recompute_dl1 = copy.copy(OPTIONS_OF_PROCESS["force_recompute_dl1"])
    force_recompute_dl2 = copy.copy(OPTIONS_OF_PROCESS["force_recompute_dl2"])
    monitoring_source_list = copy.copy(OPTIONS_OF_PROCESS["monitoring_source_list"])
    if "add_nsb_in_waveforms" in OPTIONS_OF_PROCESS:  # since ctapipe 0.31
        add_nsb_in_waveforms = copy.copy(OPTIONS_OF_PROCESS["add_nsb_in_waveforms"])

    # ctapipe decides what is computed, from the options, the writer and the input.
    should_calibrate = process.ProcessorTool.should_calibrate
    should_compute_dl1 = process.ProcessorTool.should_compute_dl1
    should_compute_dl2 = process.ProcessorTool.should_compute_dl2
    should_compute_muon_parameters = process.ProcessorTool.should_compute_muon_parameters

    def __init__(self, config: Config, event_source: EventSource | None = None) -> None:
        _check_options(config)
        super().__init__(config=config)
        self.event_source: Any = event_source
        # Its options only: to make one creates the file.
        self.write = DataWriter.__new__(DataWriter)
        Component.__init__(self.write, parent=self)


class SharedEventSource:
    """The event source of a run, open as long as a step of this process needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._source: EventSource | None = None
        self._n_users = 0

    def acquire(self, tool: ProcessorTool) -> EventSource:
        """Open it, unless it is open.

        Parameters
        ----------
        tool : ProcessorTool
            Its parent.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no file, or no event source can read it.
        """
        with self._lock:
            if self._source is None:
                self._source = self._stack.enter_context(_open(tool))
                share_geometries(self._source.subarray)
            self._n_users += 1
            return self._source

    def release(self) -> None:
        """Close it after its last user."""
        with self._lock:
            self._n_users -= 1
            if self._n_users == 0:
                self._source = None
                self._stack.close()


class ProcessingStep(Component):
    """A step of the ctapipe chain.

    Its options, those of ctapipe's components and those of ``ctapipe-process`` come from
    the sections that ``ctapipe-process`` has. Its messages are
    `ctapipe.containers.ArrayEventContainer`.
    """

    # What it brings to the command line.
    aliases: ClassVar[dict[Any, str]] = process.ProcessorTool.aliases
    flags: ClassVar[dict[Any, Any]] = process.ProcessorTool.flags
    classes: ClassVar[list[type]] = [ProcessorTool, *process.ProcessorTool.classes]

    _tool: Any = None

    def init(self) -> None:
        """Open the input.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no input file, or no event source can read it.
        StepError
            If it is damaged.
        """
        tool = ProcessorTool(self._config_of_chain())
        tool.log = self.log
        try:
            tool.event_source = self._shared_source().acquire(tool)
        except ToolConfigurationError:
            raise
        except Exception as error:
            path = _input_url(tool.config)
            if _means_several(path):
                raise ToolConfigurationError(
                    f"EventSource.input_url: {path!r} is no file, and this pipeline reads one; "
                    "for many files, one by one, --config=examples/many_files.yaml "
                    f"--input={path!r}"
                ) from error
            if isinstance(error, TraitError):
                raise
            if is_damage(error, path):
                raise cannot_read(self, path, "the beginning", error) from None
            reason = str(error).partition("\n")[0]
            raise ToolConfigurationError(
                f"EventSource.input_url: cannot read events from '{path}': {reason}; {ADVICE}"
            ) from error
        self._tool = tool

    def finish(self) -> None:
        """Let the input be closed."""
        tool, self._tool = self._tool, None
        if tool is not None:
            self._shared_source().release()

    def _shared_source(self) -> SharedEventSource:
        return self.parent.shared.setdefault("event source", SharedEventSource())

    def _config_of_chain(self) -> Config:
        """The configuration as ``ctapipe-process`` would see it.

        The sections in that of the step win over those at the top.
        """
        config = copy.deepcopy(self.config)
        own = config.pop(type(self).__name__, Config())
        config.merge({key: value for key, value in own.items() if isinstance(value, Config)})
        # The options that all tools have are the pipeline's.
        section = config.get("ProcessorTool", {})
        for option in Tool.class_trait_names(config=True):
            section.pop(option, None)
        return config


def make_shower_processor(tool: ProcessorTool) -> ShowerProcessor:
    """Make what reconstructs showers.

    Parameters
    ----------
    tool : ProcessorTool
        With an open event source.

    Raises
    ------
    ctapipe.core.ToolConfigurationError
        If a reconstructor needs an atmosphere profile and the input has none.
    """
    source = tool.event_source
    profile = source.atmosphere_density_profile
    try:
        return ShowerProcessor(subarray=source.subarray, atmosphere_profile=profile, parent=tool)
    except TypeError as error:
        if profile is not None:
            raise
        raise ToolConfigurationError(
            f"ShowerProcessor.reconstructor_types: {error} '{source.input_url}' has no atmosphere "
            "profile; choose other reconstructors, --reconstructor=NAME"
        ) from error


def _check_options(config: Config) -> None:
    """Nothing that ctapipe-process would do is left out in silence.

    Raises
    ------
    ctapipe.core.ToolConfigurationError
        If an option of it is set that the chain does not know: of a version to come.
    """
    own = ProcessorTool.class_trait_names(config=True)
    unknown = [
        f"ProcessorTool.{name}"
        for name, value in config.get("ProcessorTool", {}).items()
        if not isinstance(value, Config) and name not in own
    ]
    sections = {
        component.__name__
        for component in process.ProcessorTool.classes
        if not issubclass(component, COMPONENTS)
    }
    unknown += _options_in(config, sections)
    if unknown:
        names = ", ".join(unknown)
        raise ToolConfigurationError(
            f"{names}: ctapipe-process of ctapipe {ctapipe.__version__} knows it, the ctapipe "
            "chain does not; leave it out, use ctapipe-process, or a newer ctapipe.pipeline"
        )


def _options_in(config: Config, sections: set[str]) -> list[str]:
    """The options of sections, which can be anywhere in a configuration."""
    found = []
    for name, value in config.items():
        if isinstance(value, Config):
            if name in sections:
                found += [f"{name}.{option}" for option in value]
            else:
                found += _options_in(value, sections)
    return found


def _input_url(config: Config) -> str:
    """The file, as far as a configuration says it."""
    sections = {"EventSource", *EventSource.non_abstract_subclasses()}
    for name, value in config.items():
        if isinstance(value, Config):
            found = value.get("input_url") if name in sections else _input_url(value)
            if found:
                return str(found)
    return ""


def _means_several(path: str) -> bool:
    """Whether `FileFinder` could take it for several files."""
    if os.path.isfile(path):
        return False
    return os.path.isdir(path) or path == "-" or path[:1] == "@" or any(c in path for c in "*?[")


def _open(tool: ProcessorTool) -> EventSource:
    try:
        return EventSource(parent=tool)
    except InputMissing:
        raise ToolConfigurationError(f"EventSource.input_url is not set; {ADVICE}") from None
