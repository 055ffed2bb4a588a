"""The command ``ctapipe-pipeline``, until all is imported; also ``python -m ctapipe.pipeline``."""

import os
import signal

__all__ = ["main"]

INTERRUPTED = b"ctapipe-pipeline: interrupted\n"


def main() -> None:
    """Run the command."""

    def end(*_: object) -> None:
        # Not by an exception: some modules go on after one.
        os.write(2, INTERRUPTED)
        os._exit(130)

    is_handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_handled:
        signal.signal(signal.SIGINT, end)
    from .tool import main as run

    if is_handled:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
