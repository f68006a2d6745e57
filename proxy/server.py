"""The composition root: the only place that constructs. Listeners, clock, signals, drain."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from structlog.typing import FilteringBoundLogger

from proxy.admin.app import State, application
from proxy.config import Config
from proxy.connections import Connections
from proxy.errors import ConfigError, Problem
from proxy.gateway import Gateway
from proxy.live import Live, Snapshot
from proxy.metrics import Family, Metrics
from proxy.relay.limits import Limits
from proxy.relay.takeover import Listener
from proxy.upstream import Pool, Target
from proxy.visits import Journal

_TICK: Final = 0.5
"""Seconds between two looks at the deadlines; a timeout is late by this much at most."""

_BACKLOG: Final = 4096


def segue_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("segue-proxy")
    except PackageNotFoundError:
        return "unknown"


class Server:
    """One process of Segue, from its sockets down.

    Attributes:
        state: what `/readyz` says.
        address, admin_address: `host:port` of the sockets, once they listen.
    """

    def __init__(self, snapshot: Snapshot, log: FilteringBoundLogger) -> None:
        """Construct everything; nothing listens yet.

        Raises:
            ConfigError: a certificate, key or CA file cannot be used.
        """
        config = snapshot.config
        loop = asyncio.get_running_loop()
        self.state = State.STARTING
        self.address = ""
        self.admin_address = ""
        self._config = config
        self._log = log
        self._loop = loop
        self._metrics = Metrics(segue_version())
        self._pool = Pool(upstream_target(config), loop)
        self._tls = listener_tls(config)
        self._connections = Connections()
        gateway = Gateway(
            Live(snapshot),
            self._pool,
            self._connections,
            self._metrics,
            Journal(self._metrics, log),
            loop,
        )
        self._listener = Listener(
            gateway.serve,
            gateway.refuse,
            client_limits(config),
            lambda: len(self._connections),
            loop,
        )
        self._servers: list[asyncio.Server] = []
        self._admin: web.AppRunner | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._show_state()

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: an address cannot be listened on.
        """
        config = self._config
        admin = self._admin = web.AppRunner(
            application(self._metrics, lambda: self.state), access_log=None, shutdown_timeout=1.0
        )
        await admin.setup()
        try:
            site = web.TCPSite(admin, config.admin.address.host, config.admin.address.port)
            await site.start()
        except OSError as error:
            await admin.cleanup()
            raise _cannot_listen("admin.address", str(config.admin.address), error) from None
        self.admin_address = _authority(admin.addresses[0])
        try:
            server = await self._loop.create_server(
                self._listener,
                config.listen.address.host,
                config.listen.address.port,
                ssl=self._tls,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await admin.cleanup()
            raise _cannot_listen("listen.address", str(config.listen.address), error) from None
        self._servers.append(server)
        self.address = _authority(server.sockets[0].getsockname())
        self._tick()
        self.state = State.READY
        self._log.info(
            "listening",
            address=self.address,
            admin=self.admin_address,
            upstream=config.upstream.url,
            tls=self._tls is not None,
        )

    async def drain(self) -> bool:
        """End in an orderly way: unready, accept no more, finish requests, close sockets.

        Returns whether everything ended by itself within `timeouts.drain`.
        """
        timeout = self._config.timeouts.drain
        self.state = State.DRAINING
        self._log.info("draining", websockets=len(self._connections), seconds=timeout)
        for server in self._servers:
            server.close()
        deadline = self._loop.time() + timeout
        orderly = all(
            await asyncio.gather(self._listener.drain(timeout), self._connections.drain(timeout))
        )
        # A handshake may have become a WebSocket after the last one had ended.
        left = max(deadline - self._loop.time(), 0)
        orderly = await self._connections.drain(left) and orderly
        await self.close()
        self._log.info("stopped", orderly=orderly)
        return orderly

    async def close(self) -> None:
        """Give up what is left: clients, WebSockets, the pool, the clock, the admin listener."""
        for server in self._servers:
            server.close()
        await asyncio.gather(self._listener.drain(0), self._connections.drain(0))
        if self._ticker is not None:
            self._ticker.cancel()
        self._pool.close()
        if self._admin is not None:
            await self._admin.cleanup()

    def _tick(self) -> None:
        now = self._loop.time()
        self._listener.check(now)
        self._pool.check(now)
        self._ticker = self._loop.call_later(_TICK, self._tick)

    def _show_state(self) -> None:
        metrics, pool, counters = self._metrics, self._pool, self._pool.counters
        metrics.add(
            Family(
                "gauge",
                "segue_open_connections",
                "Client connections open now: those that speak HTTP, and WebSockets.",
                ("kind",),
                lambda: [
                    (("http",), len(self._listener.connections)),
                    (("websocket",), len(self._connections)),
                ],
            )
        )
        metrics.add(
            Family(
                "gauge",
                "segue_upstream_up",
                "1 if the newest attempt to connect to the server succeeded, else 0.",
                (),
                lambda: [((), counters.up)],
            )
        )
        metrics.add(
            Family(
                "gauge",
                "segue_upstream_connections",
                "Pooled connections to the server: busy with an exchange, or idle.",
                ("state",),
                lambda: [(("busy",), pool.busy), (("idle",), pool.idle)],
            )
        )
        metrics.add(
            Family(
                "counter",
                "segue_upstream_connects",
                "Connections to the server that were opened.",
                (),
                lambda: [((), counters.connects)],
            )
        )
        metrics.add(
            Family(
                "counter",
                "segue_upstream_reuses",
                "Exchanges that used a kept connection to the server.",
                (),
                lambda: [((), counters.reuses)],
            )
        )
        metrics.add(
            Family(
                "counter",
                "segue_upstream_failures",
                "Connection attempts and exchanges that failed on the server's side, by error.",
                ("error",),
                lambda: [((label,), count) for label, count in counters.failures.items()],
            )
        )


async def run(snapshot: Snapshot, log: FilteringBoundLogger) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal cuts the drain short.

    Raises:
        ConfigError: the server could not be started.
    """
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    server = Server(snapshot, log)
    await server.start()
    await signals.get()
    drain = asyncio.create_task(server.drain())
    again = asyncio.create_task(signals.get())
    await asyncio.wait((drain, again), return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if drain.done():
        drain.result()
    else:
        drain.cancel()
        await asyncio.wait((drain,))
        await server.close()
        log.warning("stopped before the drain was complete")


def client_limits(config: Config) -> Limits:
    """Return the bounds of client connections."""
    return Limits(
        header_timeout=config.timeouts.header,
        keepalive_timeout=config.timeouts.keepalive,
        header_line=config.limits.header_line,
        headers=config.limits.headers,
        write_buffer=config.limits.buffer,
        connections=config.limits.connections,
    )


def upstream_target(config: Config) -> Target:
    """Return where the server is, and what is expected of it.

    Raises:
        ConfigError: the CA file cannot be used.
    """
    url = urlsplit(config.upstream.url)
    context: ssl.SSLContext | None = None
    if url.scheme == "https":
        tls = config.upstream.tls
        try:
            context = ssl.create_default_context(cafile=tls.ca_file)
        except (OSError, ssl.SSLError):
            raise _unusable("upstream.tls.ca_file", str(tls.ca_file), "CA certificates") from None
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
    host = url.hostname or ""
    return Target(
        host=host,
        port=url.port or (443 if context is not None else 80),
        tls=context,
        server_name=config.upstream.tls.server_name or host,
        connect_timeout=config.timeouts.connect,
        response_timeout=config.timeouts.response,
        idle_timeout=config.timeouts.idle,
        max_head=config.limits.response_headers,
        max_idle=config.upstream.connections,
        write_buffer=config.limits.buffer,
    )


def listener_tls(config: Config) -> ssl.SSLContext | None:
    """Return the TLS context of the public listener, None for plain TCP.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    tls = config.listen.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError):
        raise _unusable(
            "listen.tls", f"{tls.certificate}, {tls.key}", "a certificate and its key"
        ) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _authority(address: tuple[object, ...]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _cannot_listen(path: str, address: str, error: OSError) -> ConfigError:
    # The loop puts the address in front of the system's text; a resolver's codes are negative.
    code = error.errno or 0
    reason = os.strerror(code) if code > 0 else error.strerror or "not possible"
    return ConfigError([Problem(address, 0, 0, path, f"cannot listen there: {reason.lower()}")])


def _unusable(path: str, file: str, what: str) -> ConfigError:
    return ConfigError([Problem(file, 0, 0, path, f"cannot be read as {what} in PEM")])
