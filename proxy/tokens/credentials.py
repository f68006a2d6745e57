"""The fields of a request that a refresh on its behalf goes with."""

from __future__ import annotations

from typing import Final

from proxy.http.headers import SERVERS_OWN, RawFields, is_forwarding

_CARRIED: Final = frozenset({b"host", b"user-agent", b"via"})
_HOSTS: Final = frozenset({b"host", b"x-forwarded-host"})


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


def for_host(fields: RawFields, host: bytes) -> RawFields:
    """These fields with the host at which a session began in place of the one they name.

    Args:
        fields: as `carried` gives them.
        host: as it was spelled; empty where it is not known, and the fields stay as they are.
    """
    named = b"".join(value for name, value in fields if name.lower() == b"host")
    if not host or named in (host, SERVERS_OWN):
        return fields
    return [
        (name, host if value == named and name.lower() in _HOSTS else value)
        for name, value in fields
    ]
