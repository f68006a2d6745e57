"""The admin listener: `/healthz`, `/readyz`, `/metrics`. An ordinary aiohttp application."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from aiohttp import web

from proxy.observability.metrics import CONTENT_TYPE, Metrics


class ProcessState(StrEnum):
    """Where the process is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


def application(
    metrics: Metrics, state: Callable[[], ProcessState], store_is_up: Callable[[], bool]
) -> web.Application:
    """Return the application.

    `/healthz` answers 200 as long as the event loop turns. `/readyz` answers 200 while new
    traffic is welcome and 503 while the process starts or drains, so that a load balancer sends
    it elsewhere. The server's own health is not part of either: taking every replica of a proxy
    away because the server is down would only turn its 502 into a refused connection. The same goes
    for the session store; `/readyz` says that it is away, and stays ready.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        now = state()
        status = 200 if now is ProcessState.READY else 503
        body = {"status": now.value} | ({} if store_is_up() else {"store": "away"})
        return web.json_response(body, status=status)

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", page)
    return app
