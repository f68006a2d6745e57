"""What is known of one request while it is served: its counts and its line in the log."""

from __future__ import annotations

import itertools
import os
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from proxy.errors import SegueError
from proxy.metrics import Metrics, code_label
from proxy.selection import Selection
from proxy.tokens import redact
from proxy.values import NONE

_PLAIN_PATH: Final = re.compile(rb"/[!-\"$-~]*")
_USER: Final = re.compile(rb"\A(?!/)(?:[^/]*//)?[^/]*@")


@dataclass(slots=True)
class Visit:
    """What is known of one request; becomes its log line and its counts.

    Attributes:
        request_id: also in the answer to an error, and in `X-Request-Id` for the server.
        started: the loop's time.
        peer: the address of the client.
        selection: None until the version was chosen.
        status: the status code that the client was sent; 0 while there is none.
        error: the label of what went wrong.
    """

    request_id: str
    started: float
    peer: str
    method: str
    path: str
    selection: Selection | None = None
    status: int = 0
    error: str = ""
    detail: str = ""
    request_size: int = 0
    response_size: int = 0

    def fail(self, error: SegueError, status: int | None = None) -> None:
        """Record an error, and the status that the client saw: the error's own by default."""
        self.status = error.status if status is None else status
        self.error = error.label
        self.detail = error.detail

    @property
    def cohort(self) -> str:
        """The label of the cohort."""
        return (self.selection and self.selection.cohort) or NONE


class Journal:
    """Counts requests and writes their lines: one for each, when it is over."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        self._ids = request_ids()

    def open(self, now: float, peer: str, method: str, target: bytes) -> Visit:
        """Begin with a request.

        Args:
            now: the loop's time.
            peer: the client's address.
            method: empty where there was no request to speak of.
            target: of which the query, where tokens travel, is not kept, nor is a fragment or a
                user's name and password, for which requests are refused.
        """
        path = target.partition(b"?")[0]
        shown = path.decode() if _PLAIN_PATH.fullmatch(path) else _plain(path)
        return Visit(next(self._ids), now, peer, method, shown)

    def choose(self, visit: Visit, selection: Selection) -> None:
        """Record the version that was chosen."""
        visit.selection = selection
        self._metrics.version_sources[selection.source] += 1

    def fail(self, visit: Visit, error: SegueError, status: int | None = None) -> None:
        """Record an error; see `Visit.fail`."""
        visit.fail(error, status)
        self._metrics.errors[error.label] += 1

    def close(self, visit: Visit, now: float) -> None:
        """End with a request that was answered."""
        self._metrics.requests[visit.cohort, code_label(visit.status)] += 1
        self._log.info("request", **_line(visit, now))

    def switch(self, visit: Visit) -> None:
        """A handshake has succeeded."""
        visit.status = 101
        self._metrics.requests[visit.cohort, "101"] += 1
        self._metrics.sockets[visit.cohort] += 1

    def close_socket(self, visit: Visit, now: float, **facts: object) -> None:
        """End with a WebSocket."""
        self._log.info("websocket", **_line(visit, now), **facts)

    def internal_error(self, error: Exception) -> None:
        """Record a fault of Segue's own: its type, for its text may quote a request."""
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        where = traceback and f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}"
        self._log.error("internal error", kind=type(error).__name__, where=where)


def request_ids() -> Iterator[str]:
    """Yield ids that are unique over processes: a random start and a count."""
    start = os.urandom(6).hex()
    return (f"{start}-{number:x}" for number in itertools.count(1))


def _plain(path: bytes) -> str:
    """Return an odd target as a log can show it: what a terminal could obey percent-encoded."""
    return quote(_USER.sub(b"", path.partition(b"#")[0]), safe=string.punctuation)


def _line(visit: Visit, now: float) -> dict[str, object]:
    selection = visit.selection
    line: dict[str, object] = {
        "request_id": visit.request_id,
        "peer": visit.peer,
        "method": visit.method,
        "path": redact(visit.path),
        "status": visit.status,
        "cohort": visit.cohort,
        "version_source": NONE if selection is None else selection.source,
        "duration": round(now - visit.started, 6),
    }
    if visit.request_size or visit.response_size:
        line["request_size"] = visit.request_size
        line["response_size"] = visit.response_size
    if visit.error:
        line["error"] = visit.error
        line["detail"] = visit.detail
    return line
