"""Connections of the admin listener, each for a bounded time and so many at once.

aiohttp bounds neither: a head or a body that drips, an answer that nobody takes, and any number of
connections that say nothing would keep probes and operators out. What is changed of its insides is
here; each change has a test with raw sockets.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.web_protocol import RequestHandler

from proxy.admin.metrics import Refusal
from proxy.admin.orders import refusal, refusal_of

MOST: Final = 128
"""Connections at once, by TCP; as many again by the Unix socket, where strangers cannot be."""

HEAD: Final = 10.0
"""Seconds for the whole head of the first request, for each body, and for a TLS handshake."""

NEXT: Final = 75.0
"""Seconds for that of a further one."""

TAKEN: Final = 30.0
"""Seconds for which a client may take nothing of what is sent to it."""

AT_WORK: Final = 3
"""The rank of a connection that makes no way: its request is being answered."""

_HEADERS: Final = 64
"""Fields of a request, each of 8 KiB at most."""


class AdminConnection(RequestHandler):
    """One connection.

    Attributes:
        is_waiting: whether no request is being answered.
        answered: how many were.
    """

    __slots__ = ("_server", "_timer", "answered", "is_waiting")

    def __init__(self, server: AdminServer, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(server, loop=loop, max_headers=_HEADERS, **kwargs)
        self._server = server
        self._timer: asyncio.TimerHandle | None = None
        self.is_waiting = True
        self.answered = 0

    @property
    def rank(self) -> int:
        """How early it makes way: who asked nothing yet, who takes no answer, who asks no more."""
        if self.is_waiting:
            return 2 if self.answered else 0
        return 1 if self.writing_paused else AT_WORK

    def abort(self, why: Refusal) -> None:
        """Give the connection up: what is left to be sent is not waited for."""
        self._stop_timer()
        if self.transport is not None:
            self._server.refused[why] += 1
            self.transport.abort()

    # What aiohttp and the loop call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start_timer(HEAD)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_timer(TAKEN)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_waiting:
            self._start_timer(NEXT)
        else:
            self._stop_timer()

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        self.is_waiting = False
        self._stop_timer()
        if not request.content.is_eof():
            self._timer = self._loop.call_later(HEAD, self._check_body, request.content)
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self.is_waiting = True
            self.answered += 1
            if self.transport is not None:
                self._start_timer(NEXT)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request without repeating it, and log no line for each."""
        if status >= 500:
            super().handle_error(request, status, exc, message)  # Logs it.
            answer = refusal(status, "something failed in Segue; its log says what")
            answer.force_close()
            return answer
        self._server.refused[Refusal.MALFORMED] += 1
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun")
        answer = refusal(status, "this is not an HTTP request that can be read")
        answer.force_close()
        return answer

    def _check_body(self, content: StreamReader) -> None:
        """Its time is up; an answer may take longer."""
        self._timer = None
        if not content.is_eof():
            self.abort(Refusal.TOO_SLOW)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self.abort, Refusal.TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AdminServer(web.Server):
    """Makes connections, and room for new ones: who says nothing makes way.

    Attributes:
        refused: counts those that were given up.
    """

    def __init__(
        self, made: web.Server, refused: Counter[Refusal], paths: frozenset[str] = frozenset()
    ) -> None:
        """Take the place of what aiohttp has made for an application, whose paths these are."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPException as error:
                return refusal_of(error, paths)

        super().__init__(
            answer,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001 (aiohttp builds them for the application)
        )
        self.refused = refused
        self._here: dict[AdminConnection, None] = {}
        self._by_unix_socket: dict[AdminConnection, None] = {}

    def __call__(self) -> AdminConnection:
        """Return the protocol of a new connection; a wrong argument is an error, not a default."""
        return AdminConnection(self, self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection; where it is one too many, one that waits makes way for it."""
        super().connection_made(handler, transport)
        is_tcp = isinstance(transport.get_extra_info("peername"), tuple)
        group = self._here if is_tcp else self._by_unix_socket
        group[cast(AdminConnection, handler)] = None
        if len(group) > MOST:
            # Of several the oldest; the new one only where all others are at work.
            chosen = min(list(group)[:-1], key=lambda each: each.rank)
            if chosen.rank == AT_WORK:
                chosen = cast(AdminConnection, handler)
            del group[chosen]
            self._loop.call_soon(chosen.abort, Refusal.TOO_MANY)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._here.pop(cast(AdminConnection, handler), None)
        self._by_unix_socket.pop(cast(AdminConnection, handler), None)


class AdminRunner(web.AppRunner):
    """Runs an application on such connections."""

    __slots__ = ("_refused",)

    def __init__(self, app: web.Application, refused: Counter[Refusal]) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=1.0)
        self._refused = refused

    async def _make_server(self) -> web.Server:
        paths = frozenset(each.canonical for each in self.app.router.resources())
        return AdminServer(await super()._make_server(), self._refused, paths)


class AdminSite(web.TCPSite):
    """Listens on an address; what aiohttp's own does, with a bound for TLS handshakes."""

    __slots__ = ()

    def __init__(self, runner: AdminRunner, host: str, port: int, tls: SSLContext | None) -> None:
        super().__init__(runner, host, port, ssl_context=tls)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: it is not possible there.
        """
        await web.BaseSite.start(self)
        server, tls = self._runner.server, self._ssl_context
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            server,
            self._host,
            self._port,
            ssl=tls,
            backlog=self._backlog,
            ssl_handshake_timeout=None if tls is None else HEAD,
        )
