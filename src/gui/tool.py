"""The command ``ctapipe-guipipe``."""

import importlib
import importlib.metadata
import inspect
import ipaddress
import os
import re
import subprocess
import sys

from ctapipe.core import Tool
from ctapipe.core.traits import Path, Unicode
from traitlets import Int
from traitlets.config import Application

from ..command_line import names_in, unknown_options
from ..errors import ConfigurationError
from ..start_up import raise_at_interrupts

__all__ = ["PipeGui", "main"]

DEFAULT_PORT = 5565
NICENESS = 10
DEBIAN_PACKAGES = (
    "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 libxcb-cursor0"
)


class PipeGui(Tool):
    """Show the pipelines that run here, or on other machines, in a window."""

    name = "ctapipe-guipipe"
    description = __doc__
    examples = inspect.cleandoc("""
    Open the window; pipelines that run on this machine appear in it:

        ctapipe-guipipe

    Listen to pipelines on other machines, too; see the documentation for the key:

        ctapipe-guipipe --PipeGui.host=* --PipeGui.server_key_file=window.key_secret

    Write a picture of the next run that ends, on a machine without a screen:

        ctapipe-guipipe --PipeGui.screenshot=run.png
    """)

    port = Int(
        DEFAULT_PORT,
        min=0,
        max=65535,
        help="The port that pipelines connect to; 0 for any that is free.",
    ).tag(config=True)
    host = Unicode(
        "127.0.0.1",
        help="The address of this machine to listen on; * for all of them. With the default, "
        "only pipelines on this machine can connect.",
    ).tag(config=True)
    server_key_file = Path(
        default_value=None,
        allow_none=True,
        exists=True,
        directory_ok=False,
        help="The file with the window's secret key; only pipelines that know its public key "
        "can connect then, and what they send is encrypted.",
    ).tag(config=True)
    screenshot = Path(
        default_value=None,
        allow_none=True,
        directory_ok=False,
        help="Write a picture of the first run that ends to this PNG file, and end; an old file "
        "is replaced only with --overwrite.",
    ).tag(config=True)

    aliases = {  # noqa: RUF012 (traitlets wants a plain dictionary)
        "port": "PipeGui.port",
        "host": "PipeGui.host",
        "screenshot": "PipeGui.screenshot",
    }

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.version = importlib.metadata.version("ctapipe-pipeline")

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Read the command line.

        Parameters
        ----------
        argv : list of str, optional
            Its arguments; those of this process, if not given.

        Raises
        ------
        ConfigurationError
            If it has an option that there is not.
        traitlets.TraitError
            If the value of an option is wrong.
        """
        raise_at_interrupts()
        arguments = list(sys.argv[1:] if argv is None else argv)
        known = ["h", "help", "help-all", "V", "version", *names_in([*self.aliases, *self.flags])]
        errors = unknown_options(arguments, known, ["PipeGui", "Tool"])
        if errors:
            raise ConfigurationError(errors)
        # Unwrapped, because the wrapper turns a wrong value into the exit code 1.
        inspect.unwrap(Application.parse_command_line)(self, arguments)

    def setup(self) -> None:
        """See that there is a screen to open a window on, and listen."""
        if self.screenshot is not None:
            if not self.screenshot.parent.is_dir():
                raise ConfigurationError(
                    [f"PipeGui.screenshot: there is no directory {str(self.screenshot.parent)!r}"]
                )
            self.check_output(self.screenshot)
        self._find_qt()
        from .model.receiver import Receiver

        key = None if self.server_key_file is None else str(self.server_key_file)
        host = "127.0.0.1" if self.host == "localhost" else self.host
        self._receiver = self.enter_context(Receiver(host, self.port, self.log, key))
        if key is None and not _is_loopback(host):
            self.log.warning(
                "everybody who reaches %s can send what the window shows; "
                "--PipeGui.server_key_file keeps strangers out",
                self._receiver.address,
            )

    def start(self) -> None:
        """Show the window until it is closed."""
        from .views.application import show_window

        if show_window(self._receiver, self.log, self.screenshot) is not None:
            raise KeyboardInterrupt

    def finish(self) -> None:
        """Nothing is left to do."""

    def write_provenance(self) -> None:
        """Nothing: a window makes no data."""

    def _find_qt(self) -> None:
        for module in ("PySide6.QtWidgets", "pyqtgraph", "grandalf"):
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise ConfigurationError(
                    [f"the window needs {error.name}: pip install 'ctapipe-pipeline[gui]'"]
                ) from error
            except ImportError as error:
                raise ConfigurationError(
                    [
                        f"the window needs a library of the system: {error}; on Debian or "
                        f"Ubuntu: apt-get install {DEBIAN_PACKAGES}"
                    ]
                ) from error
        names_screen = sys.platform != "linux" or any(
            os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
        )
        problem = _complaint_of_qt() if names_screen else "DISPLAY is not set"
        if problem and self.screenshot is not None:
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
        elif problem:
            raise ConfigurationError(
                [
                    f"there is no screen to show a window on ({problem}); "
                    "--screenshot=FILE.png writes a picture of a run all the same"
                ]
            )


def _complaint_of_qt() -> str:
    """Why Qt cannot open a window here; nothing if it can."""
    # In a process of its own, because it aborts that.
    trial = "from PySide6.QtWidgets import QApplication; QApplication([])"
    done = subprocess.run(
        [sys.executable, "-c", trial],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return ""
    first = next(iter(done.stderr.splitlines()), f"exit code {done.returncode}")
    complaint = re.sub(r"^qt\.\S+: ", "", first).rstrip(".")
    if "xcb-cursor" in complaint:
        complaint += f"; on Debian or Ubuntu: apt-get install {DEBIAN_PACKAGES}"
    return complaint


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main() -> None:
    """Run the command."""
    # To wake it must not interrupt the pipelines that it shows, where all cores are busy.
    os.nice(NICENESS)
    PipeGui().run()
