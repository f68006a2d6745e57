"""Spans by OTLP over HTTP, with OpenTelemetry's own packages: the extra `otel`.

This module is imported where tracing is on, and nowhere else.
"""

from __future__ import annotations

import logging
import os
from typing import Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from proxy.observability.tracing import Span

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_QUIET: Final = logging.CRITICAL + 1


class OtlpExporter:
    """Sends spans to a collector."""

    def __init__(
        self,
        endpoint: str,
        *,
        token: str | None,
        ca_file: str | None,
        service: str,
        version: str,
        timeout: float,
    ) -> None:
        # What becomes of spans is counted, and logged when it changes; the library would say it at
        # each try, with what a collector answers.
        logging.getLogger("opentelemetry").setLevel(_QUIET)
        session = requests.Session()
        # Neither a proxy nor a netrc of the environment: the configuration says where spans go.
        session.trust_env = False
        headers = {"user-agent": f"segue/{version}"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint,
            headers=headers,
            certificate_file=ca_file,
            timeout=timeout,
            session=session,
        )
        self._scope = InstrumentationScope("segue", version)
        self._resource = Resource.create(
            {
                "service.name": service,
                "service.version": version,
                "service.instance.id": os.urandom(16).hex(),
            }
        )

    def export(self, spans: list[Span]) -> bool:
        """Send some; whether they were taken."""
        readable = [self._readable(span) for span in spans]
        return self._exporter.export(readable) is SpanExportResult.SUCCESS

    def stop(self) -> None:
        """Give up what is being tried again."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None
        if span.parent_id:
            parent = SpanContext(
                trace_id, int(span.parent_id, 16), is_remote=span.is_remote, trace_flags=_SAMPLED
            )
        return ReadableSpan(
            name=span.name,
            context=SpanContext(
                trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED
            ),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER if span.is_server else SpanKind.INTERNAL,
            instrumentation_scope=self._scope,
            status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
            start_time=span.end - int(span.duration * 1e9),
            end_time=span.end,
        )
