from collections.abc import Callable
from typing import Any, Literal

from ..transport._channel import Channel

COUNTS: tuple[str, ...]

class Runner:
    call: Literal["receive", "run"]
    has_lost: bool
    def __init__(
        self,
        name: str,
        run: Callable[..., Any],
        send: Callable[[int, Any], None],
        default: int | None,
        is_consumer: bool,
        index_of: Callable[[str], int],
        warn: Callable[[str], None],
    ) -> None: ...
    def join_chain(
        self,
        counts: memoryview,
        followers: dict[int, Runner],
        on_error: Callable[[BaseException], None],
        channel: Channel | None = None,
    ) -> None: ...
    def count_failure(self) -> None: ...
    def produce(self, ended: Callable[[], bool]) -> None: ...
    def process(self, message: Any) -> None: ...
    def process_all(self, channel: Channel) -> None: ...
    def send_msg(self, message: Any, step_name: str | None = None) -> None: ...
