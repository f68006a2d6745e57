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
    return not record.host or _home(settings, what.host) == home_of(settings, record.host)


def home_of(settings: SessionSettings, host: str) -> str:
    """What stands for a host and all that count as the same; empty where it is not known.

    Args:
        settings: those that serve.
        host: as a login spelled it.
    """
    return _home(settings, host.encode()) if host else ""


def _home(settings: SessionSettings, host: bytes) -> str:
    name = host_name(host)
    return settings.hosts[0] if name in settings.hosts else name


async def supersede_older(repository: SessionRepository, cached: CachedSession, order: int) -> None:
    """Supersede what is older than the delivery that the client presented.

    Where that cannot be written down, it is so for this process.
    """
    if order <= cached.oldest:
        return
    now = repository.clock.now()
    try:
        await repository.update(cached, lambda current: rules.superseding(current, order, now))
    except StoreAway:
        repository.adopt(cached, rules.superseding(cached.record, order, now))
