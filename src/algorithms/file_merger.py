"""Merges the files that were made of many files into one."""

import contextlib
import dataclasses
import itertools
from pathlib import Path
from typing import Any, ClassVar

import tables
from ctapipe.core import Component, Provenance, ToolConfigurationError
from ctapipe.core.traits import Bool
from ctapipe.io import HDF5Merger
from ctapipe.io import metadata as meta
from ctapipe.io.hdf5merger import CannotMerge
from ctapipe.tools.merge import MergeTool

from .. import StepError
from ._ctapipe.complete_file import close_completely
from ._files import FileResult
from ._output import describe_error
from ._whole_file import part_of, publish, remove_parts

ADVICE = "--merged=FILE"


class FileMerger(Component):
    """Stage or consumer that merges the output of each `FileResult`, as ``ctapipe-merge`` does.

    It has to be ``ordered``: files are then merged in the order of the inputs, each as soon as
    it is its turn. It has one worker, in the main process, and tools that write HDF5 files run
    in others. Its options are those of `ctapipe.io.HDF5Merger`.

    The merged file has its name when all files have been merged. A file that has failed is not
    in it, nor is one whose worker process has died, and a warning says how many there are. When
    a run ends early, there is no merged file.

    As a stage it hands each result on, one that cannot be merged as one that has failed. As the
    consumer it takes a result that has failed for an error of its own.
    """

    skip_existing = Bool(
        False,
        help="Make a merged file that exists again, of all files: also of those that the tool "
        "leaves out because their output exists.",
    ).tag(config=True)

    classes: ClassVar[list[type]] = [HDF5Merger]
    aliases: ClassVar[dict[Any, str]] = {"merged": "HDF5Merger.output_path"}
    flags: ClassVar[dict[Any, Any]] = {
        "single-ob": MergeTool.flags["single-ob"],
        "overwrite": ({"HDF5Merger": {"overwrite": True}}, "Replace the merged file."),
        "skip-existing": (
            {"FileMerger": {"skip_existing": True}},
            "Make the merged file again, of all files.",
        ),
    }

    _merge: Any = None
    _failure: StepError | None = None

    def init(self) -> None:
        """Begin the merged file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If it has no name, if there is one of that name that is not to be replaced, or if it
            cannot be written.
        """
        # Its options only: to make one creates the file.
        options = HDF5Merger.__new__(HDF5Merger)
        Component.__init__(options, parent=self)
        if not isinstance(options.output_path, Path):
            raise ToolConfigurationError(
                f"HDF5Merger.output_path is not set; name the merged file, {ADVICE}"
            )
        if options.append:
            raise ToolConfigurationError(
                "HDF5Merger.append: a pipeline makes a new file; merge that with the other, "
                "ctapipe-merge --append"
            )
        self._path: Path = options.output_path
        self._overwrite: bool = options.overwrite or self.skip_existing
        if self._path.exists() and not self._overwrite:
            raise ToolConfigurationError(
                f"HDF5Merger.output_path: '{self._path}' exists; give another name, {ADVICE}, or "
                "make it again, --skip-existing, or it and all other outputs, --overwrite"
            )
        self._part = part_of(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            remove_parts(self._path)
            self._merge = HDF5Merger(output_path=self._part, parent=self)
        except (OSError, tables.HDF5ExtError) as error:
            raise ToolConfigurationError(
                f"HDF5Merger.output_path: cannot write '{self._path}' ({error}); give a file in "
                f"a directory that you can write to, {ADVICE}"
            ) from error
        self._states: dict[str, str] = {}

    def run(self, result: FileResult) -> FileResult | None:
        """Merge one file.

        Parameters
        ----------
        result : FileResult
            What has become of the input, and where the file is that was made of it.

        Returns
        -------
        FileResult or None
            The same, unless it could not be merged; None from a consumer.

        Raises
        ------
        StepError
            From a consumer, if the file has failed.
        """
        if result.state != "failed" and self._failure is None:
            why_not = self._merge_file(result.output)
            if why_not:
                result = dataclasses.replace(result, state="failed", error=why_not)
        self._states[result.input] = result.state
        if self.next_steps:
            return result
        if result.state == "failed":
            raise StepError(self.name, f"{result.input}: {result.error}")
        return None

    def finish(self) -> None:
        """Give the merged file its name, if it is complete.

        Raises
        ------
        StepError
            If it cannot be written.
        """
        merge, self._merge = self._merge, None
        if merge is None:
            return
        try:
            if self._is_complete():
                self._complete(merge)
        except (OSError, tables.HDF5ExtError) as error:
            self._failure = self._no_merged_file("cannot write it", error)
        finally:
            with contextlib.suppress(Exception):
                merge.h5file.close()
            self._part.unlink(missing_ok=True)
        if self._failure is not None:
            raise self._failure from None

    def _merge_file(self, path: str) -> str:
        """Append a file, and say why it cannot be done, in one line; empty if it can."""
        try:
            file = tables.open_file(path)
        except (OSError, tables.HDF5ExtError) as error:
            return f"cannot be merged: {describe_error(error)}"
        with file:
            try:
                self._merge(file)
            except CannotMerge as error:
                # It is found before anything is written.
                reason = f"cannot be merged: {error}"
                if "obs_id" in reason and not self._merge.single_ob:
                    reason += "; merge chunks of one observation with --single-ob"
                return reason
            except Exception as error:
                self._failure = self._no_merged_file(f"cannot append '{path}'", error)
                return f"cannot be merged: {describe_error(error)}"
        return ""

    def _no_merged_file(self, what: str, error: Exception) -> StepError:
        return StepError(
            self.name,
            f"there is no merged file '{self._path}': {what}: {describe_error(error)}; make room, "
            f"write elsewhere, {ADVICE}, or leave out a file that is damaged",
        )

    def _is_complete(self) -> bool:
        if self._failure is not None:
            return False
        files = [*dict.fromkeys(self.parent.shared.get("files") or self._states)]
        if not files:
            return False
        without_result = [*itertools.takewhile(lambda file: file not in self._states, files[::-1])]
        n_merged = sum(state != "failed" for state in self._states.values())
        if without_result or not n_merged:
            self.log.warning(
                "there is no merged file '%s': %s",
                self._path,
                f"the run ended before '{without_result[-1]}'" if without_result else "all failed",
            )
            return False
        if n_merged < len(files):
            self.log.warning(
                "'%s' has %d of %d files: the others have failed",
                self._path,
                n_merged,
                len(files),
            )
        return True

    def _complete(self, merge: HDF5Merger) -> None:
        activity = Provenance().current_activity.provenance
        merge.meta.activity = meta.Activity.from_provenance(activity)
        meta.write_to_hdf5(merge.meta.to_dict(), merge.h5file)
        close_completely(merge.h5file, merge.h5file.close)
        publish(self._part, self._path, self._overwrite)
        Provenance().add_output_file(str(self._path), role=type(self).__name__)
