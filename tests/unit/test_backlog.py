"""What waits to be taken, counted over connections from one look to the next."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.backlog import Backlog


class Waiting(asyncio.Transport):
    """A transport without a socket in which so many bytes wait."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return default


def test_less_than_at_the_last_look_is_progress() -> None:
    backlog, one, two = Backlog(), Waiting(10), Waiting(5)
    backlog.note(one, two)
    assert not backlog.shrinks(one, two)
    one.size = 9
    assert backlog.shrinks(one, two)
    assert not backlog.shrinks(one, two)
    two.size = 50
    assert not backlog.shrinks(one, two)
    two.size = 49
    assert backlog.shrinks(one, two)
    assert backlog.shrinks(one), "one that has gone waits for nothing"
