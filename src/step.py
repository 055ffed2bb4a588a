"""A user's step, bound to the pipeline that it runs in."""

import logging
from collections.abc import Callable, Iterable, Mapping
from types import GeneratorType
from typing import Any

from ctapipe.core import Component, ToolConfigurationError
from traitlets import TraitError
from traitlets.config import Configurable

from .errors import ConfigurationError, StepError
from .graph import Graph, StepSpec

__all__ = ["Step", "create_steps"]

Send = Callable[[int, Any], None]


class Pipeline(Component):
    """What a step sees as its parent: the step's configuration, and where it logs.

    It has the name of the section that a step's options may stand in.
    """

    def __init__(self, spec: StepSpec, log: logging.Logger) -> None:
        super().__init__(config=spec.config)
        self.log = log


class Step:
    """One instance of a user's class, with ``name``, ``next_steps`` and ``send_msg``.

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
    ) -> None:
        self.name = spec.name
        self._graph = graph
        self._is_consumer = spec.role == "consumer"
        self._send = send
        self._default = graph.index(spec.next_steps[0]) if spec.next_steps else None
        self._targets: dict[str, int] = {}
        self._running = False
        self._used_send_msg = False
        self._warned = warned
        self._log = log
        if issubclass(spec.step_class, Component):
            # Kept, because a Component refers to its parent weakly.
            self._parent = Pipeline(spec, log)
            self._user_step = spec.step_class(parent=self._parent)
        elif issubclass(spec.step_class, Configurable):
            self._user_step = spec.step_class(config=spec.config)
        else:
            self._user_step = spec.step_class()
        self._user_step.name = spec.name
        self._user_step.next_steps = spec.next_steps
        self._user_step.send_msg = self.send_msg
        self._run = self._user_step.run

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

    def produce(self, ended: Callable[[], bool]) -> None:
        """Call a producer's ``run`` and send all that it makes.

        Parameters
        ----------
        ended : callable
            Says whether to stop.

        Raises
        ------
        RunEnded
            If a message was to be sent after the end.
        Exception
            Whatever the user's code raises.
        """
        self._used_send_msg = False
        self._running = True
        try:
            messages = self._run()
            if messages is None:
                return
            if not isinstance(messages, Iterable) or isinstance(messages, str | bytes | Mapping):
                raise TypeError(
                    f"run() of a producer yields its messages or sends them with send_msg; "
                    f"it returned a {type(messages).__name__}"
                )
            iterator = iter(messages)
            try:
                for message in iterator:
                    if message is not None:
                        self._send_value(message)
                    if ended():
                        break
            finally:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()
        finally:
            self._running = False

    def process(self, message: Any) -> None:
        """Call ``run`` with a message and send what it returns or yields.

        Parameters
        ----------
        message : object
            What the step received.

        Raises
        ------
        Exception
            Whatever the user's code raises.
        """
        self._used_send_msg = False
        self._running = True
        try:
            result = self._run(message)
            if result is None:
                return
            if isinstance(result, GeneratorType):
                for value in result:
                    if value is not None:
                        self._send_value(value)
            else:
                self._send_value(result)
        finally:
            self._running = False

    def send_msg(self, message: Any, step_name: str | None = None) -> None:
        """Send a message to the next step.

        Parameters
        ----------
        message : object
            Anything that can be pickled.
        step_name : str, optional
            Which step to send it to: one of ``next_steps``, or any other step but the
            producer. The first of ``next_steps``, if not given.

        Raises
        ------
        RuntimeError
            Outside of ``run``.
        ValueError
            If there is no such step.
        """
        if not self._running:
            raise RuntimeError(
                f"step {self.name!r} called send_msg outside of run(); "
                "messages can be sent in run() only"
            )
        target = self._default if step_name is None else self._target(step_name)
        if target is None:
            raise ValueError(
                f"step {self.name!r} has no next step; name the step to send to: "
                "send_msg(message, 'NAME')"
            )
        self._used_send_msg = True
        self._send(target, message)

    def failure(
        self, call: str, error: BaseException, event: int | None = None
    ) -> StepError | ConfigurationError:
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
            return error
        if call == "init" and isinstance(error, ToolConfigurationError | TraitError):
            return ConfigurationError([f"step {self.name!r}: {error}"])
        if call == "receive":
            what = f"could not receive a message ({type(error).__name__})"
        else:
            what = f"raised {type(error).__name__} in {call}()"
        failure = StepError(self.name, what, event)
        failure.__cause__ = error
        return failure

    def _send_value(self, value: Any) -> None:
        """Send what `run` returned or yielded."""
        if self._used_send_msg:
            self._warn_once("its run() also calls send_msg: what it returns or yields is dropped")
        elif self._default is not None:
            self._send(self._default, value)
        elif self._is_consumer:
            self._warn_once("it is the consumer: what its run() returns is dropped")
        else:
            raise ValueError(f"step {self.name!r} has no next step, but its run() returned a value")

    def _warn_once(self, what: str) -> None:
        if self.name not in self._warned:
            self._warned.add(self.name)
            self._log.warning("step %r: %s", self.name, what)

    def _target(self, step_name: str) -> int:
        target = self._targets.get(step_name)
        if target is None:
            target = self._graph.index(step_name)
            if self._graph.steps[target].role == "producer":
                raise ValueError(
                    f"step {self.name!r} sends to the producer {step_name!r}; "
                    "any other step can be sent to"
                )
            self._targets[step_name] = target
        return target


def create_steps(
    graph: Graph,
    specs_and_sends: Iterable[tuple[StepSpec, Send]],
    log: logging.Logger,
) -> list[Step]:
    """Make the instances of all workers.

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
    for spec, send in specs_and_sends:
        try:
            steps.append(Step(graph, spec, send, log, warned))
        except (TraitError, ToolConfigurationError) as error:
            refused[f"step {spec.name!r}: {error}"] = None
        except Exception as error:
            raise StepError(spec.name, f"raised {type(error).__name__} when created") from error
    if refused:
        raise ConfigurationError(refused)
    return steps
