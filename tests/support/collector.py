"""A collector of OpenTelemetry's: it takes OTLP over HTTP, and decodes its protobuf."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import PATIENCE


@dataclass
class Collector:
    """What it was sent.

    Attributes:
        url: where traces go.
        spans: in the order in which they came, with the attributes of their resource.
        heads: the fields of each request.
        bodies: as they came.
        status: of the answers.
        hold: where it is not set, it does not answer.
    """

    url: str = ""
    spans: list[tuple[Span, dict[str, Any]]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: int = 200
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def first(self, count: int) -> list[Span]:
        """The first so many spans, once they are there."""
        async with asyncio.timeout(PATIENCE):
            while len(self.spans) < count:
                self._more.clear()
                await self._more.wait()
        return [span for span, _ in self.spans[:count]]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.heads.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(body)
        await self.hold.wait()
        if self.status == 200:
            assert request.content_type == "application/x-protobuf"
            told = ExportTraceServiceRequest.FromString(body)
            for resource in told.resource_spans:
                about = values(resource.resource.attributes)
                for scope in resource.scope_spans:
                    self.spans += [(span, about) for span in scope.spans]
            self._more.set()
        return web.Response(status=self.status, body=b"")


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    found = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        found[each.key] = getattr(each.value, kind)
    return found


@asynccontextmanager
async def collector(path: str = "/v1/traces") -> AsyncIterator[Collector]:
    """Run one on a free port."""
    state = Collector()
    state.hold.set()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post(path, state.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    state.url = f"http://{host}:{port}{path}"
    try:
        yield state
    finally:
        state.hold.set()
        await runner.cleanup()
