"""The section `websocket`: how many a session may have open."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from proxy.configuration.fields import Count, NamedPath, Section, Token
from proxy.freshness.resources import without_names


def _close_code(value: int) -> int:
    # What an endpoint may say by itself (RFC 6455 section 7.4), and is no fault of the other side.
    if value not in (1000, 1001, 1008, 1012, 1013) and not 3000 <= value <= 4999:
        raise ValueError("expected 1000, 1001, 1008, 1012, 1013, or one from 3000 to 4999")
    return value


class SocketBound(Section):
    """How many WebSockets one session may have open at one path. The first that fits counts.

    Who has no session is told apart by address and credentials; who shows none of these is not
    bounded.

    Attributes:
        path: as in the request line, without the query: `{}` is one segment, with a name or without
            (`{id}`), `/**` at the end any rest. Each path that fits has a count of its own.
        cookies: names of cookies that tell one client from another where it has no session of
            Segue's: `sessionid`. Those of `sessions.tokens.cookies` are looked at anyway;
            no others, since many have the same language or consent.
        most: open at the same time.
        excess: what becomes of more: `close_oldest` ends the one that was opened first, as soon as
            the new one is open.
        code: the close code that its client gets. Choose one on which it does not connect again:
            1000, a normal end, for nearly all.
        pace: handshakes a second that reach the server while `most` are open; further ones wait.
    """

    path: NamedPath
    cookies: Annotated[tuple[Token, ...], Field(max_length=16)] = ()
    most: Annotated[Count, Field(ge=1, le=10_000)] = 4
    excess: Literal["close_oldest"] = "close_oldest"
    code: Annotated[Count, AfterValidator(_close_code)] = 1000
    pace: Annotated[float, Field(gt=0, le=1000)] = 4.0

    @property
    def pattern(self) -> str:
        """The path, without names."""
        return without_names(self.path)

    @property
    def methods(self) -> frozenset[str]:
        """A handshake has but one."""
        return frozenset()


class WebSockets(Section):
    """What clients may do with WebSockets.

    Attributes:
        per_session: how many of them one session may have open, by path.
    """

    per_session: Annotated[tuple[SocketBound, ...], Field(max_length=100)] = ()
