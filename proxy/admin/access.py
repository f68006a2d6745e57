"""Who gets to the endpoints of the admin API: the rules of `roles` and `addressed`, on requests.

Being on the same machine is no credential: a proxy or a sidecar there forwards for anybody.
"""

from __future__ import annotations

import math
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypedDict

from aiohttp import web
from structlog.typing import FilteringBoundLogger

from proxy.admin.addressed import from_elsewhere, misdirected, shows_secret
from proxy.admin.failures import FailureLimit
from proxy.admin.metrics import Refusal
from proxy.admin.orders import BadRequest, refusal
from proxy.admin.repeats import RepeatedReads
from proxy.admin.roles import BeyondLimits, Certificate, Presented, Principal, Stranger, Why, who
from proxy.configuration.admin import Admin
from proxy.control.audit import Audit
from proxy.downstream.limits import client_bucket, is_in
from proxy.tokens.redaction import redact
from proxy.types import Role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PRINCIPAL: Final = web.RequestKey("principal", Principal)
_NOW: Final = web.RequestKey("now", partial)

UNKNOWN: Final = "unknown"
"""The author of what somebody has tried who did not show who they are."""

_SHOWN_PATH: Final = 256
_CREDENTIALS: Final = struct.Struct("3i")
"""`struct ucred`: process, user, group (unix(7), SO_PEERCRED)."""

_ANSWERED: Final = {
    Why.MISSING: (401, Refusal.NO_CREDENTIAL),
    Why.WRONG: (401, Refusal.WRONG_CREDENTIAL),
    Why.AMBIGUOUS: (400, Refusal.AMBIGUOUS_CREDENTIAL),
    Why.NO_ROLE: (403, Refusal.NO_ROLE),
}
_CHALLENGE: Final = 'Bearer realm="segue"'


class Signature(TypedDict):
    """Who has asked, as the audit says it."""

    author: str
    role: str


def author(request: web.Request) -> Principal:
    """Who has made a request to an endpoint that needs a role."""
    return request[_PRINCIPAL]


def signature(request: web.Request) -> Signature:
    """The same, for a line of the audit."""
    return _signed(author(request))


def _signed(principal: Principal) -> Signature:
    return Signature(author=str(principal), role=principal.role.value)


def is_still_allowed(request: web.Request, needed: Role) -> bool:
    """Whether who has made a request may go on with it, by the configuration that serves now.

    For answers that last: a token that was revoked meanwhile, or has ended, ends them.
    """
    found: Principal | Stranger = request[_NOW]()
    return not isinstance(found, Stranger) and found.role.covers(needed)


class Access:
    """Lets those through who may ask, and logs who has asked for what."""

    def __init__(
        self,
        settings: Callable[[], Admin],
        log: FilteringBoundLogger,
        refused: Counter[Refusal],
        audit: Audit,
    ) -> None:
        """Construct.

        Args:
            settings: gives the section `admin` of the configuration that serves.
            log: for who asked, and who was refused.
            refused: counts those.
            audit: told of those who showed something that was wrong, or had too little of a role.
        """
        self._settings = settings
        self._log = log
        self._refused_by = refused
        # Who is known has a budget of their own, which no stranger uses up.
        self._strangers, self._known = FailureLimit(), FailureLimit()
        self._reads = RepeatedReads()
        self._audit = audit
        self._audited_strangers, self._audited_known = FailureLimit(), FailureLimit()
        self._unaudited: Counter[str] = Counter()

    def guarded(self, needed: Role | None, handler: Handler) -> Handler:
        """Put the rules before what answers.

        Args:
            needed: the role that it takes; None for none.
            handler: what answers.
        """

        async def checked(request: web.Request) -> web.StreamResponse:
            if shows_secret(request.raw_path):
                detail = (
                    "a token has no place in a URL, which others log and keep: revoke this one, and"
                    " send it as Authorization: Bearer"
                )
                return self._refused(request, Refusal.TOKEN_IN_URL, 400, detail)
            settings = self._settings()
            if needed is None or (needed is Role.METRICS and not settings.protect_metrics):
                return await _answered(request, handler)
            hosts = request.headers.getall("Host", [])
            wrong = misdirected(hosts, settings.hosts)
            if wrong is not None:
                return self._refused(request, Refusal.HOST, 403, wrong)
            wrong = from_elsewhere(
                hosts[0],
                request.headers.getall("Origin", []),
                request.headers.getall("Sec-Fetch-Site", []),
            )
            if wrong is not None:
                return self._refused(request, Refusal.OTHER_SITE, 403, wrong)
            found = self._who(request)
            if isinstance(found, Stranger):
                return self._turned_away(request, found)
            if not found.role.covers(needed):
                detail = f"this needs the role {needed}; {found} has the role {found.role}"
                fields = {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope"'}
                return self._refused(request, Refusal.TOO_LITTLE_ROLE, 403, detail, fields, found)
            request[_PRINCIPAL] = found
            request[_NOW] = partial(self._who, request)
            if needed is Role.METRICS:  # Every few seconds: nothing that anybody has to answer for.
                return await _answered(request, handler)
            try:
                return await self._logged(request, handler, found, needed)
            except BeyondLimits as beyond:
                return self._refused(
                    request, Refusal.BEYOND_LIMITS, 403, str(beyond), principal=found
                )

        return checked

    def _who(self, request: web.Request) -> Principal | Stranger:
        settings = self._settings()
        return who(_presented(request, settings), settings, time.time())

    async def _logged(
        self, request: web.Request, handler: Handler, principal: Principal, needed: Role
    ) -> web.StreamResponse:
        status = 500
        try:
            response = await _answered(request, handler)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except BeyondLimits:
            status = 403
            raise
        finally:
            told = _told(request)
            facts: dict[str, object] = {
                "author": principal.name,
                "by": principal.by.value,
                "role": principal.role.value,
                "status": status,
            }
            repeats: int | None = 0
            # What changes something, fails, or needs more of a role is told each time.
            if request.method == "GET" and status < 400 and needed is Role.VIEWER:
                repeats = self._reads.again(str(principal), told["path"], time.monotonic())
            if repeats is None:
                self._log.debug("admin request", **facts, **told)
            else:
                facts |= {"repeats": repeats} if repeats else {}
                self._log.info("admin request", **facts, **told)

    def _turned_away(self, request: web.Request, stranger: Stranger) -> web.Response:
        status, reason = _ANSWERED[stranger.why]
        fields = {}
        if status == 401:
            invalid = "" if stranger.why is Why.MISSING else ', error="invalid_token"'
            fields["WWW-Authenticate"] = _CHALLENGE + invalid
        if stranger.why is Why.MISSING:
            self._refused_by[reason] += 1
            return refusal(status, f"this {stranger.detail}", fields)
        return self._refused(request, reason, status, stranger.detail, fields)

    def _refused(
        self,
        request: web.Request,
        reason: Refusal,
        status: int,
        detail: str,
        fields: dict[str, str] | None = None,
        principal: Principal | None = None,
    ) -> web.Response:
        """Refuse and log; of each who is known, and of each other client, only so often.

        Beyond that, failures to say who asks are 429 (RFC 6585).
        """
        self._refused_by[reason] += 1
        if principal is None:
            wait = self._strangers.failed(client_bucket(_peer(request)), time.monotonic())
        else:
            wait = self._known.failed(str(principal), time.monotonic())
        if not wait:
            self._log.warning(
                "admin request refused", status=status, reason=redact(detail), **_told(request)
            )
            self._audit_refusal(request, status, detail, principal)
        elif status == 401:
            detail = f"too many failed attempts from this address; {detail}"
            return refusal(429, detail, {"Retry-After": str(math.ceil(wait))})
        return refusal(status, detail, fields)

    def _audit_refusal(
        self, request: web.Request, status: int, detail: str, principal: Principal | None
    ) -> None:
        """Say so in the audit, for whose files are few only so often.

        That is of each who is known, and of all others together.
        """
        name = "" if principal is None else str(principal)
        limit = self._audited_strangers if principal is None else self._audited_known
        if limit.failed(name, time.monotonic()):
            self._unaudited[name] += 1
            return
        who_asked = Signature(author=UNKNOWN, role="") if principal is None else _signed(principal)
        self._audit.write(
            "admin request refused",
            **who_asked,
            status=status,
            reason=redact(detail),
            refused_before=self._unaudited.pop(name, 0),
            **_told(request),
        )


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadRequest as bad:
        return bad.answer


def _presented(request: web.Request, settings: Admin) -> Presented:
    header = settings.trusted_user_header
    return Presented(
        uid=_uid(request),
        from_trusted_proxy=is_in(settings.trusted_proxies, _peer(request)),
        authorization=tuple(request.headers.getall("Authorization", ())),
        users=() if header is None else tuple(request.headers.getall(header, ())),
        certificate=_certificate(request),
    )


def _uid(request: web.Request) -> int | None:
    """The user at the other end of a Unix socket; None for TCP."""
    peer: Any = _of_connection(request, "socket")
    if peer is None or peer.family != socket.AF_UNIX:
        return None
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(packed)[1]
    return uid


def _certificate(request: web.Request) -> Certificate | None:
    connection = _of_connection(request, "ssl_object")
    shown = connection.getpeercert() if isinstance(connection, ssl.SSLObject) else None
    return certificate_of(shown) if shown else None


def certificate_of(shown: Any) -> Certificate:
    """Read what `SSLObject.getpeercert` returns of a certificate that was verified."""
    names = [value for kind, value in shown.get("subjectAltName", ()) if kind in _SAN_KINDS]
    common = [
        value for rdn in shown.get("subject", ()) for kind, value in rdn if kind == "commonName"
    ]
    return Certificate(tuple(names or common), ssl.cert_time_to_seconds(shown["notAfter"]))


_SAN_KINDS: Final = frozenset({"DNS", "email", "URI"})


def _peer(request: web.Request) -> str:
    """The address at the other end; empty for a Unix socket."""
    peer = _of_connection(request, "peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _of_connection(request: web.Request, what: str) -> object:
    return None if request.transport is None else request.transport.get_extra_info(what)


def _told(request: web.Request) -> dict[str, str]:
    """What the log says of every request."""
    return {
        "method": request.method,
        # With its percent-encoding, which a terminal does not obey.
        "path": redact(request.rel_url.raw_path)[:_SHOWN_PATH],
        "peer": _peer(request) or "local",
    }
