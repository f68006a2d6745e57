"""What a client shows to have its tokens renewed, and what follows from showing it."""

from __future__ import annotations

from proxy.configuration.sessions import Sessions as Settings
from proxy.errors import StoreAway
from proxy.sessions import rules
from proxy.sessions.ledger import Ledger
from proxy.sessions.memory import Known
from proxy.sessions.record import HandleKind, Record


def proven(ledger: Ledger, settings: Settings, record: Record, cookie: str) -> bool:
    """Whether what is asked for besides the token came along: the cookie, or nothing."""
    if settings.proof != "cookie":
        return True
    handle = rules.handle_of(record, ledger.sealer.digests(cookie)) if cookie else None
    return handle is not None and handle.kind is HandleKind.COOKIE


async def presented(ledger: Ledger, known: Known, order: int) -> None:
    """Supersede what is older than the delivery that the client presented.

    Where that cannot be written down, it is so for this process.
    """
    if order <= known.oldest:
        return
    now = ledger.clock()
    try:
        await ledger.update(known, lambda current: rules.presented(current, order, now))
    except StoreAway:
        ledger.adopt(known, rules.presented(known.record, order, now))
