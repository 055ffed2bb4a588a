"""The stage of the ctapipe chain that makes images of waveforms."""

import contextlib

import ctapipe
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import ArrayEventContainer
from ctapipe.core import ToolConfigurationError
from ctapipe.core.traits import Bool
from ctapipe.io import MonitoringSource

from ._ctapipe.internals import release
from ._ctapipe.processing import MONITORING_TYPES, ProcessingStep

# Of a file with images ctapipe-process then writes the pointing of the monitoring files.
FILLS_ALWAYS = release(ctapipe.__version__) >= (0, 29)


class Calibrator(ProcessingStep):
    """Stage that calibrates the waveforms of events and extracts images (DL1a).

    It does what `ctapipe.calib.CameraCalibrator` does, where ``ctapipe-process`` would.
    """

    drop_waveforms = Bool(
        True,
        help="Do not send waveforms that are not written (DataWriter.write_r0_waveforms, "
        "write_r1_waveforms); to be unset if a step after this one needs them",
    ).tag(config=True)

    def init(self) -> None:
        """Make the calibrator, and open the monitoring files.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If a monitoring source has nothing that calibration needs.
        """
        super().init()
        tool = self._tool
        subarray = tool.event_source.subarray
        self._calibrate = CameraCalibrator(subarray=subarray, parent=tool)
        self._files = contextlib.ExitStack()
        self._monitoring_sources = []
        for name in tool.monitoring_source_list:
            source = MonitoringSource.from_name(name, subarray=subarray, parent=tool)
            self._monitoring_sources.append(self._files.enter_context(source))
            if not source.has_any_monitoring_types(MONITORING_TYPES):
                needed = ", ".join(kind.name for kind in MONITORING_TYPES)
                raise ToolConfigurationError(
                    f"ProcessorTool.monitoring_source_list: {name!r} provides none of {needed}; "
                    "leave it out, or give it another file"
                )

    def run(self, event: ArrayEventContainer) -> ArrayEventContainer:
        """Calibrate one event.

        Parameters
        ----------
        event : ctapipe.containers.ArrayEventContainer
            With R1 or DL0 waveforms, if it is to be calibrated.

        Returns
        -------
        ctapipe.containers.ArrayEventContainer
            The same event, with DL1 images.
        """
        tool = self._tool
        if tool.should_calibrate or FILLS_ALWAYS:
            for source in self._monitoring_sources:
                source.fill_monitoring_container(event)
        if tool.should_calibrate:
            self._calibrate(event)
        if self.drop_waveforms:
            event.dl0.tel.clear()
            if not tool.write.write_r1_waveforms:
                event.r1.tel.clear()
            if not tool.write.write_r0_waveforms:
                event.r0.tel.clear()
        return event

    def finish(self) -> None:
        """Close the files."""
        if self._tool is not None and hasattr(self, "_files"):
            self._files.close()
        super().finish()
