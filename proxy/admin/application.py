"""The admin listener, and the probes and metrics on it. An ordinary aiohttp application."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from ssl import SSLContext

from aiohttp import web

from proxy.admin.access import Access
from proxy.admin.connections import AdminRunner, AdminSite
from proxy.admin.console import Console
from proxy.admin.endpoints import Endpoint, Served, routes
from proxy.admin.metrics import Refusal
from proxy.admin.orders import MAX_BODY
from proxy.admin.unix_socket import UnixSocketSite
from proxy.observability.metrics import (
    CONTENT_TYPE,
    OPENMETRICS,
    OPENMETRICS_CONTENT_TYPE,
    Metrics,
)
from proxy.types import Role


class ProcessState(StrEnum):
    """Where the process is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


def probes(
    metrics: Metrics,
    state: Callable[[], ProcessState],
    store: Callable[[], str],
    switches: Callable[[], str] = lambda: "",
) -> tuple[Served, ...]:
    """Return `/healthz`, `/readyz` and `/metrics`.

    `/healthz` answers 200 as long as the event loop turns. `/readyz` answers 200 while new
    traffic is welcome and 503 while the process starts or drains, so that a load balancer sends
    it elsewhere. The server's own health is not part of either: taking every replica of a proxy
    away because the server is down would only turn its 502 into a refused connection. The same goes
    for the stores; `/readyz` says that one is away or read-only, or that a revision of the switches
    is not in force here, and stays ready.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        now = state()
        status = 200 if now is ProcessState.READY else 503
        told = {"store": store(), "switches": switches()}
        body = {"status": now.value} | {name: each for name, each in told.items() if each}
        return web.json_response(body, status=status)

    async def page(request: web.Request) -> web.Response:
        await metrics.prepare()
        if OPENMETRICS in request.headers.get("Accept", ""):
            body, kind = metrics.openmetrics_page(), OPENMETRICS_CONTENT_TYPE
        else:
            body, kind = metrics.page(), CONTENT_TYPE
        return web.Response(body=body, headers={"Content-Type": kind})

    return (
        (Endpoint("GET", "/healthz", None, None, None, base=""), healthz),
        (Endpoint("GET", "/readyz", None, None, None, base=""), readyz),
        (Endpoint("GET", "/metrics", Role.METRICS, None, None, base=""), page),
    )


def application(
    endpoints: Iterable[Served], access: Access, pages: Console | None = None
) -> web.Application:
    """Return an application of these endpoints, for those whom they are for, and of a console."""
    app = web.Application(client_max_size=MAX_BODY)
    app.add_routes(routes(endpoints, access))
    if pages is not None:
        app.add_routes(pages.routes(access))
    return app


class AdminListener:
    """The listener for operators and their machines.

    Attributes:
        app: what answers.
    """

    def __init__(self, app: web.Application, refused: Counter[Refusal]) -> None:
        """Construct.

        Args:
            app: what answers.
            refused: counts connections that were given up.
        """
        self.app = app
        self._runner = AdminRunner(app, refused)

    async def start(
        self, host: str, port: int, tls: SSLContext | None = None
    ) -> tuple[object, ...]:
        """Listen; return the address of the socket.

        Raises:
            OSError: it is not possible there.
        """
        await self._runner.setup()
        try:
            await AdminSite(self._runner, host, port, tls).start()
        except OSError:
            await self._runner.cleanup()
            raise
        address: tuple[object, ...] = self._runner.addresses[0]
        return address

    async def start_locally(self, state_directory: Path) -> Path:
        """Listen on the Unix socket of a state directory too; return where it is.

        Raises:
            OSError: it is not possible there.
        """
        site = UnixSocketSite(self._runner, state_directory)
        await site.start()
        return site.path

    async def close(self) -> None:
        """Stop listening, and end what is being answered."""
        await self._runner.cleanup()
