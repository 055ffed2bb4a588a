"""Runs a tool on each of many files."""

import copy
import gc
import json
import os
import re
import resource
import string
import sys
import time
import uuid
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TextIO

# Where worker processes are forked from, it is imported before: they share it.
import ctapipe.tools.process  # noqa: F401
from ctapipe.core import Component, Tool, ToolConfigurationError
from ctapipe.core.traits import Bool, Unicode
from ctapipe.core.traits import Path as PathTrait
from traitlets.config import Config

from ._files import FileResult
from ._output import describe_error
from ._tool_class import find_tool
from ._tool_run import run_tool
from ._whole_file import (
    HDF5_SUFFIXES,
    can_be_read,
    has_metadata,
    n_events_in,
    part_of,
    publish,
    remove_parts,
)

DEFAULT_TOOL = "ctapipe-process"
# What says how a file is written, not what it is.
SUFFIXES = re.compile(
    r"(\.(gz|bz2|xz|zst|fz|simtel|h5|hdf5|hdf|fits|fit|(r|dl)\d[a-z]?))+$", re.IGNORECASE
)
FIELDS = ("stem", "name", "parent")
GIVEN = ("input", "output")
# Of the options that all tools have, the others are the pipeline's.
OWN_LOG_LEVEL = "log_file_level"
# The end of the log of a file whose output has its name.
COMPLETE = "# complete\n"


class ToolOptions(NamedTuple):
    """What a tool brings to the command line, but for what is given to it for each file."""

    classes: list[type]
    aliases: dict[Any, str]
    flags: dict[Any, Any]


class ToolRunner(Component):
    """Stage that runs a `ctapipe.core.Tool` on each file.

    Its messages are paths; it returns a `FileResult` for each, also if the tool has failed.
    The tool has the options that it has by itself: they stand in the same sections. It is run
    in the process of the stage, where it is one at a time; with ``executor: processes``
    another worker process takes the place of one that it ends.
    """

    tool = Unicode(
        DEFAULT_TOOL,
        help="The tool: its command, or its class, 'package.module:Class'. It has to have the "
        "options --input and --output.",
    ).tag(config=True)
    output = Unicode(
        "{stem}.dl1.h5",
        help="The name of the output of a file. {name} is the name of the file; {stem} the same "
        "without the suffixes that say how it is written (.simtel.zst, .dl1.h5, .fits.fz); "
        "{parent} the name of its directory.",
    ).tag(config=True)
    output_dir = PathTrait(
        default_value=Path(),
        file_ok=False,
        help="The directory of the outputs; it is made, if there is none.",
    ).tag(config=True)
    overwrite = Bool(False, help="Replace outputs that exist.").tag(config=True)
    skip_existing = Bool(
        False,
        help="Leave out a file whose output exists and is complete; one that is not complete is "
        "made again.",
    ).tag(config=True)

    aliases: ClassVar[dict[Any, str]] = {"output-dir": "ToolRunner.output_dir"}
    flags: ClassVar[dict[Any, Any]] = {
        "overwrite": ({"ToolRunner": {"overwrite": True}}, "Replace outputs that exist."),
        "skip-existing": (
            {"ToolRunner": {"skip_existing": True}},
            "Leave out files whose output exists and is complete.",
        ),
    }

    # Which run it is: that of all workers, which inherit it.
    _run_id: ClassVar[str] = uuid.uuid4().hex

    @classmethod
    def options_from(cls, config: Config) -> list["ToolOptions"]:
        """What else has options: the tool.

        Parameters
        ----------
        config : traitlets.config.Config
            The configuration as this step is to see it.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no such tool.
        """
        tool: Any = find_tool(str(config.get(cls.__name__, {}).get("tool", DEFAULT_TOOL)))
        aliases = {
            names: option
            for names, option in tool.aliases.items()
            if not set(GIVEN) & set(_as_tuple(names))
        }
        return [ToolOptions([tool, *tool.classes], aliases, tool.flags)]

    def init(self) -> None:
        """Find the tool.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If there is no such tool, or it cannot be given files.
        """
        self._tool_class = find_tool(self.tool)
        self._config = self._config_of_tool()
        aliases = {name for names in self._tool_class.aliases for name in _as_tuple(names)}
        for option in GIVEN:
            if option not in aliases:
                raise ToolConfigurationError(
                    f"ToolRunner.tool: the tool {self.tool!r} has no option --{option}"
                )
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.output)]
        except ValueError as error:
            raise ToolConfigurationError(f"ToolRunner.output: {self.output!r}: {error}") from None
        for field in fields:
            if field is not None and field not in FIELDS:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise ToolConfigurationError(
                    f"ToolRunner.output: {self.output!r}: there is no {{{field}}}, only {known}"
                )

    def run(self, path: str) -> FileResult:
        """Run the tool on one file.

        Parameters
        ----------
        path : str
            The file.
        """
        start = time.monotonic()
        output = self._output_of(Path(path))
        result = FileResult(str(path), str(output), "failed")
        try:
            self._make(Path(path), output, result)
        except Exception as error:
            result.error = describe_error(error)
        # What a tool has made refers to itself, with large arrays.
        gc.collect()
        result.seconds = time.monotonic() - start
        result.peak_memory_mb = _peak_memory_mb()
        return result

    def finish(self) -> None:
        """End the run."""
        ToolRunner._run_id = uuid.uuid4().hex

    def _config_of_tool(self) -> Config:
        """The configuration as the tool would see it.

        The sections in that of the step win over those at the top.
        """
        config = copy.deepcopy(self.config)
        own = config.pop(type(self).__name__, Config())
        config.merge({key: value for key, value in own.items() if isinstance(value, Config)})
        config.pop("Pipeline", None)
        for name in ("Tool", self._tool_class.__name__):
            section = config.get(name, {})
            for option in Tool.class_trait_names(config=True):
                if option != OWN_LOG_LEVEL:
                    section.pop(option, None)
        if "progress_bar" in self._tool_class.class_trait_names(config=True):
            # Those of several workers would be one over the other, and over the pipeline's.
            config[self._tool_class.__name__]["progress_bar"] = False
        return config

    def _output_of(self, path: Path) -> Path:
        name = self.output.format(
            stem=SUFFIXES.sub("", path.name) or path.name,
            name=path.name,
            parent=path.absolute().parent.name,
        )
        return self.output_dir / name

    def _make(self, path: Path, output: Path, result: FileResult) -> None:
        """Make the output of a file, unless that is there."""
        log = Path(f"{output}.log")
        self._check_for_other_input(path, log)
        if output.exists() and self._is_to_stay(path, output, log):
            result.state = "skipped"
            result.n_events = n_events_in(output)
            return
        # Of one that must not be read ctapipe says that it is of an unknown kind.
        with open(path, "rb"):
            pass
        output.parent.mkdir(parents=True, exist_ok=True)
        for made in (output, log):
            remove_parts(made, self._run_id)
        part = part_of(output, self._run_id)
        try:
            with self._claim(path, log) as log_file:
                run = run_tool(
                    self._tool_class,
                    copy.deepcopy(self._config),
                    [f"--input={path}", f"--output={part}"],
                    log_file,
                )
                result.n_warnings = run.n_warnings
                result.last_warnings = run.last_warnings.replace(str(part), str(output))
                # Who came later has taken the log, and may have taken the part.
                self._check_for_other_input(path, log)
                provenance = run.provenance.replace(_in_json(part), _in_json(output))
                Path(f"{output}.provenance.log").write_text(provenance + "\n", encoding="utf-8")
                error = run.error or _what_is_wrong(part)
                if error:
                    raise ToolConfigurationError(error.replace(str(part), str(output)))
                result.n_events = n_events_in(part)
                publish(part, output, self.overwrite or self.skip_existing)
                result.state = "done"
                log_file.write(COMPLETE)
        finally:
            part.unlink(missing_ok=True)
        for message in run.logged_errors:
            self.log.error("'%s': %s", path, message)

    def _is_to_stay(self, path: Path, output: Path, log: Path) -> bool:
        """Whether an output that is there stays.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If it must not be made again.
        """
        if output.samefile(path):
            raise ToolConfigurationError(
                f"'{output}' is the file itself; give another directory, --output-dir=DIR"
            )
        if self.skip_existing and _is_complete(output, log):
            return True
        if not (self.overwrite or self.skip_existing):
            raise ToolConfigurationError(
                f"'{output}' exists; replace it with --overwrite, or leave it with --skip-existing"
            )
        return False

    def _claim(self, path: Path, log: Path) -> TextIO:
        """Begin the log, whose first line says of which file its output is made."""
        new = part_of(log, self._run_id)
        file = open(new, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        header = {"input": str(path.resolve()), "run": self._run_id}
        file.write(f"# {json.dumps(header)}\n")
        file.flush()
        os.replace(new, log)
        return file

    def _check_for_other_input(self, path: Path, log: Path) -> None:
        """See that no other file has the same output.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If one has.
        """
        try:
            with open(log, encoding="utf-8") as file:
                header = json.loads(file.readline().removeprefix("# "))
            other, run_id = header["input"], header["run"]
        except (OSError, ValueError, LookupError, TypeError):
            return
        if other == str(path.resolve()) or (run_id != self._run_id and not self.skip_existing):
            return
        output = str(log).removesuffix(".log")
        raise ToolConfigurationError(
            f"'{path}' and '{other}' have the same output '{output}'; give them different ones: "
            "--ToolRunner.output='{parent}_{stem}.h5'"
        )


def _as_tuple(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _what_is_wrong(part: Path) -> str:
    """Why what a tool has written is no output; empty if it is."""
    if not part.exists():
        return "the tool has ended without an output"
    return "" if can_be_read(part) else f"the tool has written no {part.suffix} file"


def _is_complete(output: Path, log: Path) -> bool:
    """Whether an output was written to its end, by whomever."""
    if not can_be_read(output):
        return False
    if log.exists() and log.read_text(encoding="utf-8", errors="replace").endswith(COMPLETE):
        return True
    return output.suffix not in HDF5_SUFFIXES or has_metadata(output)


def _in_json(path: Path) -> str:
    """A path as it stands within a text of JSON."""
    return json.dumps(os.path.abspath(path))[1:-1]


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, else kB.
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
