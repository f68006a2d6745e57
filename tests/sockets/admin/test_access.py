"""Orders to a running Segue come from its own machine, and from nobody who speaks for others."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import cast
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.admin.endpoints import routes
from proxy.admin.recording import Recordings
from proxy.admin.sessions import SessionOrders
from proxy.control.loading import load
from proxy.observability import log
from proxy.recording.recorder import Recorder
from proxy.snapshot import Live
from tests.support.rig import CONFIG, segue

OPEN = {"/healthz", "/readyz", "/metrics"}
"""What Prometheus and load balancers ask for, from wherever they are."""


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:9090"},
        {"Host": "[::1"},
        {"Host": ""},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
    ],
)
async def test_page_of_another_name_and_proxied_request_are_refused_at_every_order(
    headers: dict[str, str],
) -> None:
    async with segue("http://127.0.0.1:9") as running:
        assert running.server._admin is not None
        app = running.server._admin.app
        assert app is not None
        asked = set()
        async with aiohttp.ClientSession(f"http://{running.server.admin_address}") as client:
            for route in app.router.routes():
                assert route.resource is not None
                path = route.resource.canonical
                if path in OPEN:
                    continue
                asked.add((route.method, path))
                url = path.translate({ord("{"): "x", ord("}"): "x"})
                async with client.request(route.method, url, json={}, headers=headers) as response:
                    assert response.status == 403, (route.method, path)
        assert {("POST", "/recordings"), ("DELETE", "/sessions/{session}")} <= asked


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        (("127.0.0.1", 40000), True),
        (("::1", 40000, 0, 0), True),
        (("::ffff:127.0.0.1", 40000, 0, 0), True),
        (("192.0.2.7", 40000), False),
        (("::ffff:192.0.2.7", 40000, 0, 0), False),
        (("fe80::1%eth0", 40000, 0, 2), False),
        ("", False),
        (None, False),
    ],
)
async def test_only_the_loopback_of_this_machine_may_give_orders(
    peer: object, allowed: bool
) -> None:
    loop = asyncio.get_running_loop()
    writer = log.Writer(io.StringIO())
    recorder = Recorder(loop, log.build(writer, "debug", "json", is_terminal=False))
    endpoints = Recordings(recorder, Live(load(CONFIG, {}, {}))).endpoints()
    endpoints += SessionOrders(None).endpoints()
    transport = Mock()
    transport.get_extra_info = Mock(side_effect={"peername": peer}.get)
    statuses = set()
    for route in routes(endpoints):
        request = make_mocked_request(
            route.method,
            "/recordings/name",
            {"Host": "localhost:9090"},
            match_info={"name": "name"},
            transport=transport,
        )
        handler = cast(Callable[[web.Request], Awaitable[web.Response]], route.handler)
        statuses.add((await handler(request)).status)
    assert statuses == ({404, 415} if allowed else {403})
    writer.close()
