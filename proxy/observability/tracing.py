"""Spans of requests and WebSockets, on their way to a collector.

Nothing of this is there where tracing is off: `AccessLog` is what it is without it. A span is made
of what the log is told, when a request is over, and waits in a bounded queue for a thread that
sends it. A request whose trace is not sampled costs one look at its trace.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from proxy.http.headers import RawFields
from proxy.http.traceparent import Sampling, new_span_id, with_span
from proxy.observability.access_log import AccessLog, RequestInfo, SocketTotals
from proxy.observability.decisions import DecisionLog
from proxy.observability.families import Families, Samples, counter
from proxy.observability.log import Log
from proxy.observability.metrics import Metrics
from proxy.rewriting import MessageCounts
from proxy.tokens.redaction import redact
from proxy.tokens.secret_paths import SecretPaths

MAX_BATCH: Final = 512
"""Spans that are sent at once."""

_PAUSE: Final = 1.0
"""Seconds for which a span waits for others, where there are few."""

_MAX_TEXT: Final = 1024
"""Characters of a path."""

_MAX_ADDRESS: Final = 64

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
_FACTS: Final = (
    *("to_client", "to_server", "client_close", "server_close"),
    *("fault", "fault_side", "drained"),
)
"""What is told of a WebSocket's end beside its bytes."""

Value = str | int | float | bool


class Span(NamedTuple):
    """One span, as it waits to be sent.

    Attributes:
        trace_id, span_id: hexadecimal digits.
        parent_id: the same; empty where it has none.
        is_remote: whether its parent is somebody else's.
        is_server: whether it is of a request, and not of what became of one.
        end: Unix time in nanoseconds.
        duration: seconds.
        attributes: by the names of OpenTelemetry's semantic conventions; `segue.` for its own.
        is_error: whether it failed on this side of the client.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_remote: bool
    is_server: bool
    end: int
    duration: float
    attributes: Mapping[str, Value]
    is_error: bool


class Exporter(Protocol):
    """Sends spans to a collector."""

    def export(self, spans: list[Span]) -> bool:
        """Send some; whether they were taken. Blocks for as long as the time-out says."""

    def stop(self) -> None:
        """Give up what is being tried again."""


class SpanQueue:
    """Spans that wait for the collector, and the thread that sends them.

    Attributes:
        exported, failed, dropped: spans that the collector took, that it did not take, and for
            which there was no room.
    """

    def __init__(self, exporter: Exporter, size: int, log: Log) -> None:
        self.exported = 0
        self.failed = 0
        self.dropped = 0
        self._exporter = exporter
        self._size = size
        self._log = log
        self._spans: deque[Span] = deque()
        self._wake = threading.Event()
        self._ending = False
        self._taken = True
        self._thread = threading.Thread(target=self._run, name="segue-traces", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span, or drop it where there is no room."""
        if len(self._spans) >= self._size:
            self.dropped += 1
            return
        self._spans.append(span)
        if len(self._spans) >= MAX_BATCH:
            self._wake.set()

    def close(self, timeout: float) -> None:
        """Send what is left, for so many seconds at most."""
        self._ending = True
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._exporter.stop()
            self.dropped += len(self._spans)

    def _run(self) -> None:
        while True:
            self._wake.wait(_PAUSE)
            self._wake.clear()
            ending = self._ending
            while self._spans:
                self._send()
            if ending:
                self._exporter.stop()
                return

    def _send(self) -> None:
        batch: list[Span] = []
        with contextlib.suppress(IndexError):
            while len(batch) < MAX_BATCH:
                batch.append(self._spans.popleft())
        try:
            taken = self._exporter.export(batch)
        except Exception as error:  # noqa: BLE001 (whatever the library meets: traffic goes on)
            self._log.error("traces failed", fault=type(error).__name__)
            taken = False
        if taken:
            self.exported += len(batch)
        else:
            self.failed += len(batch)
        if taken is not self._taken:
            self._taken = taken
            if taken:
                self._log.info("the collector takes traces again")
            else:
                self._log.warning("the collector does not take traces", spans=len(batch))


class TracingAccessLog(AccessLog):
    """Counts requests, writes their lines, and makes spans of those that are sampled."""

    def __init__(
        self,
        metrics: Metrics,
        log: Log,
        decisions: DecisionLog,
        queue: SpanQueue,
        sampling: Sampling,
        scheme: str,
        *,
        subjects: bool = False,
        secret_paths: SecretPaths | None = None,
        on_error: Callable[[str, str], None] | None = None,
    ) -> None:
        """Construct.

        Args:
            metrics, log, decisions, subjects, secret_paths, on_error: see `AccessLog`.
            queue: takes the spans.
            sampling: which requests have one.
            scheme: of the listener's URLs.
        """
        super().__init__(
            metrics,
            log,
            decisions,
            subjects=subjects,
            secret_paths=secret_paths,
            on_error=on_error,
        )
        self._queue = queue
        self._sampling = sampling
        self._scheme = scheme

    def open(
        self, now: float, peer: str, method: str, target: bytes, fields: RawFields = ()
    ) -> RequestInfo:
        info = super().open(now, peer, method, target, fields)
        if method:
            info.trace = with_span(info.trace, self._sampling, self._random_bits)
        return info

    def close(self, info: RequestInfo, now: float) -> None:
        super().close(info, now)
        if info.trace.span_id:
            self._request(info, now)

    def switch(
        self,
        info: RequestInfo,
        now: float,
        socket: SocketTotals,
        accounts: Iterable[MessageCounts] = (),
        **facts: object,
    ) -> None:
        super().switch(info, now, socket, accounts, **facts)
        if info.trace.span_id:
            self._request(info, now)

    def close_socket(
        self,
        info: RequestInfo,
        now: float,
        socket: SocketTotals,
        accounts: Iterable[MessageCounts] = (),
        **facts: object,
    ) -> None:
        super().close_socket(info, now, socket, accounts, **facts)
        if info.trace.span_id:
            self._websocket(info, now, socket, facts)

    def _request(self, info: RequestInfo, now: float) -> None:
        """Make the span of a request, and mark its durations with its trace."""
        trace, duration = info.trace, now - info.started
        self._metrics.timings(info.cohort, info.protocol).exemplify(
            duration, info.waited, trace.trace_id, time.time()
        )
        known = info.method in _METHODS
        attributes: dict[str, Value] = {
            "http.request.method": info.method if known else "_OTHER",
            "url.scheme": self._scheme,
            "url.path": redact(info.path)[:_MAX_TEXT],
            "client.address": (info.client or info.peer)[:_MAX_ADDRESS],
            "network.peer.address": info.peer,
            "network.protocol.name": "http",
            "segue.request_id": info.request_id,
            "segue.cohort": info.cohort,
        }
        if info.status:
            attributes["http.response.status_code"] = info.status
        is_error = info.status >= 500
        if is_error or info.error:
            attributes["error.type"] = info.error or str(info.status)
        if info.selection is not None:
            attributes["segue.version.source"] = str(info.selection.source.value)
        if info.upstream:
            attributes["segue.upstream.address"] = info.upstream
            attributes["segue.upstream.duration"] = info.waited
        named = {
            "segue.mapping.to_client": info.to_client,
            "segue.mapping.to_server": info.to_server,
            "segue.shared_from": info.shared_from,
        }
        attributes.update({name: value for name, value in named.items() if value})
        self._queue.put(
            Span(
                name=info.method if known else "HTTP",
                trace_id=trace.trace_id,
                span_id=trace.span_id,
                parent_id=trace.parent_id,
                is_remote=True,
                is_server=True,
                end=time.time_ns(),
                duration=duration,
                attributes=attributes,
                is_error=is_error,
            )
        )

    def _websocket(
        self, info: RequestInfo, now: float, socket: SocketTotals, facts: Mapping[str, object]
    ) -> None:
        """Make the span of a WebSocket, the child of its handshake's."""
        trace = info.trace
        from_client, from_server = socket.received
        attributes: dict[str, Value] = {
            "url.path": redact(info.path)[:_MAX_TEXT],
            "network.protocol.name": "websocket",
            "segue.request_id": info.request_id,
            "segue.cohort": info.cohort,
            "segue.upstream.address": info.upstream,
            "segue.websocket.client_bytes": from_client,
            "segue.websocket.server_bytes": from_server,
        }
        for name in _FACTS:
            value = facts.get(name)
            if isinstance(value, str | int):
                attributes[f"segue.websocket.{name}"] = value
        self._queue.put(
            Span(
                name="websocket",
                trace_id=trace.trace_id,
                span_id=new_span_id(self._random_bits),
                parent_id=trace.span_id,
                is_remote=False,
                is_server=False,
                end=time.time_ns(),
                duration=now - info.started,
                attributes=attributes,
                is_error=bool(facts.get("fault")),
            )
        )


def families(queue: SpanQueue | None) -> Families:
    """What is shown of traces; None where there are none."""

    def counts() -> Samples:
        if queue is not None:
            yield ("exported",), queue.exported
            yield ("failed",), queue.failed
            yield ("dropped",), queue.dropped

    return (
        counter(
            "segue_trace_spans",
            "Spans by what became of them, where `tracing.enabled`: `exported`; `failed`, the"
            " collector did not take them; `dropped`, as `tracing.queue` was full.",
            ("result",),
            counts,
        ),
    )
