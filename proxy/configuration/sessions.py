"""The sections of the configuration about who stays logged in, and where that is kept.

As in `sections`, which puts all of them together: durations are seconds, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from proxy.configuration.document import WrittenText
from proxy.configuration.fields import (
    KIB,
    MIB,
    WEEK,
    Count,
    Duration,
    ExactPath,
    FileName,
    Names,
    RefusalStatus,
    SealingKeys,
    Seconds,
    Section,
    Size,
    StoreUrl,
    Token,
)
from proxy.configuration.tokens import TokenSettings
from proxy.errors import TOKEN_ERROR
from proxy.http.headers import HOP_BY_HOP, REWRITING, folded, is_authority, is_forwarding
from proxy.http.hosts import host_name


class StoreSettings(Section):
    """Where sessions are kept, and the keys that seal their tokens.

    Attributes:
        url: `sqlite:` and a file, relative to the state directory; or `redis://`, or `rediss://`
            for TLS, with host, port and number of the database, for Redis or Valkey; or
            `redis+sentinel://`, or `rediss+sentinel://`, with the hosts and ports of sentinels,
            the name of their primary, and number of the database.
        ca_file: the certificates of the authorities to trust for TLS to Redis, PEM; the system's
            where null.
        keys: 32 random bytes in base64 each. The first is in use, the others were before: they
            only open. Without any, one is made in the state directory.
        sessions: how many open ones it may hold. It holds as many ended ones, until their tokens
            have ended too; beyond that, those that the server knows of give way to new sessions.
        connections: how many to Redis at the same time.
        timeout: for the store's answer.
        purge: the time between two removals of sessions that are over.
    """

    url: Annotated[StoreUrl, Field(repr=False)] = "sqlite:sessions.sqlite3"
    ca_file: FileName | None = None
    keys: Annotated[SealingKeys, Field(repr=False)] = ()
    sessions: Annotated[Count, Field(ge=1, le=100_000_000)] = 100_000
    connections: Annotated[Count, Field(ge=1, le=1000)] = 16
    timeout: Annotated[Seconds, Field(ge=0.05, le=60)] = 2.0
    purge: Annotated[Seconds, Field(ge=1, le=WEEK)] = 60.0


class SessionPaths(Section):
    """The server's routes that give tokens, exchange them, and take them back, by POST.

    Refreshes and logouts by other methods are known, too.

    Attributes:
        login: those whose successful answers carry both tokens, registration among them.
        refresh: exchanges a refresh token for new tokens.
        logout: takes a refresh token with a valid access token, and makes it useless.
    """

    login: tuple[ExactPath, ...] = (
        "/api/auth/login/",
        "/api/auth/register/",
        "/api/auth/token/",
    )
    refresh: ExactPath = "/api/auth/token/refresh/"
    logout: ExactPath = "/api/auth/logout/"


class RefusalSettings(Section):
    """Which answers to a refresh say that the token is refused, and the session has ended.

    Attributes:
        statuses: those that say so whatever stands in the answer.
        codes: what says so in any other 4xx but 408, 425 and 429, as the answer's `error`, `code`
            or `error.code`: by default SimpleJWT's, and that of OAuth 2.0 (RFC 6749 section 5.2).
    """

    statuses: Annotated[tuple[RefusalStatus, ...], Field(max_length=32)] = (401,)
    codes: Annotated[Names, Field(max_length=32)] = (TOKEN_ERROR, "invalid_grant")


def _cookie_name(value: str) -> str:
    lower = value.lower()
    if lower in ("__host-", "__secure-"):
        raise ValueError(f"expected a name behind `{value}`")
    for prefix in ("__Host-", "__Secure-"):
        # Not all browsers know it in another spelling.
        if lower.startswith(prefix.lower()) and not value.startswith(prefix):
            raise ValueError(f"spell the prefix `{prefix}`")
    return value


def _host(value: str) -> str:
    if not value.isascii() or not is_authority(value.encode()):
        raise ValueError("expected a host as in `Host`, such as app.example.com or [::1]")
    return host_name(value.encode())


def _rewriting_field(value: str) -> str:
    name = folded(value.encode())
    if name not in REWRITING:
        known = b", ".join(sorted(REWRITING)).decode()
        raise ValueError(f"expected one of the fields that are dropped: {known}")
    return name.decode()


def _carried_field(value: str) -> str:
    name = value.lower().encode()
    if name in (b"authorization", b"cookie"):
        raise ValueError(
            "Segue's own refresh has the refresh token and no other credential; say in"
            " sessions.tokens where that stands, a cookie included"
        )
    if name in HOP_BY_HOP or name in _OF_A_REFRESH or is_forwarding(name):
        raise ValueError("this field belongs to one request or connection; Segue sets it itself")
    if folded(name) in REWRITING:
        raise ValueError("servers take another path by this field")
    return value


_OF_A_REFRESH: Final = frozenset(
    {
        *(b"accept", b"accept-encoding", b"expect", b"host", b"max-forwards", b"via"),
        *(b"content-encoding", b"content-length", b"content-type", b"user-agent"),
    }
)


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({name.lower() for name in names}) < len(names):
        raise ValueError("a field is listed twice")
    return names


class SessionSettings(Section):
    """Keeping users logged in: tokens are renewed for clients that do not do it themselves.

    Attributes:
        enabled: false lets all tokens pass untouched, and needs no store.
        paths: of the routes of tokens.
        tokens: where tokens stand in requests and answers.
        refresh_before: how long before its end an access token is renewed; never more than a fifth
            of its own lifetime.
        binding: what binds a session to its client, beside the access token: `none`, or a
            `cookie` that it was given at login.
        cookie: the name of that cookie. Browsers keep sibling hosts from setting one of that name
            only where it begins with `__Host-`.
        hosts: hosts that count as one, whatever their ports: a session that began at one of them is
            renewed at the others too. Otherwise only at the host of its login.
        lifetime: for how long from its login a session is renewed without its client's asking.
        idle: for how long it is without a request or an open WebSocket.
        per_user: how many one user may have at the same time, by the user that the token names.
            The login of one more ends the one that was not used for the longest time. Null: any
            number.
        replay_window: how long a refresh token is still answered after the client has presented
            something newer.
        reuse_detection: whether a refresh token that comes back after that ends the session: its
            client does not need it any more, so somebody else has a copy.
        wait: how long a request waits for a refresh before it does without.
        timeout: for the server's whole answer to a refresh.
        carry: fields of a client's requests that Segue's own refreshes go with, such as
            `X-Tenant-Id`, as the login or the last request of the session had them.
        refused: which answers to a refresh end a session.
        retry_body: the largest request body that is kept for a second try after a 401.
        keep_fields: fields that reach the server from everybody though some servers take another
            path by them, such as `X-Script-Name`; the others only do from `listen.trusted_proxies`.
    """

    enabled: bool = False
    paths: SessionPaths = SessionPaths()
    tokens: TokenSettings = TokenSettings()
    refresh_before: Duration = 300.0
    binding: Literal["none", "cookie"] = "none"
    cookie: Annotated[Token, AfterValidator(_cookie_name)] = "__Host-segue_session"
    hosts: Annotated[
        tuple[Annotated[WrittenText, AfterValidator(_host)], ...], Field(max_length=64)
    ] = ()
    lifetime: Annotated[Seconds, Field(gt=0, le=366 * 86400)] = 7 * 86400.0
    idle: Annotated[Seconds, Field(gt=0, le=366 * 86400)] = 86400.0
    per_user: Annotated[Count, Field(ge=1, le=100_000)] | None = 100
    replay_window: Annotated[Seconds, Field(ge=0, le=3600)] = 30.0
    reuse_detection: bool = True
    wait: Annotated[Seconds, Field(gt=0, le=600)] = 15.0
    timeout: Annotated[Seconds, Field(gt=0, le=600)] = 10.0
    carry: Annotated[
        tuple[Annotated[Token, AfterValidator(_carried_field)], ...],
        Field(max_length=16),
        AfterValidator(_each_once),
    ] = ()
    refused: RefusalSettings = RefusalSettings()
    retry_body: Annotated[Size, Field(ge=0, le=16 * MIB)] = 64 * KIB
    keep_fields: tuple[Annotated[Token, AfterValidator(_rewriting_field)], ...] = ()
