"""What Segue does to a request, from top to bottom.

    snapshot -> head -> session -> version -> fields -> bodies -> relay -> outcome

`Gateway.serve` is called for each request of each connection, and makes a `RequestContext` of it
that goes through the steps. An HTTP exchange is over when it returns; a WebSocket goes on without
it, as an `OpenWebSocket` in the registry of connections. Around `relay` is `session` again: a
request that the server refuses for its token (401; for a handshake 403 too) is sent once more with
a fresh one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from proxy.downstream.connection import ClientConnection
from proxy.downstream.limits import client_address, client_bucket, is_in
from proxy.downstream.request import Request
from proxy.errors import ClientError, ClientGone, SegueError, Unavailable, UpstreamError
from proxy.gateway.client_page import PREFIX, ClientPage
from proxy.gateway.coalescing import Coalescer
from proxy.gateway.context import RequestContext
from proxy.gateway.forwarding import checked_head, forwarded_fields, last_answer
from proxy.gateway.kept_answers import KeptAnswer
from proxy.gateway.request_outcomes import RequestOutcomes
from proxy.gateway.rewriting import Rewriting
from proxy.gateway.sessions import SessionFilter
from proxy.gateway.token_endpoints import TokenEndpoints
from proxy.gateway.upgrade import Upgrades
from proxy.http import cors, traceparent
from proxy.http.responses import Reply, problem, relayed, reply
from proxy.memory import NOBODY
from proxy.observability.access_log import AccessLog
from proxy.relay.exchange import Exchange
from proxy.snapshot import Live
from proxy.versions.sources import Received, RequestParts, Sources

_NO_CONTENT: Final = 204


@dataclass(frozen=True, slots=True)
class Steps:
    """What a request goes through.

    Attributes:
        sessions: whose session it is, and which token goes to the server.
        token_endpoints: the routes on which clients get tokens; None where sessions are off.
        rewriting: what is done to messages and bodies.
        coalescing: to the server, for all who ask the same together.
        upgrades: to the server, for WebSockets.
        outcomes: what became of requests, by what was decided for their clients.
        client_page: the page that Segue serves itself.
    """

    sessions: SessionFilter
    token_endpoints: TokenEndpoints | None
    rewriting: Rewriting
    coalescing: Coalescer
    upgrades: Upgrades
    outcomes: RequestOutcomes
    client_page: ClientPage


class Gateway:
    """Serves requests: the one pipeline."""

    def __init__(self, live: Live, steps: Steps, access_log: AccessLog) -> None:
        self._live = live
        self._steps = steps
        self._access_log = access_log

    async def serve(self, client: ClientConnection, request: Request) -> None:
        """Answer one request."""
        info = self._access_log.open(
            perf_counter(),
            client.address,
            request.method,
            request.target,
            request.fields if traceparent.has_trace(request.shape) else (),
        )
        snapshot = self._live.current
        fields, shape = request.fields, request.shape
        info.user_agent = b"".join(shape.values(fields, b"user-agent"))
        trusted = snapshot.config.listen.trusted_proxies
        if trusted and is_in(trusted, client.address):
            self._access_log.trust(
                info,
                client_address(
                    trusted, b",".join(shape.values(fields, b"x-forwarded-for")).decode("latin-1")
                ),
                b", ".join(shape.values(fields, b"x-request-id")),
            )
        if self._access_log.decisions.active:
            received = shape.values(fields, b"x-request-id")
            info.trail = self._access_log.decisions.follow(info.request_id, b"".join(received))
        if info.is_trusted:
            client.held.holder = client_bucket(info.client) if info.client else NOBODY
        context = RequestContext(client, request, snapshot, info)
        try:
            outcome = await self._answer(context)
            if outcome is not None:
                self._conclude(context, outcome)
        except SegueError as error:
            self._refuse(context, error)
        except asyncio.CancelledError:
            if client.cut is not None:
                self._access_log.fail(info, client.cut)
            else:
                info.status, info.error = ClientGone.status, ClientGone.label
            raise
        except Exception as error:  # noqa: BLE001 (a fault of Segue's must not end the connection unanswered)
            self._access_log.internal_error(error)
            self._refuse(context, SegueError())
        finally:
            if context.bodies is not None:
                self._steps.rewriting.forget(context)
            context.give_back()
            now = perf_counter()
            if info.status != 101:
                self._access_log.close(info, now)
            if context.decision is not None:
                self._steps.outcomes.observe(context.decision, info, now)

    def refuse(self, client: ClientConnection, error: SegueError) -> None:
        """Answer what is not a request; the connection ends with the answer."""
        info = self._access_log.open(perf_counter(), client.address, "", b"")
        client.persistent = False
        self._access_log.fail(info, error)
        client.write(problem(error, info.request_id, (), persistent=False, is_head=False))
        self._access_log.close(info, perf_counter())

    # The steps, in the order in which they are taken.

    async def _answer(self, context: RequestContext) -> Exchange | KeptAnswer | Reply | None:
        """Take a request through the steps; None where it became a WebSocket."""
        steps = self._steps
        # head
        head = context.head = checked_head(context)
        context.target = head.target
        context.info.protocol = "websocket" if head.upgrade else "http"
        if head.hops == 0:
            return last_answer(context)
        if head.target.startswith(PREFIX) and context.snapshot.config.client.enabled:
            return await steps.client_page.answer(context)
        # session; on the routes of tokens, the one that the head of the request tells
        endpoints = steps.token_endpoints
        route = None if endpoints is None else endpoints.find(context)
        enter = steps.sessions.enter
        if route is not None and route.issues:
            enter = steps.sessions.enter_for_tokens
        context.session = await enter(context)
        if route is None and context.session is not None:
            record = context.session.cached.record
            self._access_log.identify(context.info, record.session, record.user)
        if context.info.trail is not None and route is not None:
            context.info.trail.note("session", endpoint="one of the routes of tokens")
        elif context.info.trail is not None:
            name = None if context.session is None else context.session.cached.record.session
            context.info.trail.note("session", session=name)
        # version
        stripping = self._choose(context)
        # fields
        context.fields = forwarded_fields(context)
        context.subprotocols = head.offered
        if stripping:
            parts = RequestParts(context.target, context.fields, context.subprotocols)
            for source in stripping:
                parts = source.strip(parts)
            context.target, context.fields, context.subprotocols = parts
        if head.upgrade:
            return await steps.upgrades.open(context)
        # bodies
        context.bodies = bodies = steps.rewriting.bodies(context)
        if bodies is not None:
            context.fields = await bodies.prepare(context.client, context.request, context.fields)
        # relay
        if endpoints is None or route is None:
            return await steps.coalescing.exchange(context)
        return await endpoints.answer(route, context)

    def _choose(self, context: RequestContext) -> Sources:
        """Choose the client's version, and with it the cohort.

        Returns:
            The sources that are to strip their selectors of what goes on.
        """
        request, session = context.request, context.session
        selection, stripping = context.snapshot.versions.choose(
            Received(
                request.fields,
                request.shape,
                context.target,
                context.head.offered,
                None if session is None else session.cached.version,
            )
        )
        self._access_log.choose(context.info, selection)
        self._steps.sessions.note(context, selection)
        return stripping

    # Outcomes.

    def _conclude(self, context: RequestContext, outcome: Exchange | KeptAnswer | Reply) -> None:
        """Record how an exchange went; an incomplete response breaks the connection off."""
        client, info = context.client, context.info
        if isinstance(outcome, Reply):
            status, body, persistent = outcome.status, outcome.body, client.persistent
            if outcome.reason is None:
                fields = [*outcome.fields, *self._cors_fields(context)]
                response = reply(
                    status,
                    fields,
                    body,
                    info.request_id,
                    persistent=persistent,
                    is_head=context.request.method == "HEAD",
                )
            else:
                response = relayed(
                    status, outcome.reason, outcome.fields, body, persistent=persistent
                )
            client.write(response)
            info.status, info.response_size = outcome.status, len(outcome.body)
            return
        if isinstance(outcome, KeptAnswer):
            info.status, info.response_size = outcome.status, outcome.body_size
            return
        info.request_size = outcome.request_size
        info.response_size = outcome.response_size
        error = outcome.error
        if error is None:
            assert outcome.head is not None
            info.status = outcome.head.status
            return
        if not outcome.head_sent:
            raise error
        assert outcome.head is not None
        self._access_log.fail(info, error, outcome.head.status)
        client.abort()

    def _refuse(self, context: RequestContext, error: SegueError) -> None:
        """Say what went wrong, in place of a response."""
        client, request, info = context.client, context.request, context.info
        origins = context.snapshot.config.cors.origins
        if context.head.preflight and isinstance(error, UpstreamError | Unavailable):
            allowed = cors.preflight_fields(request.fields, origins)
            if allowed is not None:
                # The page is to read the error: in the answer to the request that follows.
                self._access_log.fail(info, error, _NO_CONTENT)
                persistent = client.persistent = client.persistent and request.payload.is_eof()
                client.write(
                    reply(_NO_CONTENT, allowed, b"", info.request_id, persistent=persistent)
                )
                return
        self._access_log.fail(info, error)
        if not request.payload.is_eof() or isinstance(error, ClientError):
            client.persistent = False
        client.write(
            problem(
                error,
                info.request_id,
                self._cors_fields(context),
                persistent=client.persistent,
                is_head=request.method == "HEAD",
            )
        )

    def _cors_fields(self, context: RequestContext) -> list[tuple[bytes, bytes]]:
        """What lets a page read an answer of Segue's own."""
        return cors.error_fields(context.request.fields, context.snapshot.config.cors.origins)
