"""Which refresh token does a request for the routes of tokens present? One, or none for certain.

A body is what its page has written, as is `Authorization`, and so a token there is the one. Cookies
can be set by sibling hosts, for the whole domain: of several the one is taken that leads to a
session, and none but that goes on, so that the server takes no other one.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Final

from proxy.errors import ClientError
from proxy.gateway.context import RequestContext
from proxy.http.cookies import without_values
from proxy.sessions.cache import CachedSession
from proxy.sessions.possession import Possession
from proxy.sessions.token_exchange import TokenExchange
from proxy.tokens import jwt

_MOST: Final = 32
"""Cookies whose tokens are looked up."""


async def presented_refresh(
    exchange: TokenExchange,
    context: RequestContext,
    what: Possession,
    *,
    in_body: str | None,
    in_head: str | None = None,
) -> str | None:
    """The one refresh token of a request; None where there is none that can be told for certain.

    The other ones are taken out of the fields that go to the server: all of them, where one is
    found; where none is, those that are no JWTs, and those of sessions that have ended.

    Args:
        exchange: knows whose tokens are.
        context: of the request.
        what: what came with it.
        in_body, in_head: the token in its body, and the one in `Authorization` where that is a
            refresh token; None for none.

    Raises:
        ClientError: there are too many, or several of open sessions, or none but such as a server
            may read, and this does not.
        StoreAway: nobody can say whose they are.
    """
    places = context.snapshot.config.sessions.tokens.places
    in_cookies = [*dict.fromkeys(places.refresh_cookies(context.fields))]
    chosen = in_body or in_head
    if chosen is None and not in_cookies and places.hides_refresh(context.request.fields):
        raise ClientError(
            "the cookie of the refresh token holds what is none, or is not spelled so"
        )
    if chosen is not None:
        gone = [each for each in in_cookies if each != chosen]
    elif len(in_cookies) < 2:  # Nearly always.
        return next(iter(in_cookies), None)
    else:
        chosen, gone = await _chosen(exchange, context, in_cookies, what)
    if gone and places.refresh_cookie is not None:
        context.fields = without_values(context.fields, places.refresh_cookie, gone)
    return chosen


async def _chosen(
    exchange: TokenExchange, context: RequestContext, tokens: list[str], what: Possession
) -> tuple[str | None, list[str]]:
    """Of several tokens in cookies the one that counts, and those that are to be taken out."""
    readable = [each for each in tokens if jwt.read(jwt.canonical(each)) is not None]
    if len(readable) > _MOST:
        raise ClientError("there are too many refresh tokens in the request")
    unknown: list[str] = []
    found: list[tuple[CachedSession, int, str]] = []
    for each in readable:
        held = await exchange.find(each, what)
        if held is None:
            unknown.append(each)
        elif held[0].record.ended is None:
            found.append((*held, each))
    own = None if context.session is None else context.session.cached
    found = [each for each in found if each[0] is own] or found
    if len({each[0].record.session for each in found}) > 1:
        raise ClientError("there are refresh tokens of several sessions in the request")
    # The one that its client was given last; of what leads nowhere the server may know one, and
    # nothing is kept of what it answers to several.
    may_go = [max(found, key=itemgetter(1))[2]] if found else unknown
    chosen = may_go[0] if len(may_go) == 1 else None
    return chosen, [each for each in tokens if each not in may_go]
