"""The fields of a request that a refresh on its behalf goes with."""

from __future__ import annotations

from typing import Final

from proxy.http.headers import RawFields, is_forwarding

_CARRIED: Final = frozenset({b"host", b"user-agent", b"via"})


def carried(fields: RawFields) -> tuple[tuple[bytes, bytes], ...]:
    """Of the fields of a forwarded request, those that a refresh on its behalf goes with.

    Whom it comes from, and which host it was for: servers check the latter, limit rates by the
    former, and redirect where the scheme is missing.
    """
    return tuple(
        (name, value)
        for name, value in fields
        if name.lower() in _CARRIED or is_forwarding(name.lower())
    )
