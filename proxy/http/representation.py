"""Bodies that may be rewritten (RFC 9110 section 8): which they are, and the fields about them."""

from __future__ import annotations

from typing import Final

from proxy.http.headers import Fields, RawFields, values_of

_NOT_ASKED: Final = frozenset(
    {b"accept-encoding", b"if-modified-since", b"if-none-match", b"if-range", b"range"}
)
"""Fields that would bring a part of the body, an encoded one, or none (RFC 9110, 12 to 14)."""


_OF_THE_OLD_BYTES: Final = frozenset(
    {
        b"accept-ranges",
        b"content-digest",
        b"content-length",
        b"content-md5",
        b"digest",
        b"etag",
        b"last-modified",
        b"repr-digest",
    }
)
"""Fields that describe the bytes of a body (RFC 9110 section 8.8, RFC 9530)."""


def is_json(fields: RawFields) -> bool:
    """Whether a body is JSON that can be read: by its type (RFC 8259, RFC 6839), and unencoded."""
    return is_json_type(fields) and not any(
        value.strip().lower() not in (b"", b"identity")
        for value in values_of(fields, b"content-encoding")
    )


def is_json_type(fields: RawFields) -> bool:
    """Whether a body is JSON by its type, whatever it is encoded with."""
    types = values_of(fields, b"content-type")
    if len(types) != 1:
        return False
    kind = types[0].partition(b";")[0].strip().lower()
    return kind == b"application/json" or (
        kind.startswith(b"application/") and kind.endswith(b"+json")
    )


def ask_for_identity(fields: Fields) -> Fields:
    """Return the fields of a request whose response may be rewritten."""
    kept = [field for field in fields if field[0].lower() not in _NOT_ASKED]
    return [*kept, (b"Accept-Encoding", b"identity")]


def with_length(fields: Fields, size: int) -> Fields:
    """Return fields for a body of that many bytes that is no longer the one they described."""
    return [*without_length(fields), (b"Content-Length", b"%d" % size)]


def without_length(fields: Fields) -> Fields:
    """Return fields without those that described a body which is not sent as it was."""
    return [field for field in fields if field[0].lower() not in _OF_THE_OLD_BYTES]


def vary(fields: Fields, name: bytes) -> Fields:
    """Return the fields of a response that depends on a request field (RFC 9110 section 12.5.5)."""
    present = b",".join(values_of(fields, b"vary")).lower()
    listed = {part.strip() for part in present.split(b",")}
    return fields if listed & {b"*", name.lower()} else [*fields, (b"Vary", name)]


def has_length(fields: RawFields) -> bool:
    """Whether a request announces a body by its length."""
    return any(value.strip() != b"0" for value in values_of(fields, b"content-length"))
