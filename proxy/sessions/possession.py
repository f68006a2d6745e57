"""What a client shows to have its tokens renewed, and what follows from showing it."""

from __future__ import annotations

from proxy.configuration.sessions import SessionSettings
from proxy.errors import StoreAway
from proxy.sessions import rules
from proxy.sessions.cache import CachedSession
from proxy.sessions.record import HandleKind, Record
from proxy.sessions.repository import SessionRepository


def proven(
    repository: SessionRepository, settings: SessionSettings, record: Record, cookie: str
) -> bool:
    """Whether what is asked for besides the token came along: the cookie, or nothing."""
    if settings.binding != "cookie":
        return True
    handle = rules.handle_of(record, repository.sealer.digests(cookie)) if cookie else None
    return handle is not None and handle.kind is HandleKind.COOKIE


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
