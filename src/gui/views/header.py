"""What the chosen pipeline is, in two lines."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...status import wording
from ..model.shown_pipelines import ShownPipeline
from .palette import STATE_SIGNS, colours_of

__all__ = ["Header"]


class Header(QWidget):
    """Name and state; where it runs, since when, and how far it is.

    Parameters
    ----------
    parent : QWidget, optional
        What it is in.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._details = QLabel(self), QLabel(self)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 1.3)
        font.setBold(True)
        self._title.setFont(font)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 8, 14, 8)
        layout.setSpacing(1)
        for label in (self._title, self._details):
            # What others sent must not be taken for HTML.
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setMinimumWidth(80)
            layout.addWidget(label)
        self.hide()

    def show_pipeline(self, pipeline: ShownPipeline | None) -> None:
        """Show another pipeline, or the same again."""
        self.setVisible(pipeline is not None)
        if pipeline is None:
            return
        snapshot = pipeline.snapshot
        colour = colours_of(self.palette()).of_state(pipeline.state).name()
        self._title.setStyleSheet(f"color: {colour}")
        self._title.setText(f"{STATE_SIGNS[pipeline.state]}  {pipeline.name}: {pipeline.state}")
        parts = [
            f"{wording.elapsed(snapshot.elapsed_s)} elapsed",
            f"{wording.count(snapshot.events.sent)} events sent, "
            f"{wording.count(snapshot.events.finished)} finished",
            f"{wording.rate(pipeline.rates()[0])} events/s",
            f"age {wording.percentiles(snapshot.age)}",
            f"{snapshot.executor} on {snapshot.host}, process {snapshot.pid}",
        ]
        self._details.setText("   ·   ".join(parts))
