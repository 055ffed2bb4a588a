"""A stage that sorts telescope events by the type of their telescope."""

from collections.abc import Callable
from typing import Any

from ctapipe.core import Component, ToolConfigurationError
from ctapipe.core.traits import Unicode

from .simtelarray_reader import TelescopeEvent


class ShuntTelescope(Component):
    """Stage that sends the data of LSTs to one step, and that of all other telescopes to another.

    The messages themselves are not changed.
    """

    lst_step = Unicode("LST_DUMP", help="Name of the step that receives the data of LSTs").tag(
        config=True
    )
    other_step = Unicode(
        "OTHER_DUMP", help="Name of the step that receives the data of all other telescopes"
    ).tag(config=True)

    name: str
    next_steps: tuple[str, ...]
    send_msg: Callable[[Any, str], None]

    def init(self) -> None:
        """Check that both steps can be sent to.

        Raises
        ------
        ctapipe.core.ToolConfigurationError
            If ``lst_step`` or ``other_step`` is not one of the next steps of this step.
        """
        for option in ("lst_step", "other_step"):
            step = getattr(self, option)
            if step not in self.next_steps:
                raise ToolConfigurationError(
                    f"{type(self).__name__}.{option}: '{step}' is not among the next_steps of"
                    f" '{self.name}' ({', '.join(self.next_steps)}); add it there or choose another"
                )

    def run(self, message: TelescopeEvent) -> None:
        """Send one telescope event on.

        Parameters
        ----------
        message : TelescopeEvent
            Its ``telescope_type`` decides.
        """
        step = self.lst_step if message.telescope_type == "LST" else self.other_step
        self.send_msg(message, step)
