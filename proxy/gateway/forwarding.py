"""The head of a request as the server is to see it, and what is refused before that."""

from __future__ import annotations

from typing import Final

from proxy.downstream.request import Request
from proxy.errors import ClientError, MethodNotAllowed
from proxy.gateway.context import ReceivedHead, RequestContext, read_head
from proxy.http import headers, traceparent
from proxy.http.cookies import without_cookie
from proxy.http.framing import check_head
from proxy.http.headers import SERVERS_OWN, Fields
from proxy.http.request_head import RequestHead
from proxy.http.responses import ALLOWED, Reply
from proxy.websocket import handshake

_LARGE: Final = 4096
"""Bytes of a head from which on it is counted."""

_NOT_IN_HANDSHAKE: Final = frozenset({handshake.PROTOCOL, handshake.EXTENSIONS})


def checked_head(context: RequestContext) -> ReceivedHead:
    """Refuse what is not for a reverse proxy; return what the head says.

    Raises:
        ClientError: with the status that says what was wrong.
        MemoryFull: there is no room for so large a head.
    """
    request, config = context.request, context.snapshot.config
    limits = config.limits
    size = check_head(
        request.method,
        request.version,
        request.fields,
        request.shape,
        max_size=limits.request_headers,
        max_fields=limits.headers,
    ) + len(request.target)
    if size > _LARGE:
        context.hold_head(size)
    if limits.request_body is not None:
        request.max_body = limits.request_body
        for length in request.shape.values(request.fields, b"content-length"):
            request.check_size(int(length))
    return read_head(request, config.sessions.tokens.places)


def named_host(context: RequestContext) -> bytes:
    """Whom a request names as its host; empty where nobody."""
    request = context.request
    return context.head.authority or b"".join(request.shape.values(request.fields, b"host"))


def check_credentials(context: RequestContext) -> None:
    """Refuse what could show a session's token, or another one than was looked at.

    Raises:
        ClientError: there are several `Authorization` fields, of which servers take either one, or
            one in which a server may read a token that is not read here.
        MethodNotAllowed: it is a TRACE, whose answer shows the token that was put in.
    """
    request = context.request
    told = request.shape.values(request.fields, b"authorization")
    if len(told) > 1:
        raise ClientError("there are several Authorization fields")
    if told and context.head.bearer is None:
        places = context.snapshot.config.sessions.tokens.places
        if places.may_hide_bearer(told[0]):
            raise ClientError(
                "Authorization is not one scheme and one token, and a server may read a token in it"
            )
    if request.method == "TRACE":
        raise MethodNotAllowed("TRACE would show the token of a session")


def forwarded_fields(context: RequestContext) -> Fields:
    """Return what goes end to end, and Segue's own forwarding fields.

    `Host` is `SERVERS_OWN` where it is to be that of the server: which one is not known yet. An
    authority in the request target wins over `Host` (RFC 9112 section 3.2.2). Subprotocols and
    extensions of a handshake are dealt with apart.
    """
    request, head, config = context.request, context.head, context.snapshot.config
    received, shape = request.fields, request.shape
    fields = headers.forwardable(received, shape)
    if head.upgrade:
        fields = [field for field in fields if field[0].lower() not in _NOT_IN_HANDSHAKE]
    elif request.version < (1, 1) and b"expect" in shape:
        # It waits for no 100 (RFC 9110 section 10.1.1).
        fields = [field for field in fields if field[0].lower() != b"expect"]
    if head.hops is not None:
        fields = [field for field in fields if field[0].lower() != b"max-forwards"]
        fields.append((b"Max-Forwards", b"%d" % (head.hops - 1)))
    sessions = config.sessions
    if sessions.enabled and shape.rewrites_path and not context.info.is_trusted:
        dropped = headers.REWRITING.difference(map(str.encode, sessions.keep_fields))
        fields = [field for field in fields if headers.folded(field[0]) not in dropped]
    if sessions.enabled and sessions.binding == "cookie":
        fields = without_cookie(fields, sessions.cookie.encode())  # It is Segue's own.
    if sessions.enabled and b"cookie" in shape:
        fields = sessions.tokens.places.without_hidden_cookies(fields)
    if context.taken_out:
        fields = sessions.tokens.places.without_access(fields, context.taken_out)
    named = named_host(context)
    kept = named if config.upstream.preserve_host else b""
    if head.authority is not None or not kept:
        fields = [field for field in fields if field[0].lower() != b"host"]
        fields.insert(0, (b"Host", kept or SERVERS_OWN))
    info = context.info
    downstream = headers.Downstream(
        info.peer,
        "http" if config.listen.tls is None else "https",
        info.is_trusted,
        b"%d.%d" % request.version,
    )
    fields += headers.forwarding_fields(received, downstream, info.request_id, named)
    return traceparent.carried(fields, info.trace)


def last_answer(context: RequestContext) -> Reply:
    """Answer a request that may go no further (RFC 9110 section 7.6.2).

    Raises:
        MethodNotAllowed: it is a TRACE, which would show the fields that others have added.
    """
    if context.request.method == "TRACE":
        raise MethodNotAllowed("Segue forwards TRACE, but does not answer it")
    if not context.request.payload.is_eof():
        context.client.persistent = False
    return Reply(200, [(b"Allow", ALLOWED)], b"")


def request_head(request: Request, target: bytes, fields: Fields) -> RequestHead:
    """Return the head of the request.

    Raises:
        ClientError: a field could be read as two.
    """
    if request.chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    return RequestHead(b"%b %b HTTP/1.1" % (request.method.encode(), target), fields)
