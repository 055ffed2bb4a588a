"""A consumer that writes lines of text to a file."""

from typing import Any

from ctapipe.core import Component
from ctapipe.core.traits import Path

from ._output import open_output, writing


class StringWriter(Component):
    """Consumer that writes each message as a line of a text file, in the order of arrival."""

    filename = Path(
        default_value="string_writer.txt", help="File to write to, replaced if it exists"
    ).tag(config=True)

    _output: Any = None

    def init(self) -> None:
        """Create the file.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If ``filename`` cannot be written.
        """
        self._output = open_output(self, self.filename)
        self._n_lines = 0

    def run(self, message: str) -> None:
        """Write one line.

        Parameters
        ----------
        message : str
            The line, without an end of line.

        Raises
        ------
        StepError
            If it cannot be written.
        """
        with writing(self, self.filename):
            self._output.write(f"{message}\n")
        self._n_lines += 1

    def finish(self) -> None:
        """Close the file.

        Raises
        ------
        StepError
            If not all of it can be written.
        """
        output, self._output = self._output, None
        if output is not None:
            with writing(self, self.filename):
                output.close()
            self.log.info("Wrote %d lines to %s", self._n_lines, self.filename)
