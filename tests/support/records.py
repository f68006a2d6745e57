"""Records to store."""

from __future__ import annotations

import hashlib
from typing import Any

from proxy.sessions.record import Handle, HandleKind, Record

NOW = 1_700_000_000.0


def digest_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def handle(name: str, order: int = 1, kind: HandleKind = HandleKind.ACCESS) -> Handle:
    return Handle(digest_of(name), kind, order, NOW + 3600)


def session_of(number: int) -> str:
    return f"{number:032x}"


def record(number: int = 1, **changes: Any) -> Record:
    """A session just opened; its handles are named `<number>/access` and `<number>/refresh`."""
    fields: dict[str, Any] = {
        "session": session_of(number),
        "revision": 0,
        "generation": 0,
        "user": "ada",
        "version": "",
        "cohort": "",
        "access": b"sealed access",
        "refresh": b"sealed refresh",
        "access_issued": NOW,
        "access_expires": NOW + 3600,
        "refresh_expires": NOW + 86400,
        "created": NOW,
        "used": NOW,
        "refreshed": NOW,
        "refreshes": 0,
        "attempt": None,
        "handles": (
            handle(f"{number}/access"),
            handle(f"{number}/refresh", kind=HandleKind.REFRESH),
        ),
        "spent": (),
        "ended": None,
        "purge_after": NOW + 86400,
    }
    return Record(**(fields | changes))
