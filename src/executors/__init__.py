"""The ways to run a pipeline, by the name that ``Pipeline.executor`` gives them."""

from .executor import ON_ERROR, Executor
from .sequential import Sequential
from .threads import Threads

__all__ = ["EXECUTORS", "ON_ERROR", "Executor"]

EXECUTORS: dict[str, type[Executor]] = {
    executor.name: executor for executor in (Threads, Sequential)
}
