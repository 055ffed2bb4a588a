"""The window that shows pipelines at work: the command ``ctapipe-guipipe``.

It knows pipelines by the snapshots that they send, and nothing else of them.
"""
