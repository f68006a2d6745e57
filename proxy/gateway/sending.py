"""The step `relay`: a request goes to a server, with the token that is good now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from functools import partial

from proxy.gateway.context import RequestContext
from proxy.gateway.forwarding import request_head
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.sessions import Send, SessionFilter
from proxy.http import cors
from proxy.http.headers import Fields
from proxy.observability.access_log import RequestInfo
from proxy.relay.bodies import MappedExchange
from proxy.relay.dispatch import Begin, Dispatcher, HandshakeResult
from proxy.relay.exchange import Amend, Exchange, ExchangeEnds, Recipient
from proxy.relay.observed import ObservedExchange
from proxy.upstream.connection import Connection


class Sender:
    """Gets requests to a server, and responses back."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        sessions: SessionFilter,
        rewriting: Rewriting,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._rewriting = rewriting
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._loop = loop

    def carry(
        self,
        context: RequestContext,
        info: RequestInfo | None = None,
        begin: Begin | None = None,
    ) -> Awaitable[Exchange]:
        """Get a request to the server, with a token that is good, and again if it was refused.

        Args:
            context: the request.
            info: learns who was asked; the request's own where it is None.
            begin: makes the exchange; one that answers the client where it is None.

        Raises:
            SegueError: the server could not be asked, or its token has ended.
        """
        return self._sessions.exchange(context, self.sending(context, info, begin))

    def sending(
        self,
        context: RequestContext,
        info: RequestInfo | None = None,
        begin: Begin | None = None,
    ) -> Send:
        """What sends a request, with the fields that it is given; arguments as for `carry`."""
        return partial(
            self._send,
            context,
            context.info if info is None else info,
            partial(self.exchange, context, context.client) if begin is None else begin,
        )

    def exchange(
        self, context: RequestContext, recipient: Recipient, connection: Connection
    ) -> Exchange:
        """Return the exchange that carries a request and its response, rewritten or not."""
        bodies = context.bodies
        ends = ExchangeEnds(
            recipient,
            context.request,
            connection,
            context.snapshot.config.timeouts.body,
            self._loop,
            _amendment(context) if bodies is None else bodies.amend,
        )
        if bodies is not None and bodies.to_client is not None:
            return MappedExchange(ends, bodies.to_client, bodies.limits, bodies.response_held)
        observer = self._rewriting.observer(context)
        return Exchange(ends) if observer is None else ObservedExchange(ends, observer)

    def handshake(self, context: RequestContext) -> Awaitable[HandshakeResult]:
        """Shake hands with the server, with a token that is good.

        Raises:
            SegueError: the server could not be asked, or the token has ended.
        """
        return self._sessions.handshake(context, partial(self._shake, context))

    def _send(
        self,
        context: RequestContext,
        info: RequestInfo,
        begin: Begin,
        fields: Fields,
        watched: Collection[int] = (),
    ) -> Awaitable[Exchange]:
        head = request_head(context.request, context.target, list(fields))
        return self._dispatcher.exchange(info, context.request, head, begin, watched)

    def _shake(
        self, context: RequestContext, target: bytes, fields: Fields, watched: Collection[int]
    ) -> Awaitable[HandshakeResult]:
        timeouts = context.snapshot.config.timeouts

        def begin(connection: Connection) -> Exchange:
            ends = ExchangeEnds(
                context.client, context.request, connection, timeouts.body, self._loop
            )
            return Exchange(ends, may_switch=True)

        return self._dispatcher.handshake(
            context.info,
            request_head(context.request, target, list(fields)),
            begin,
            timeouts.websocket_handshake,
            watched,
        )


def _amendment(context: RequestContext) -> Amend | None:
    """What is changed in the fields of the response: preflights learn of the version header."""
    spelled = context.snapshot.versions.header
    if not context.head.preflight or not spelled:
        return None
    received = context.request.fields
    return lambda _, fields: cors.allow_header(received, fields, spelled)
