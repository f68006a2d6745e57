"""Who asks the admin listener, and what they may do: the rules, as values in and values out."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from proxy.configuration.admin import Admin, AdminToken
from proxy.switching.limits import NO_LIMITS, Limits
from proxy.tokens.admin_token import ANYWHERE, hash_of
from proxy.types import Role


class Credential(StrEnum):
    """By what somebody has shown who they are."""

    SOCKET = "socket"
    TOKEN = "token"  # noqa: S105 (a kind, not one)
    CERTIFICATE = "certificate"
    PROXY = "proxy"


class Principal(NamedTuple):
    """Who asks.

    Attributes:
        name: as the log says it.
        role: what they may do.
        by: how they have shown it.
        limits: of what they may change of switches; of open WebSockets by cohort.
    """

    name: str
    role: Role
    by: Credential
    limits: Limits = NO_LIMITS

    def __str__(self) -> str:
        return f"{self.name} ({self.by})"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate that an authority of `admin.tls.client_ca` has signed.

    Attributes:
        names: its DNS names, e-mail addresses and URIs; its common name where it has none of them.
        until: when it expires, in seconds since 1970.
    """

    names: tuple[str, ...]
    until: float


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request brings to show who asks.

    Attributes:
        uid: the user at the other end of the Unix socket; None where the request came by TCP.
        from_trusted_proxy: whether the peer's address is in `admin.trusted_proxies`.
        authorization: the values of the `Authorization` fields.
        users: the values of the fields that `admin.trusted_user_header` names.
        certificate: of the client, verified; None without one.
    """

    uid: int | None = None
    from_trusted_proxy: bool = False
    authorization: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    certificate: Certificate | None = None


class BeyondLimits(Exception):
    """Who asks has the role, and is limited to less. The text says it, and is safe to show."""


class Why(StrEnum):
    """Why nobody is known to ask."""

    MISSING = "no credential"
    WRONG = "wrong credential"
    AMBIGUOUS = "ambiguous credential"
    NO_ROLE = "no role"


class Stranger(NamedTuple):
    """Somebody who has not shown who they are, or who has no role.

    Attributes:
        why: the kind of it.
        detail: what was wrong, safe to show and to log: no token is part of it.
    """

    why: Why
    detail: str


_SHOWN: Final = 64
"""Characters of a name that is shown to whoever has to list it."""
_SHOWN_NAMES: Final = 4

_HOW: Final = (
    "needs a credential: the Unix socket in the state directory, a bearer token, a client"
    " certificate, or the user field of an authenticating proxy"
)


def who(presented: Presented, settings: Admin, now: float) -> Principal | Stranger:
    """Find out who asks.

    The Unix socket is its user's own. A token of Segue's counts before what a proxy or the
    connection says, because somebody has put it into this very request; an `Authorization` of any
    other kind is none of Segue's where a trusted proxy names the user (proxies pass theirs on).

    Args:
        presented: what the request brings.
        settings: the section `admin` of the configuration.
        now: seconds since 1970.
    """
    if presented.uid is not None:
        return Principal(f"uid {presented.uid}", Role.ADMIN, Credential.SOCKET)
    if len(presented.authorization) > 1:
        return Stranger(Why.AMBIGUOUS, "more than one Authorization field")
    users = presented.users if presented.from_trusted_proxy else ()
    if len(users) > 1:
        detail = f"more than one {settings.trusted_user_header} field: the proxy has to replace it"
        return Stranger(Why.AMBIGUOUS, detail)
    token = _bearer(presented.authorization)
    if token is not None and (ANYWHERE.fullmatch(token) is not None or not users):
        return _by_token(token, settings.tokens, now)
    if users:
        role = settings.users.get(users[0])
        if role is not None:
            return Principal(users[0], role, Credential.PROXY)
        shown = ascii(users[0][:_SHOWN])
        return Stranger(Why.NO_ROLE, f"the user {shown} has no role: list it in admin.users")
    if presented.authorization:
        return Stranger(Why.WRONG, "expected Authorization: Bearer, and a token")
    if presented.certificate is not None:
        return _by_certificate(presented.certificate, settings, now)
    return Stranger(Why.MISSING, _HOW)


def _bearer(authorization: tuple[str, ...]) -> str | None:
    """The token of a request (RFC 6750 section 2.1), None where it shows none."""
    if not authorization:
        return None
    scheme, _, token = authorization[0].strip(" \t").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def _by_token(token: str, known: tuple[AdminToken, ...], now: float) -> Principal | Stranger:
    # All are compared, each in constant time: how long it takes says nothing.
    presented = hash_of(token)
    found = [each for each in known if hmac.compare_digest(each.hash, presented)]
    if not found:
        return Stranger(Why.WRONG, "this token is not known")
    (entry,) = found
    if entry.expires is not None and entry.expires.timestamp() <= now:
        return Stranger(Why.WRONG, f"the token {entry.name} has expired")
    return Principal(entry.name, entry.role, Credential.TOKEN, entry.limits)


def _by_certificate(certificate: Certificate, settings: Admin, now: float) -> Principal | Stranger:
    if certificate.until <= now:
        return Stranger(Why.WRONG, "the client certificate has expired")
    listed = [
        (name, settings.clients[name]) for name in certificate.names if name in settings.clients
    ]
    if not listed:
        shown = ", ".join(ascii(name[:_SHOWN]) for name in certificate.names[:_SHOWN_NAMES])
        detail = f"the client certificate ({shown}) has no role: list a name in admin.clients"
        return Stranger(Why.NO_ROLE, detail)
    ranks = tuple(Role)
    name, role = max(listed, key=lambda each: ranks.index(each[1]))
    return Principal(name, role, Credential.CERTIFICATE)
