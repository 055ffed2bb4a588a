"""A consumer that writes a table of toy events."""

import sys
from typing import Any

from ctapipe.containers import CameraHillasParametersContainer
from ctapipe.core import Component
from ctapipe.core.traits import Path

from ._output import open_output, writing
from .fake_producer import ToyEvent

HEADER = f"{'event_id':>8}  {'intensity/p.e.':>14}  {'length/m':>8}  {'width/m':>8}  {'psi/deg':>8}"


class FakeProcess2(Component):
    """Consumer that writes a table of the toy events it receives, a row each as they arrive.

    Its columns are the event id, the Hillas parameters (NaN where there are none) and the label,
    which comes last because it may be of any length. The rows are in the order of arrival: where a
    stage before runs on several threads, this may differ from the order of the event ids.
    """

    filename = Path(
        default_value=None,
        help="File to write the table to, replaced if it exists; standard output when not given",
    ).tag(config=True)

    _output: Any = None

    def init(self) -> None:
        """Open the output and write the header of the table.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If ``filename`` cannot be created.
        """
        self._output = sys.stdout if self.filename is None else open_output(self, self.filename)
        self._write(f"{HEADER}  label")

    def run(self, message: Any) -> None:
        """Write one row.

        Parameters
        ----------
        message : ToyEvent or any
            An event; of anything else, the ``repr`` is written.

        Raises
        ------
        StepError
            If it cannot be written.
        """
        self._write(_row(message) if isinstance(message, ToyEvent) else repr(message))

    def finish(self) -> None:
        """Complete the output.

        Raises
        ------
        StepError
            If not all of it can be written.
        """
        output, self._output = self._output, None
        if output is None:
            return
        with writing(self, self.filename):
            if self.filename is None:
                output.flush()
            else:
                output.close()

    def _write(self, line: str) -> None:
        with writing(self, self.filename):
            self._output.write(f"{line}\n")


def _row(event: ToyEvent) -> str:
    hillas = event.hillas or CameraHillasParametersContainer()
    return (
        f"{event.event_id:8d}  {hillas.intensity:14.1f}"
        f"  {hillas.length.to_value('m'):8.4f}  {hillas.width.to_value('m'):8.4f}"
        f"  {hillas.psi.to_value('deg'):8.2f}  {event.label}"
    )
