"""``python -m ctapipe.pipeline`` is the command ``ctapipe-pipeline``."""

from .tool import main

main()
