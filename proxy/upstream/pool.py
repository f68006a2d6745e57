"""Connections to one server: kept while both sides may use them, and what they say of its health.

A pool lives as long as its server is in the configuration; what is expected of the server can
change meanwhile. Connections that began under other expectations end with their exchange.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from contextlib import ExitStack
from time import perf_counter
from typing import Final, Protocol

from proxy.errors import (
    NO_FILES,
    OutOfResources,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.upstream.connection import Connection, Owner
from proxy.upstream.deadline import Deadline
from proxy.upstream.health import EjectionRules, Health, SignsOfLife
from proxy.upstream.target import Counters, Target

_OVERLOADED: Final = frozenset({502, 503, 504})
"""Answers by which a server says that it cannot serve now (RFC 9110 section 15.6)."""


_UNACCEPTABLE: Final = {
    9: "is not valid yet",
    10: "has expired",
    62: "is for another name",
    64: "is for another address",
}
"""What OpenSSL's verification codes say (openssl-verification-options(1)); the others are about the
authority."""


class Neighbours(Protocol):
    """The other servers, and whoever wants to know of a change."""

    @property
    def signs(self) -> SignsOfLife:
        """What has been heard of all servers."""

    def can_spare(self, pool: Pool) -> bool:
        """Whether another server is in."""

    def changed(self, pool: Pool) -> None:
        """The server was put out, or is back in."""

    def exhausted(self, error: OutOfResources) -> None:
        """No connection could be made, and that is not because of a server."""


class Pool:
    """The connections to one server: the newest unused first, so that spare ones go stale.

    Attributes:
        target: what is expected of the server.
        name: what metrics and log call it.
        loop: of all transports.
        counters: what happened to the connections.
        health: whether the server is to be asked.
        in_flight: requests that it is being asked now, those that wait for a connection included.
        sockets: open WebSockets to it.
        failing: whether it has failed as often as ejects a server, whether or not it was ejected.
        reason: what its newest failure was.
        down_since: since when it has failed so often, or its probes say so, in seconds since 1970;
            None while it is well.
        signs: what has been heard of it, and of the other servers.
    """

    def __init__(
        self,
        target: Target,
        rules: EjectionRules,
        neighbours: Neighbours,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.target = target
        self.name = target.name
        self.loop = loop
        self.counters = Counters()
        self.health = Health(rules)
        self.in_flight = 0
        self.sockets = 0
        self.failing = False
        self.reason = ""
        self.down_since: float | None = None
        self.signs = neighbours.signs
        self._neighbours = neighbours
        self._kept = True
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()

    @property
    def epoch(self) -> int:
        """What an exchange that begins now is to name when it tells how it went."""
        return self.health.epoch

    @property
    def idle(self) -> int:
        """How many connections wait for use."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many connections carry an exchange."""
        return len(self._open) - len(self._idle)

    @property
    def load(self) -> int:
        """What the server has to do: requests and WebSockets."""
        return self.in_flight + self.sockets

    def take(self, *, look: bool) -> Connection | None:
        """Return an unused connection, or None: then `connect` makes one.

        Args:
            look: whether to ask the kernel if the server has closed it: for a request that cannot
                be sent again.
        """
        now = self.loop.time()
        while self._idle:
            connection = self._idle.pop()
            if connection.may_carry_another(now, look=look):
                self.counters.reuses += 1
                return connection
            connection.transport.close()
        return None

    async def connect(self) -> Connection:
        """Open a connection.

        Raises:
            UpstreamUnreachable: refused, unknown host, or TLS failed.
            UpstreamTimeout: not open in time.
            OutOfResources: no connection can be made here; the server has no part in it.
        """
        epoch = self.health.epoch
        begun = perf_counter()
        try:
            connection = await open_connection(self, self.target)
        except UpstreamError as error:
            self.counters.up = False
            self.counters.fail(error.label)
            self.failed(epoch, error.detail)
            raise
        except OutOfResources as error:
            self.health.abandoned(epoch)
            self._neighbours.exhausted(error)
            raise
        except asyncio.CancelledError:
            self.health.abandoned(epoch)
            raise
        self.counters.connects += 1
        self.counters.connect_time.observe(perf_counter() - begun)
        self.counters.up = True
        return connection

    def change(self, target: Target) -> None:
        """Expect this from here on. Unused connections are closed now, others after their use."""
        self._kept = True
        if target != self.target:
            self.target = target
            self.close_idle()

    def retire(self) -> None:
        """Keep no connection from here on: unused ones are closed now, others after their use."""
        self._kept = False
        self.close_idle()

    def close_idle(self) -> None:
        """Close the unused connections."""
        while self._idle:
            self._idle.pop().transport.close()

    def check(self, now: float) -> None:
        """Give up what is past its deadline, unused or not; called about twice a second."""
        for connection in tuple(self._open):
            connection.check(now)

    def close(self) -> None:
        """Close the unused connections and abort the others."""
        for connection in tuple(self._open):
            connection.abort()

    # Owner: what the connections tell.

    def remember(self, connection: Connection) -> None:
        """A connection is open."""
        self._open.add(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is closed, or no longer the pool's."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def put_back(self, connection: Connection) -> None:
        """Keep a connection for the next exchange, within `max_idle`."""
        if not self._kept or connection.target is not self.target:
            connection.transport.close()
            return
        self._idle.append(connection)
        if len(self._idle) > self.target.max_idle:
            self._idle.popleft().transport.close()

    def answered(self, status: int, epoch: int) -> None:
        """The server has answered a request."""
        if status in _OVERLOADED:
            self.failed(epoch, f"the server answered with {status}")
            return
        self.signs.answers += 1
        if self.health.troubled and (self.health.succeeded() or self.failing):
            self._neighbours.changed(self)

    def abandoned(self, epoch: int) -> None:
        """A request was given up before there was an answer."""
        self.health.abandoned(epoch)

    def failed(self, epoch: int, reason: str) -> None:
        """The server could not be reached, or did not answer a request that it was asked."""
        spare, health = self._neighbours.can_spare(self), self.health
        self.reason = reason
        if health.failed(self.loop.time(), epoch, spare=spare):
            self.failing = True
            self.counters.ejections += 1
            self.close_idle()
            self._neighbours.changed(self)
        elif not self.failing and health.failures >= health.rules.failures:
            # There is no other: it is asked all the same, and somebody should know.
            self.failing = True
            self._neighbours.changed(self)


async def open_connection(owner: Owner, target: Target) -> Connection:
    """Open a connection.

    Args:
        owner: whom it belongs to.
        target: where to.

    Raises:
        UpstreamUnreachable: refused, unknown host, or TLS failed.
        UpstreamTimeout: not open in time.
        OutOfResources: no connection can be made here; the server has no part in it.
    """
    connection = Connection(owner, target)
    opened = False
    try:
        with Deadline(owner.loop, target.connect_timeout):
            await owner.loop.create_connection(
                lambda: connection,
                target.host,
                target.port,
                ssl=target.tls,
                server_hostname=target.server_name if target.tls is not None else None,
            )
        opened = not connection.transport.is_closing()
        if opened and _number(connection.transport) >= target.last_file:
            # What is left is for the admin listener, and whoever else looks after the process.
            opened = False
            connection.transport.abort()
            raise OutOfResources(NO_FILES)
    except TimeoutError:
        raise UpstreamTimeout("no connection to the server in time") from None
    except ssl.SSLCertVerificationError as error:
        reason = _UNACCEPTABLE.get(error.verify_code, "is issued by an untrusted CA")
        raise UpstreamUnreachable(f"the server's certificate {reason}") from None
    except ssl.SSLError:
        raise UpstreamUnreachable(
            "the TLS handshake with the server failed; does its port speak TLS?"
        ) from None
    except OSError as error:
        raise own_trouble(error) or UpstreamUnreachable(why_not(error)) from None
    finally:
        if not opened:
            # uvloop closes what is given up on the way, and does not say so to the protocol.
            owner.forget(connection)
    if not opened:
        # Its end has been reported already, and to nobody: no exchange had begun.
        raise UpstreamUnreachable("the server closed the connection at once")
    return connection


def _number(transport: asyncio.BaseTransport) -> int:
    """That of the open file; -1 where it is closed."""
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())


_OWN: Final = {
    errno.EMFILE: NO_FILES,
    errno.ENFILE: "this machine may open no more files: raise fs.file-max",
    errno.ENOBUFS: "this machine has no buffers left for sockets: give it more memory, or raise"
    " net.ipv4.tcp_mem",
    errno.ENOMEM: "this machine has no memory left for sockets: give it more, or raise"
    " net.ipv4.tcp_mem",
    errno.EADDRNOTAVAIL: "this machine has no free port for a connection to the server: widen"
    " net.ipv4.ip_local_port_range, or name more servers in upstream.targets",
}
"""Why no connection can be made, where that is not because of the server, and what to do."""


_REFUSALS: Final = {
    errno.ECONNREFUSED: "the server refused the connection: nothing listens on its port",
    errno.ECONNRESET: "the server reset the connection while it was opened",
    errno.EPIPE: "the server reset the connection while it was opened",
    errno.ETIMEDOUT: "the connection to the server timed out",
    errno.EHOSTUNREACH: "there is no route to the server",
    errno.ENETUNREACH: "there is no route to the server",
}
"""Why the server cannot be connected to. Which one it is stands beside it, as `upstream`."""


def why_not(error: OSError) -> str:
    """Say what a failure to connect is, without the system's text: it names addresses."""
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return "the name of the server cannot be looked up at the moment"
        return "the name of the server is unknown"
    return _REFUSALS.get(error.errno or 0, "no connection to the server")


_FOR_A_NAME: Final = 8
"""Files that resolvers open at once; some close one of their own when they fail, so that one is
free again (mdns of nsswitch.conf)."""


def _shortage() -> OSError | None:
    """Return why this process can open no more files, if it cannot."""
    with ExitStack() as opened:
        try:
            for _ in range(_FOR_A_NAME):
                opened.enter_context(socket.socket())
        except OSError as error:
            return error
    return None


def own_trouble(error: OSError) -> OutOfResources | None:
    """Return what a failure to connect says of this machine; None where it is about the server."""
    if error.errno not in _REFUSALS and error.errno not in _OWN:
        # A resolver that cannot open its files says that it does not know the name, or anything.
        error = _shortage() or error
    detail = _OWN.get(error.errno or 0)
    if detail is None:
        return None
    # The ports of this machine are counted for each server by itself.
    return OutOfResources(detail, elsewhere=error.errno == errno.EADDRNOTAVAIL)
