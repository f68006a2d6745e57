"""The part of the admin API that tells what becomes of a client's frame, rule by rule.

It is what `segue explain` does, but for what is in force: the command knows no switches.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from proxy.admin.endpoints import Endpoint, Example, Served
from proxy.admin.orders import AdminRequest, Fault, Label, refusal
from proxy.control.explain import (
    Explained,
    Question,
    Unanswerable,
    data,
    explain_in_force,
    received,
)
from proxy.gateway.identity import identity_of_credential, identity_of_user
from proxy.sessions.record import MAX_TEXT
from proxy.snapshot import Live, Snapshot
from proxy.types import Direction, Role

MAX_FRAME: Final = 65_536
"""Characters of a frame that may be asked about."""

_MAX_TOLD: Final = 4 * 1024 * 1024
"""Bytes of all the messages, between all operations, that are told of one frame."""

_Text = Annotated[str, Field(max_length=8192)]
_Several = Annotated[tuple[_Text, ...], Field(max_length=50)]
_HeaderField = Annotated[str, Field(max_length=8192, pattern=r"^[!-9;-~]+:")]
_Route = Annotated[str, Field(max_length=8192, pattern="^[!-~]+ +/")]


class ExplainRequest(AdminRequest):
    """What a client sends, and which frame is asked about.

    Attributes:
        frame: a message or a body; without one, only the client is asked about.
        direction: which way it goes.
        route: such as `GET /api/jobs/`, whose body it is; without one, it is a WebSocket message.
        version: told in the first place where a client can tell one.
        headers: each as `NAME: VALUE`.
        query: without the question mark.
        cookies: each as `NAME=VALUE`.
        subprotocols: that are offered.
        user: of the session or of the token, for canaries; without one, whom a token in
            `Authorization`, or in the query of a handshake, names. Where there is none either, the
            answer is for one who is in none of them, and `switches` names them.
    """

    frame: Annotated[str, Field(max_length=MAX_FRAME)] | None = None
    direction: Direction = Direction.TO_CLIENT
    route: _Route | None = None
    version: Label | None = None
    headers: Annotated[tuple[_HeaderField, ...], Field(max_length=50)] = ()
    query: _Text = ""
    cookies: _Several = ()
    subprotocols: _Several = ()
    user: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = None


EXPLAIN: Final = Endpoint(
    "POST",
    "/explain",
    Role.VIEWER,
    ExplainRequest,
    Explained,
    refusals={422: "The configuration has no place where a client could tell a version."},
    example=Example({"version": "2.4.0", "frame": '{"kind": "jobStatus", "status": "done"}'}),
)


class Explanations:
    """Answers the request."""

    def __init__(self, live: Live) -> None:
        self._live = live
        # One at a time: it is work for people to read, and traffic needs the processor.
        self._turn = asyncio.Lock()

    def endpoints(self) -> tuple[Served, ...]:
        """What viewers may ask, and what answers."""
        return ((EXPLAIN, self.explain),)

    async def explain(self, _: web.Request, asked: ExplainRequest) -> web.Response | Explained:
        """Tell which mappings a client gets now, and what becomes of a frame, rule by rule."""
        snapshot = self._live.current

        def found_out() -> Explained:
            question = Question(
                frame=None if asked.frame is None else asked.frame.encode(),
                direction=asked.direction,
                route=asked.route,
                version=asked.version,
                headers=asked.headers,
                query=asked.query,
                cookies=asked.cookies,
                subprotocols=asked.subprotocols,
            )
            user = _user(snapshot, question, asked.user)
            return data(explain_in_force(snapshot, question, user), _MAX_TOLD)

        try:
            async with self._turn:
                return await asyncio.to_thread(found_out)
        except Unanswerable as fault:
            errors = [Fault(detail=fault.detail, pointer=f"#/{fault.part}")]
            return refusal(422, f"{fault.part}: {fault.detail}", errors=errors)


def _user(snapshot: Snapshot, question: Question, name: str | None) -> bytes | None:
    """Who the client's user is, as the gateway knows them; None where nothing says it.

    A session is not looked up: what it knows beyond its token is for who asks to say.
    """
    if name is not None:
        return identity_of_user(name)
    sent = received(snapshot, question)
    handshake = sent.target if question.route is None else None
    return identity_of_credential(sent.fields, handshake, snapshot.config.sessions.tokens.places)
