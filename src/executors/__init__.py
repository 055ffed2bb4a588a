"""The ways to run a pipeline, by the name that ``Pipeline.executor`` gives them."""

from .executor import DEFAULT_RETRIES, DEFAULT_SHARED_MEMORY_MB, ON_ERROR, Executor
from .parallel import Processes, Threads
from .sequential import Sequential

__all__ = [
    "DEFAULT_RETRIES",
    "DEFAULT_SHARED_MEMORY_MB",
    "EXECUTORS",
    "ON_ERROR",
    "Executor",
]

EXECUTORS: dict[str, type[Executor]] = {
    executor.name: executor for executor in (Threads, Processes, Sequential)
}
