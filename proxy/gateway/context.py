"""One request on its way through the steps: what each of them finds, and hands on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.downstream.connection import ClientConnection
from proxy.downstream.request import Request
from proxy.errors import MemoryFull
from proxy.http import cors, headers
from proxy.http.headers import Fields
from proxy.mapping.decision import Decision
from proxy.memory import Kind, Reservation
from proxy.observability.access_log import RequestInfo
from proxy.relay.bodies import BodyMapping
from proxy.sessions.cache import SessionToken
from proxy.snapshot import Snapshot
from proxy.tokens.places import TokenPlaces
from proxy.websocket import handshake


class ReceivedHead(NamedTuple):
    """What the head of a request says, read once.

    Attributes:
        target: the path and the query, byte for byte.
        authority: what an absolute request target named; None for all others.
        upgrade: whether it asks for a WebSocket.
        offered: the subprotocols of a handshake.
        preflight: whether it is one of CORS.
        bearer: the token in `Authorization`; None where there is not exactly one.
        hops: how often it may be forwarded; None where it does not say.
    """

    target: bytes
    authority: bytes | None
    upgrade: bool
    offered: list[bytes]
    preflight: bool
    bearer: str | None
    hops: int | None = None


def read_head(request: Request, places: TokenPlaces) -> ReceivedHead:
    """Read the head of a request.

    Args:
        request: as it was received.
        places: where its token may stand.

    Raises:
        ClientError: the target is of no form that a reverse proxy serves, or it is a handshake with
            a body, or without one key.
    """
    target, authority = headers.origin_form(request.target, request.method)
    fields, shape = request.fields, request.shape
    # HTTP/1.0 cannot upgrade (RFC 9110 section 7.8).
    may_upgrade = b"upgrade" in shape and request.version >= (1, 1)
    upgrade = may_upgrade and handshake.is_upgrade(request.method, fields)
    offered: list[bytes] = []
    if upgrade:
        handshake.check_request(fields)
        offered = handshake.offered_subprotocols(shape.values(fields, handshake.PROTOCOL))
    preflight = cors.is_preflight(request.method, fields)
    token = places.bearer(shape.values(fields, b"authorization"))
    hops = headers.hops_left(request.method, fields) if b"max-forwards" in shape else None
    return ReceivedHead(target, authority, upgrade, offered, preflight, token, hops)


# Until the first step has read it.
NOT_READ = ReceivedHead(b"", None, upgrade=False, offered=[], preflight=False, bearer=None)


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request, from its first step to its last.

    Attributes:
        client: whose connection it came on; is sent the response.
        request: as it was received.
        snapshot: what served when it came. No step reads another one.
        info: what log and metrics are told.
        head: what its head says.
        target: the request target as the server is to see it, but for its token.
        fields: those of the request as the server is to see them, but for its token.
        subprotocols: those that the server is to be offered.
        session: the token of a session that it carries; None for whoever has none.
        sent_token: the access token that the server was last sent in place of that; empty for none.
        taken_out: the access tokens of sessions that have ended, without which it goes on.
        bodies: what is done to its bodies; None for nearly all.
        decision: which mappings apply to it; None while nobody had to know.
        head_held: what is reserved for its head; None where that is small.
    """

    client: ClientConnection
    request: Request
    snapshot: Snapshot
    info: RequestInfo
    head: ReceivedHead = field(default=NOT_READ, repr=False)
    target: bytes = field(default=b"", repr=False)
    fields: Fields = field(default_factory=list, repr=False)
    subprotocols: Sequence[bytes] = ()
    session: SessionToken | None = None
    sent_token: str = field(default="", repr=False)
    taken_out: Collection[str] = field(default=(), repr=False)
    bodies: BodyMapping | None = None
    decision: Decision | None = None
    head_held: Reservation | None = field(default=None, repr=False)

    def hold_head(self, size: int) -> None:
        """Reserve so many bytes until the exchange is over: its fields are kept for as long.

        Raises:
            MemoryFull: there is no room for them.
        """
        held = self.client.reserve(Kind.HEAD)
        if not held.resize(size):
            raise MemoryFull("large heads are held up to `limits.memory`; try again later")
        self.head_held = held

    def give_back(self) -> None:
        """Reserve nothing more for its head and bodies: it is over."""
        if self.head_held is not None:
            self.head_held.release()
        if self.request.held is not None:
            self.request.held.release()
        if self.bodies is not None:
            self.bodies.response_held.release()

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]
