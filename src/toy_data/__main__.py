"""The command ``python -m ctapipe.pipeline.toy_data``."""

import argparse
import signal
import sys
from typing import NoReturn

from .writer import write_toy_data

__all__ = ["main"]

FAILURE, CONFIGURATION, INTERRUPTED = 1, 2, 130
NOT_POSSIBLE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with one line."""
        self.exit(CONFIGURATION, f"{self.prog}: {message}\n")


def main() -> None:
    """Write the file that the command line asks for."""
    parser = OneLineParser(
        prog="python -m ctapipe.pipeline.toy_data",
        description="Write a file of sim_telarray with toy showers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "file", metavar="FILE", help="which ends in .simtel, .simtel.gz or .simtel.zst"
    )
    parser.add_argument("--events", metavar="N", type=int, default=500, help="how many events")
    parser.add_argument(
        "--telescopes", metavar="N", type=int, default=4, help="how many telescopes"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="the same seed makes the same file"
    )
    parser.add_argument(
        "--run", metavar="N", type=int, default=1, help="the number of the run (obs_id)"
    )
    given = parser.parse_args()
    try:
        write_toy_data(given.file, given.events, given.telescopes, given.seed, given.run)
    except (ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))
    except OSError as error:
        what = f"{given.file}: {error.strerror}" if error.strerror else str(error)
        if isinstance(error, NOT_POSSIBLE):
            parser.error(what)
        parser.exit(FAILURE, f"{parser.prog}: {what}\n")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    # Ends like Ctrl-C, so that nothing is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
