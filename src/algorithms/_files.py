"""What is known of a file that a tool was run on."""

import dataclasses
from typing import Literal


@dataclasses.dataclass
class FileResult:
    """What became of one input file.

    Parameters
    ----------
    input : str
        The path of the file that the tool read.
    output : str
        The path of the file that it wrote, or would have written.
    state : {"done", "skipped", "failed"}
        Whether the output is complete; ``skipped``: it was there before.
    n_events : int, optional
        How many events are in it, if that can be told.
    seconds : float
        How long the tool took.
    peak_memory_mb : float
        The largest resident memory of the process until then, MB.
    n_warnings : int
        How many warnings the tool gave.
    last_warnings : str
        The last of these that differ, in one line.
    error : str
        Why it failed, in one line; empty if it did not.
    """

    input: str
    output: str
    state: Literal["done", "skipped", "failed"]
    n_events: int | None = None
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    n_warnings: int = 0
    last_warnings: str = ""
    error: str = ""
