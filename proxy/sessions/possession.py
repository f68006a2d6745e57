"""What a client shows to have its tokens renewed, and what follows from showing it."""

from __future__ import annotations

from typing import NamedTuple

from proxy.configuration.sessions import SessionSettings
from proxy.errors import StoreAway
from proxy.http.hosts import host_name
from proxy.sessions import rules
from proxy.sessions.cache import CachedSession
from proxy.sessions.record import HandleKind, Record
from proxy.sessions.repository import SessionRepository


class Possession(NamedTuple):
    """What came with a token.

    Attributes:
        cookies: what may be the cookie of its session; none where none is asked for.
        host: whom the request names as its host; empty where nobody.
    """

    cookies: tuple[str, ...] = ()
    host: bytes = b""


def proving(
    repository: SessionRepository, settings: SessionSettings, record: Record, what: Possession
) -> str | None:
    """The cookie that proves whose the token is, empty where none is asked for; None without."""
    if settings.binding != "cookie":
        return ""
    for cookie in what.cookies:
        handle = rules.handle_of(record, repository.sealer.digests(cookie))
        if handle is not None and handle.kind is HandleKind.COOKIE:
            return cookie
    return None


def is_at_home(settings: SessionSettings, record: Record, what: Possession) -> bool:
    """Whether a request names the host at which its session began, or one that counts as that.

    What answers for another host may be somebody else, whom the session's token is not for. Of
    sessions of before this was noted it is not known.
    """
    if not record.host:
        return True
    named, own = host_name(what.host), host_name(record.host.encode())
    return named == own or (named in settings.hosts and own in settings.hosts)


async def presented(repository: SessionRepository, cached: CachedSession, order: int) -> None:
    """Supersede what is older than the delivery that the client presented.

    Where that cannot be written down, it is so for this process.
    """
    if order <= cached.oldest:
        return
    now = repository.clock.now()
    try:
        await repository.update(cached, lambda current: rules.presented(current, order, now))
    except StoreAway:
        repository.adopt(cached, rules.presented(cached.record, order, now))
