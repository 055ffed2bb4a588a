"""What if a command is interrupted before there is anything to be ended?"""

import os
import signal

__all__ = ["end_at_interrupts", "raise_at_interrupts"]

_is_changed = False


def end_at_interrupts(command: str) -> None:
    """From now on Ctrl-C ends this process at once, with one line and the exit code 130.

    Parameters
    ----------
    command : str
        Its name.
    """
    global _is_changed

    def end(*_: object) -> None:
        # Not by an exception: some modules go on after one, and ctapipe's tools do not expect it.
        os.write(2, f"{command}: interrupted\n".encode())
        os._exit(130)

    # A shell makes the jobs that it starts in the background ignore it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
        _is_changed = True


def raise_at_interrupts() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt again."""
    global _is_changed
    if _is_changed:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _is_changed = False
