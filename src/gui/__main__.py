"""The command ``ctapipe-guipipe``, also ``python -m ctapipe.pipeline.gui``."""

from ..start_up import end_at_interrupts

__all__ = ["main"]


def main() -> None:
    """Run the command."""
    end_at_interrupts("ctapipe-guipipe")
    # It takes a second.
    from .tool import main as run

    run()


if __name__ == "__main__":
    main()
