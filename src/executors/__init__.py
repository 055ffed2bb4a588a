"""The ways to run a pipeline, by the name that ``Pipeline.executor`` gives them."""

from .executor import Executor
from .parallel import Processes, Threads
from .sequential import Sequential

__all__ = ["EXECUTORS", "Executor"]

EXECUTORS: dict[str, type[Executor]] = {
    executor.name: executor for executor in (Threads, Processes, Sequential)
}
