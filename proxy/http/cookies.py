"""Cookies of a request (RFC 6265): read, and taken out."""

from __future__ import annotations

from proxy.http.headers import RawFields, values_of


def cookie_of(fields: RawFields, name: bytes) -> str | None:
    """The value of a cookie (RFC 6265 section 4.2.1); None if there is not exactly one."""
    found = [
        value
        for whole in values_of(fields, b"cookie")
        for key, _, value in (part.strip(b" \t").partition(b"=") for part in whole.split(b";"))
        if key == name
    ]
    return found[0].decode("latin-1") if len(found) == 1 else None


def without_cookie(fields: RawFields, name: bytes) -> list[tuple[bytes, bytes]]:
    """The fields without a cookie of that name; the others keep their bytes."""
    kept = []
    for key, whole in fields:
        if key.lower() != b"cookie" or name not in whole:
            kept.append((key, whole))
            continue
        parts = whole.split(b";")
        rest = [part for part in parts if part.strip(b" \t").partition(b"=")[0] != name]
        if len(rest) == len(parts):
            kept.append((key, whole))
        elif rest:
            kept.append((key, b";".join(rest).lstrip(b" \t")))
    return kept
