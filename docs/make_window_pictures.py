"""Take the pictures of the window: ``window.png``, ``window_dark.png`` and ``window_40_steps.png``.

Run ``python docs/make_window_pictures.py`` after a change. It opens the window without a screen,
runs real pipelines, each in a process of its own, and takes each picture while one is at work: the
ctapipe chain on telescope data, and forty made-up steps that wait.
"""

import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QElapsedTimer, QThread
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from ctapipe.pipeline.gui.model.receiver import Receiver
from ctapipe.pipeline.gui.views.feed import Feed
from ctapipe.pipeline.gui.views.window import Window

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
DATA = Path(
    os.environ.get("CTAPIPE_PIPELINE_TEST_DATA", DOCS.parents[1] / "shared" / "data")
).resolve()
# As Qt makes them of one colour; without a screen there is no system to ask.
LIGHT, DARK = QPalette(QColor("#efefef")), QPalette(QColor("#323639"))
DARK.setColor(QPalette.ColorRole.Base, QColor("#1b1f24"))
DARK.setColor(QPalette.ColorRole.AlternateBase, QColor("#23282e"))
LONGEST_WAIT_MS = 40_000

# Steps that wait, as those of a real chain compute: for some ms per event.
STEPS = """
import random
import time


class Events:
    def run(self):
        for event in range(100_000):
            time.sleep(0.004)
            yield event


class Work:
    def __init__(self, config=None, parent=None, **kwargs):
        pass

    def run(self, event):
        time.sleep(random.expovariate(1 / 0.01))
        return event


class Split(Work):
    def run(self, event):
        self.send_msg(event, random.choice(("LST", "NECTAR", "FLASH", "SST")) + "_CALIBRATION")


class Slow(Work):
    def run(self, event):
        time.sleep(random.expovariate(1 / 0.045))
        if event % 97 == 96:
            raise ValueError("no signal in any pixel")
        return event


class Table:
    def run(self, event):
        pass
"""


def many_steps():
    """Forty steps: a branch per telescope type, each with a chain of its own."""
    stages = [
        {
            "name": "BY_TYPE",
            "class": "Split",
            "next_steps": [f"{kind}_CALIBRATION" for kind in ("LST", "NECTAR", "FLASH", "SST")],
        }
    ]
    kinds = ("LST", "NECTAR", "FLASH", "SST")
    works = (
        *("CALIBRATION", "PEAK_TIME", "CLEANING", "DILATION", "HILLAS"),
        *("TIMING", "LEAKAGE", "CONCENTRATION", "QUALITY"),
    )
    for kind in kinds:
        for work, following in zip(works, (*works[1:], None), strict=True):
            stages.append(
                {
                    "name": f"{kind}_{work}",
                    "class": "Slow" if (kind, work) == ("NECTAR", "HILLAS") else "Work",
                    "nb_thread": 2 + (work == "CLEANING"),
                    "next_steps": f"{kind}_{following}" if following else "STEREO",
                    "queue_limit": 20,
                }
            )
    stages.append({"name": "STEREO", "class": "Work", "nb_thread": 3})
    return configuration(stages, "BY_TYPE")


def configuration(stages, first):
    """A configuration with these stages."""
    return {
        "Pipeline": {
            "on_error": "skip",
            "producer_conf": {
                "name": "SIMTEL_READER",
                "module": "work",
                "class": "Events",
                "next_steps": first,
            },
            "stagers_conf": [{"module": "work", **stage} for stage in stages],
            "consumer_conf": {"name": "DL1_WRITER", "module": "work", "class": "Table"},
        }
    }


def take(name, command, is_the_moment, palette=LIGHT, size=(1400, 840)):
    """Run a command in a directory of its own, and take a picture of the window while it runs."""
    application = QApplication.instance() or QApplication(["pictures"])
    application.setStyle("Fusion")
    application.setPalette(palette)
    with (
        tempfile.TemporaryDirectory() as directory,
        Receiver("127.0.0.1", 0, logging.getLogger()) as receiver,
    ):
        path = Path(directory)
        (path / "work.py").write_text(STEPS, encoding="utf-8")
        (path / "40_steps.json").write_text(json.dumps(many_steps()), encoding="utf-8")
        feed = Feed(receiver)
        window = Window(feed)
        window.resize(*size)
        window.show()
        pipeline = subprocess.Popen(
            [*command, f"--gui_address={receiver.address}", "--quiet"],
            cwd=path,
            stderr=subprocess.DEVNULL,
        )
        clock = QElapsedTimer()
        clock.start()
        try:
            while window.pipeline is None or not is_the_moment(window.pipeline.snapshot):
                application.processEvents()
                QThread.msleep(5)
                if clock.elapsed() > LONGEST_WAIT_MS or pipeline.poll() is not None:
                    raise RuntimeError(f"{name}: the pipeline did not run")
            window.save_picture(DOCS / name)
        finally:
            pipeline.kill()
            pipeline.wait()
            window.close()
            feed.close()


def main():
    """Take all pictures."""
    random.seed(1)
    pipeline = [sys.executable, "-m", "ctapipe.pipeline"]
    chain = [
        *pipeline,
        f"--config={EXAMPLES / 'dl1.yaml'}",
        "-j2",
        f"--input={DATA / 'lst_mono_500.simtel.zst'}",
        "--output=events.dl1.h5",
        # The file was simulated without the effective focal length.
        "--SimTelEventSource.focal_length_choice=EQUIVALENT",
    ]

    def is_half_done(snapshot):
        return snapshot.steps[-1].done >= 300

    take("window.png", chain, is_half_done)
    take("window_dark.png", chain, is_half_done, DARK)
    take(
        "window_40_steps.png",
        [*pipeline, "--config=40_steps.json"],
        lambda snapshot: snapshot.elapsed_s >= 12,
        size=(1500, 900),
    )


if __name__ == "__main__":
    main()
