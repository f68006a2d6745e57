"""What is known of one request while it is served: its counts and its line in the log."""

from __future__ import annotations

import itertools
import logging
import os
import random
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import quote

from proxy.errors import ClientError, ClientGone, SegueError
from proxy.http.headers import RawFields
from proxy.http.traceparent import TraceContext, trace_of
from proxy.observability.decisions import DecisionLog, Trail
from proxy.observability.families import Families, Samples, counter
from proxy.observability.log import Log
from proxy.observability.metrics import Metrics, close_code_label, code_label
from proxy.observability.seen_versions import SeenVersions
from proxy.rewriting import MessageCounts
from proxy.tokens.redaction import redact
from proxy.tokens.secret_paths import SecretPaths
from proxy.types import NONE, Direction
from proxy.versions.selection import Selection
from proxy.versions.version import MAX_LENGTH

_PLAIN: Final = bytes(set(range(0x21, 0x7F)) - set(b"#"))
"""What a path is written with as it is, where it begins with a slash."""

_MAX_PATH: Final = 1024
"""Characters of a path that are written: a request line may be much longer than a line here."""

_HTTP: Final = "http"
_WEBSOCKET: Final = "websocket"

# Plain text: the hash of an enum's member is a call of a Python function.
_TO_SERVER: Final = Direction.TO_SERVER.value
_TO_CLIENT: Final = Direction.TO_CLIENT.value

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")

_LONGEST_AGENT: Final = 120
_LONGEST_SUBJECT: Final = 128

_USER: Final = re.compile(rb"\A(?!/)(?:[^/]*//)?[^/]*@")


@dataclass(slots=True)
class RequestInfo:
    """What is known of one request; becomes its log line and its counts.

    Attributes:
        request_id: also in the answer to an error, and in `X-Request-Id` for the server.
        started: when its head had been read, on the clock of `time.perf_counter`.
        peer: the address of the client.
        path: that was asked for, without what is secret in it.
        trace: which trace it belongs to.
        selection: None until the version was chosen.
        status: the status code that the client was sent; 0 while there is none.
        error: the label of what went wrong.
        protocol: `http` or `websocket`; the label of a handshake is the latter.
        to_client, to_server: the mappings of the bodies; empty for none.
        to_client_counts, to_server_counts: what became of them; None for none.
        upstream: the address of the server, once it was asked.
        waited: seconds that were spent waiting for the server.
        shared_from: the request id under which the server was asked, where that was another's.
        trail: of its decisions; None where nobody watches it.
        is_trusted: whether the peer is a trusted proxy.
        client: the address that it says the request comes from; empty where it says none.
        user_agent: as the client names itself.
        session: the name of the session that it belongs to; empty for none.
        subject: whose session it is, where that is logged.
        is_fault: whether what went wrong is Segue's own or the server's, and not the client's.
    """

    request_id: str
    started: float
    peer: str
    method: str
    path: str
    trace: TraceContext
    selection: Selection | None = None
    status: int = 0
    error: str = ""
    detail: str = ""
    request_size: int = 0
    response_size: int = 0
    protocol: str = _HTTP
    to_client: str = ""
    to_server: str = ""
    to_client_counts: MessageCounts | None = None
    to_server_counts: MessageCounts | None = None
    upstream: str = ""
    waited: float = 0.0
    shared_from: str = ""
    trail: Trail | None = None
    is_fault: bool = False
    is_trusted: bool = False
    client: str = ""
    user_agent: bytes = b""
    session: str = ""
    subject: str = ""

    def fail(self, error: SegueError, status: int | None = None) -> None:
        """Record an error, and the status that the client saw: the error's own by default."""
        self.status = error.status if status is None else status
        self.error = error.label
        self.detail = error.detail
        self.is_fault = not isinstance(error, ClientError)

    @property
    def selected(self) -> str | None:
        """The name of the cohort, None while or where there is none."""
        return None if self.selection is None else self.selection.cohort

    @property
    def cohort(self) -> str:
        """The label of the cohort."""
        return self.selected or NONE


class SocketTotals(Protocol):
    """An open WebSocket, or one that has just ended."""

    @property
    def received(self) -> tuple[int, int]:
        """The bytes that arrived so far: from the client, from the server."""

    @property
    def closes(self) -> tuple[tuple[str, int], ...]:
        """The Close frames: who sent them (`client`, `server`, `segue`), and their codes."""


class AccessLog:
    """Counts requests and writes their lines: one for each, when it is over.

    Attributes:
        versions: those that clients told.
        decisions: which requests are watched.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: Log,
        decisions: DecisionLog,
        *,
        subjects: bool = False,
        secret_paths: SecretPaths | None = None,
        on_error: Callable[[str, str], None] | None = None,
    ) -> None:
        """Construct.

        Args:
            metrics: where requests are counted.
            log: where their lines go.
            decisions: see the attribute.
            subjects: whether lines say whose session it is.
            secret_paths: what is never kept of paths.
            on_error: told the label of each error, and the address of the client.
        """
        self._metrics = metrics
        self._on_error = on_error
        self._secret_paths = secret_paths or SecretPaths()
        self._subjects = subjects
        self.decisions = decisions
        self._log = log
        self._ids = request_ids()
        # Trace ids need to be unique, not secret.
        self._random_bits = random.Random(os.urandom(32)).getrandbits  # noqa: S311
        # By the identity of their info: a request id that a proxy gives need not be unique.
        self._sockets: dict[int, SocketTotals] = {}
        self.versions = SeenVersions()

    def families(self) -> Families:
        """What is shown of it."""
        return (
            counter(
                "segue_bytes",
                "Bytes received, by the way they go: of WebSockets everything, open ones included;"
                " of HTTP the bodies, when a request is over.",
                ("direction", "protocol"),
                self._bytes,
            ),
        )

    def open(
        self, now: float, peer: str, method: str, target: bytes, fields: RawFields = ()
    ) -> RequestInfo:
        """Begin with a request.

        Args:
            now: on the clock of `time.perf_counter`.
            peer: the client's address.
            method: empty where there was no request to speak of.
            target: of which the query, where tokens travel, is not kept, nor is a fragment or a
                user's name and password, for which requests are refused.
            fields: as received; of these only the trace is kept.
        """
        path = target.partition(b"?")[0]
        plain = path.startswith(b"/") and not path.translate(None, _PLAIN)
        # Here, where all that is shown of a request begins.
        shown = self._secret_paths.redact(path.decode() if plain else _plain(path))
        trace = trace_of(fields, self._random_bits)
        return RequestInfo(next(self._ids), now, peer, method, shown, trace)

    def trust(self, info: RequestInfo, client: str, request_id: bytes) -> None:
        """Take over what a trusted proxy says of a request.

        Args:
            info: of the request.
            client: the address that it comes from; empty for none.
            request_id: the proxy's; one that is longer than a line may hold, or has other than
                visible characters, or may be a secret, is replaced by Segue's own.
        """
        info.is_trusted = True
        info.client = client
        text = request_id.decode("latin-1")
        if _REQUEST_ID.fullmatch(text) and redact(text) == text:
            info.request_id = text

    def identify(self, info: RequestInfo, session: str, subject: str) -> None:
        """Record to which session a request belongs."""
        info.session = session
        if self._subjects:
            info.subject = subject

    def choose(self, info: RequestInfo, selection: Selection) -> None:
        """Record the version that was chosen."""
        info.selection = selection
        self.versions.note(selection, info.started)
        self._metrics.version_sources[selection.source] += 1
        if info.trail is not None:
            version = selection.version
            info.trail.note(
                "version",
                version=None if version is None else redact(str(version)),
                source=selection.source.value,
                cohort=info.cohort,
            )
            info.trail = self.decisions.settle(info.trail, info.cohort)

    def fail(self, info: RequestInfo, error: SegueError, status: int | None = None) -> None:
        """Record an error; see `RequestInfo.fail`."""
        info.fail(error, status)
        self._metrics.errors[error.label] += 1
        if self._on_error is not None:
            self._on_error(error.label, info.client or info.peer)

    def close(self, info: RequestInfo, now: float) -> None:
        """End with a request that was answered."""
        metrics, cohort = self._metrics, info.cohort
        if info.trail is not None:
            self.decisions.settle(info.trail, cohort)  # One that ended before it had a version.
        metrics.requests[cohort, code_label(info.status)] += 1
        if info.method:
            metrics.timings(cohort, info.protocol).observe(now - info.started, info.waited)
        if info.protocol == _WEBSOCKET:
            metrics.handshakes[cohort, _handshake_result(info)] += 1
        if info.request_size:
            metrics.bytes[_TO_SERVER, _HTTP] += info.request_size
        if info.response_size:
            metrics.bytes[_TO_CLIENT, _HTTP] += info.response_size
        if info.is_fault:
            if self._log.is_enabled_for(logging.WARNING):
                self._log.line("request", _line(info, cohort, now), "warning")
        elif self._log.is_enabled_for(logging.INFO):
            self._log.line("request", _line(info, cohort, now))

    def switch(
        self,
        info: RequestInfo,
        now: float,
        socket: SocketTotals,
        accounts: Iterable[MessageCounts] = (),
        **facts: object,
    ) -> None:
        """A handshake has succeeded.

        Args:
            accounts: of its messages.
            facts: what else its line says.
        """
        metrics, cohort = self._metrics, info.cohort
        info.status = 101
        metrics.requests[cohort, "101"] += 1
        metrics.sockets[cohort] += 1
        metrics.handshakes[cohort, "accepted"] += 1
        metrics.timings(cohort, _WEBSOCKET).observe(now - info.started, info.waited)
        self._sockets[id(info)] = socket
        for counts in accounts:
            metrics.open_account(counts)
        if self._log.is_enabled_for(logging.INFO):
            line = _line(info, cohort, now)
            line.update(facts)
            self._log.line("websocket opened", line)

    def supersede(self, info: RequestInfo, now: float) -> None:
        """A handshake was answered, and its WebSocket ended at once, for newer ones are there."""
        metrics, cohort = self._metrics, info.cohort
        info.status = 101
        metrics.requests[cohort, "101"] += 1
        metrics.handshakes[cohort, "superseded"] += 1
        if self._log.is_enabled_for(logging.INFO):
            line = _line(info, cohort, now)
            line["replaced"] = True
            self._log.line("request", line)

    def close_socket(
        self,
        info: RequestInfo,
        now: float,
        socket: SocketTotals,
        accounts: Iterable[MessageCounts] = (),
        **facts: object,
    ) -> None:
        """End with a WebSocket.

        Args:
            accounts: of its messages.
            facts: what else its line says.
        """
        metrics = self._metrics
        self._sockets.pop(id(info), None)
        for counts in accounts:
            metrics.close_account(counts)
        from_client, from_server = socket.received
        metrics.bytes[_TO_SERVER, _WEBSOCKET] += from_client
        metrics.bytes[_TO_CLIENT, _WEBSOCKET] += from_server
        for side, code in socket.closes:
            metrics.closes[side, close_code_label(code)] += 1
        if self._log.is_enabled_for(logging.INFO):
            line = _line(info, info.cohort, now)
            line["client_bytes"] = from_client
            line["server_bytes"] = from_server
            line.update(facts)
            self._log.line("websocket", line)

    def _bytes(self) -> Samples:
        counts = self._metrics.bytes.copy()
        for socket in self._sockets.values():
            from_client, from_server = socket.received
            counts[_TO_SERVER, _WEBSOCKET] += from_client
            counts[_TO_CLIENT, _WEBSOCKET] += from_server
        return counts.items()

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


@lru_cache(maxsize=1024)
def _shown(told: str, longest: int) -> str:
    """Return what a client has told as a log can show it: short, in ASCII, and without tokens."""
    text = redact(told[: 4 * longest])[:longest]
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def _handshake_result(info: RequestInfo) -> str:
    """What became of a handshake that did not succeed."""
    if info.error == ClientGone.label:
        return "abandoned"
    return "failed" if info.error else "refused"


def _microseconds(seconds: float) -> float:
    """Round to whole microseconds; `round` takes four times as long."""
    return int(seconds * 1e6 + 0.5) / 1e6


def _outcome(info: RequestInfo, counts: MessageCounts | None) -> str:
    """What became of a body; `none` where nothing was offered to the mapping."""
    if info.shared_from:
        return "shared"
    outcomes = {} if counts is None else counts.outcomes()
    return next((name for name, count in outcomes.items() if count), NONE)


def _line(info: RequestInfo, cohort: str, now: float) -> dict[str, object]:
    selection = info.selection
    line: dict[str, object] = {
        "request_id": info.request_id,
        "peer": info.peer,
        "method": info.method,
        "path": redact(info.path)[:_MAX_PATH],
        "status": info.status,
        "cohort": cohort,
        "version_source": NONE if selection is None else selection.source,
        "duration": _microseconds(now - info.started),
        "trace_id": info.trace.trace_id,
    }
    if info.client:
        line["client"] = info.client
    if selection is not None and selection.raw:
        line["version"] = _shown(selection.raw, MAX_LENGTH)
    if info.user_agent:
        agent = info.user_agent[: 4 * _LONGEST_AGENT].decode("latin-1")
        line["user_agent"] = _shown(agent, _LONGEST_AGENT)
    if info.session:
        line["session"] = info.session
    if info.subject:
        line["subject"] = _shown(info.subject, _LONGEST_SUBJECT)
    if info.to_client:
        line["to_client"] = info.to_client
        line["to_client_outcome"] = _outcome(info, info.to_client_counts)
    if info.to_server:
        line["to_server"] = info.to_server
        line["to_server_outcome"] = _outcome(info, info.to_server_counts)
    if info.upstream:
        line["upstream"] = info.upstream
        line["upstream_duration"] = _microseconds(info.waited)
    if info.shared_from:
        line["shared_from"] = info.shared_from
    if info.request_size or info.response_size:
        line["request_size"] = info.request_size
        line["response_size"] = info.response_size
    if info.error:
        line["error"] = info.error
        line["detail"] = info.detail
    return line
