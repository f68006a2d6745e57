"""Answers that come a line at a time, for as long as somebody reads them; Ctrl-C ends that."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from types import FrameType

from proxy.admin.endpoints import Endpoint
from proxy.cli.admin import MAX_ANSWER, answer
from proxy.cli.admin_place import Place


def lines_of(where: Place, endpoint: Endpoint, path: str, timeout: float) -> Iterator[bytes]:
    """Ask, and yield the lines of the answer as they come, to its end or that of the connection.

    Args:
        where: the running Segue.
        endpoint: what is asked.
        path: its target.
        timeout: seconds to wait for a line.

    Raises:
        Refused: there is no such answer.
    """
    with answer(where, endpoint.method, path, None, timeout) as response:
        while True:
            try:
                line = response.readline(MAX_ANSWER)
            except (OSError, http.client.HTTPException):
                return
            if not line:
                return
            yield line


class Interrupts:
    """Ctrl-C: it ends the waiting for a line, never the writing of one."""

    def __init__(self) -> None:
        self._pressed = False
        self._waiting = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Interrupts:
        # A process that was told to ignore it, as in the background of a shell, goes on doing so.
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    def next_line(self, lines: Iterator[bytes]) -> bytes | None:
        """Wait for the next line; None at the end.

        Raises:
            KeyboardInterrupt: once for each Ctrl-C, also one that came since the line before.
        """
        self._waiting = True
        try:
            if self._pressed:
                raise KeyboardInterrupt
            return next(lines, None)
        finally:
            self._pressed = self._waiting = False

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self._pressed = True
        if self._waiting:
            raise KeyboardInterrupt
