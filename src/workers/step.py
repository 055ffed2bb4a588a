"""A user's step, bound to the pipeline that it runs in."""

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from ctapipe.core import Component, ToolConfigurationError
from ctapipe.exceptions import OptionalDependencyMissing
from traitlets import TraitError
from traitlets.config import Configurable

from ..configuration.graph import Graph, StepSpec
from ..errors import ConfigurationError, Failure, StepError
from ._runner import Runner

__all__ = ["Send", "Step", "create_steps"]

Send = Callable[[int, Any], None]

# What a class or an `init` raises for what the user can put right.
OF_THE_USER = (ToolConfigurationError, TraitError, OptionalDependencyMissing)


class StepParent(Component):
    """What a step sees as its parent: the step's configuration, and where it logs.

    Attributes
    ----------
    shared : dict
        What the steps of a run that are in one process share; empty at first.
    """

    def __init__(self, spec: StepSpec, log: logging.Logger, shared: dict[str, Any]) -> None:
        super().__init__(config=spec.config)
        self.log = log
        self.shared = shared


# By which traitlets finds the section that the options of all steps may stand in.
StepParent.__name__ = "Pipeline"


class Step:
    """One instance of a user's class, with ``name``, ``next_steps`` and ``send_msg``.

    What calls its ``run`` is its ``runner``.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    spec : StepSpec
        The step.
    send : callable
        Takes the index of a step and a message for it.
    log : logging.Logger
        The pipeline's log.
    warned : set of str
        The names of the steps that a warning was given for; shared by all steps.
    shared : dict
        What a `ctapipe.core.Component` has as ``parent.shared``.

    Raises
    ------
    Exception
        Whatever the class raises when it is made.
    """

    def __init__(
        self,
        graph: Graph,
        spec: StepSpec,
        send: Send,
        log: logging.Logger,
        warned: set[str],
        shared: dict[str, Any],
    ) -> None:
        self.name = spec.name
        self._graph = graph
        self._warned = warned
        self._log = log
        if issubclass(spec.step_class, Component):
            # Kept, because a Component refers to its parent weakly.
            self._parent = StepParent(spec, log, shared)
            self._user_step = spec.step_class(parent=self._parent)
        elif issubclass(spec.step_class, Configurable):
            self._user_step = spec.step_class(config=spec.config)
        else:
            self._user_step = spec.step_class()
        self._user_step.name = spec.name
        self._user_step.next_steps = spec.next_steps
        self.runner = Runner(
            spec.name,
            self._user_step.run,
            send,
            graph.index(spec.next_steps[0]) if spec.next_steps else None,
            spec.role == "consumer",
            self._index_of,
            self._warn_once,
        )
        self._user_step.send_msg = self.runner.send_msg

    def init(self) -> None:
        """Call the user's ``init``.

        Raises
        ------
        StepError
            If it returned False.
        Exception
            Whatever it raises.
        """
        init = getattr(self._user_step, "init", None)
        if init is not None and init() is False:
            raise StepError(self.name, "returned False from init(): the pipeline does not start")

    def finish(self) -> None:
        """Call the user's ``finish``."""
        finish = getattr(self._user_step, "finish", None)
        if finish is not None:
            finish()

    def n_messages(self, n_sent: int) -> int | None:
        """How many messages a producer sends in all: ``n_messages``, or what it has read.

        Parameters
        ----------
        n_sent : int
            How many it has sent.
        """
        # Whatever a user's class answers, or does not: nothing depends on it.
        with contextlib.suppress(Exception):
            return int(self._user_step.n_messages)
        with contextlib.suppress(Exception):
            return round(n_sent / self._user_step.fraction_done) if n_sent else None
        return None

    def failure(self, call: str, error: BaseException, event: int | None = None) -> Failure:
        """What to report when a call of the step has raised an exception.

        Parameters
        ----------
        call : {"init", "run", "finish", "receive"}
            Which call; ``receive``: its message could not be unpickled.
        error : BaseException
            What it raised.
        event : int, optional
            The number of the event that it was working on.
        """
        if isinstance(error, StepError):
            # One that a step has kept may be raised again on another event.
            error.event = event if event is not None else error.event
            return error
        if call == "init" and isinstance(error, OF_THE_USER):
            return ConfigurationError([f"step {self.name!r}: {error}"])
        if call == "receive":
            what = f"could not receive a message ({type(error).__name__})"
        else:
            what = f"raised {type(error).__name__} in {call}()"
        failure = StepError(self.name, what, event)
        failure.__cause__ = error
        return failure

    def _warn_once(self, what: str) -> None:
        if self.name not in self._warned:
            self._warned.add(self.name)
            self._log.warning("step %r: %s", self.name, what)

    def _index_of(self, step_name: str) -> int:
        """The index of a step that messages can be sent to."""
        index = self._graph.index(step_name)
        if self._graph.steps[index].role == "producer":
            raise ValueError(
                f"step {self.name!r} sends to the producer {step_name!r}; "
                "any other step can be sent to"
            )
        if self._graph.steps[index].chained:
            before = self._graph.steps[self._graph.step_before(index)].name
            if before != self.name:
                raise ValueError(
                    f"step {self.name!r} sends to {step_name!r}, which is chained: only "
                    f"{before!r}, the step before it, can send to it"
                )
        return index


def create_steps(
    graph: Graph,
    specs_and_sends: Iterable[tuple[StepSpec, Send]],
    log: logging.Logger,
    interruptible: bool = True,
) -> list[Step]:
    """Make the instances of all workers.

    Parameters
    ----------
    graph : Graph
        The pipeline's graph.
    specs_and_sends : iterable of tuple
        For each instance its step, and what sends its messages.
    log : logging.Logger
        The pipeline's log.
    interruptible : bool
        Whether the user can interrupt it: no signal does so in a worker process.

    Raises
    ------
    ConfigurationError
        With every option that a class refused.
    StepError
        If a class raised anything else.
    """
    steps = []
    refused: dict[str, None] = {}
    warned: set[str] = set()
    shared: dict[str, Any] = {}
    for spec, send in specs_and_sends:
        try:
            steps.append(Step(graph, spec, send, log, warned, shared))
        except OF_THE_USER as error:
            refused[f"step {spec.name!r}: {error}"] = None
        except BaseException as error:
            if interruptible and isinstance(error, KeyboardInterrupt):
                raise
            raise StepError(spec.name, f"raised {type(error).__name__} when created") from error
    if refused:
        raise ConfigurationError(refused)
    return steps
