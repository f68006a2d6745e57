"""What a client shows to have its tokens renewed, and what follows from showing it."""

from __future__ import annotations

from proxy import renewal
from proxy.errors import StoreAway
from proxy.session_settings import Sessions as Settings
from proxy.sessions.known import Known
from proxy.sessions.ledger import Ledger
from proxy.store.base import Record
from proxy.values import HandleKind


def proven(ledger: Ledger, settings: Settings, record: Record, cookie: str) -> bool:
    """Whether what is asked for besides the token came along: the cookie, or nothing."""
    if settings.proof != "cookie":
        return True
    handle = renewal.handle_of(record, ledger.sealer.digests(cookie)) if cookie else None
    return handle is not None and handle.kind is HandleKind.COOKIE


async def presented(ledger: Ledger, known: Known, order: int) -> None:
    """Supersede what is older than the delivery that the client presented.

    Where that cannot be written down, it is so for this process.
    """
    if order <= known.oldest:
        return
    now = ledger.clock()
    try:
        await ledger.update(known, lambda current: renewal.presented(current, order, now))
    except StoreAway:
        ledger.adopt(known, renewal.presented(known.record, order, now))
