"""The colours of the views, on light and on dark, and the signs that go with them.

The hues are those of Okabe and Ito, "Color Universal Design" (2008), which people with any kind
of colour vision can tell apart; no meaning has a colour alone.
"""

import dataclasses

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette, QPen

__all__ = ["STATE_SIGNS", "Colours", "colours_of", "curve_pen"]

STATE_SIGNS = {
    "starting": "…",
    "running": "▶",
    "stopping": "◼",
    "finished": "✓",
    "failed": "✗",
    "interrupted": "◼",
    "lost": "?",
}

CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
DASHES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
)


@dataclasses.dataclass(frozen=True)
class Colours:
    """What is drawn in which colour.

    Parameters
    ----------
    paper, grid, card, line, faint, ink : QColor
        The background and its dots; of boxes; lines; small and normal text.
    producer, stage, consumer : QColor
        Roles.
    lit, idle, blocked : QColor
        Workers.
    queue, good, bad : QColor
        The filling of queues; what has succeeded, and what has not.
    """

    paper: QColor
    grid: QColor
    card: QColor
    line: QColor
    faint: QColor
    ink: QColor
    producer: QColor
    stage: QColor
    consumer: QColor
    lit: QColor
    idle: QColor
    blocked: QColor
    queue: QColor
    good: QColor
    bad: QColor

    def of_state(self, state: str) -> QColor:
        """The colour of the state of a pipeline."""
        return {
            "running": self.stage,
            "finished": self.good,
            "failed": self.bad,
            "lost": self.bad,
            "interrupted": self.blocked,
            "stopping": self.blocked,
        }.get(state, self.faint)


LIGHT = Colours(
    *map(QColor, ("#F6F8FA", "#DCE2E8", "#FFFFFF", "#AEB8C4", "#5B6776", "#1B2430")),
    *map(QColor, ("#0072B2", "#007A5A", "#A3518A")),
    *map(QColor, ("#E69F00", "#C3CBD5", "#8A5A00")),
    *map(QColor, ("#8EC8EC", "#007A5A", "#C24A00")),
)
DARK = Colours(
    *map(QColor, ("#161B22", "#262E38", "#212932", "#566372", "#9AA7B5", "#E8EDF2")),
    *map(QColor, ("#56B4E9", "#2CBF94", "#DD94BE")),
    *map(QColor, ("#F0B429", "#465260", "#C79A4B")),
    *map(QColor, ("#2A6A94", "#2CBF94", "#F08A4B")),
)


def colours_of(palette: QPalette) -> Colours:
    """The colours that go with a widget's palette: light or dark.

    Parameters
    ----------
    palette : QPalette
        As the system has it.
    """
    is_dark = palette.color(QPalette.ColorRole.Window).lightness() < 128
    return DARK if is_dark else LIGHT


def curve_pen(step: int, width: float) -> QPen:
    """What the curves of a step are drawn with: its colour, and after some its dashes.

    Parameters
    ----------
    step : int
        Its index.
    width : float
        Of the line, in pixels.
    """
    pen = QPen(QColor(CURVES[step % len(CURVES)]), width)
    pen.setStyle(DASHES[step // len(CURVES) % len(DASHES)])
    pen.setCosmetic(True)
    return pen
