"""``python -m ctapipe.pipeline.gui`` is the command ``ctapipe-guipipe``."""

from .tool import main

main()
