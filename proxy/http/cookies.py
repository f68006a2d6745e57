"""Cookies (RFC 6265): of requests read, put there and taken out, of answers read and shared."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final

from proxy.http.headers import RawFields, values_of

_MOST: Final = 32
"""Cookies of one name that are read; nobody has use for as many."""


def cookies_of(fields: RawFields, name: bytes) -> tuple[str, ...]:
    """The values of the cookies of that name (RFC 6265 section 4.2.1), each once; 32 at most.

    There is more than one where a sibling host (`blog.example.com`) has set one for the domain.
    """
    return tuple(islice(dict.fromkeys(cookie_values(fields, name)), _MOST))


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


def cookie_values(fields: RawFields, name: bytes) -> list[str]:
    """The values of every cookie of that name that are not empty, without quotes around them."""
    return [
        value.decode("latin-1")
        for whole in values_of(fields, b"cookie")
        for value in (_value_of(part, name) for part in whole.split(b";"))
        if value
    ]


def with_cookie(fields: RawFields, name: bytes, old: str, new: str) -> list[tuple[bytes, bytes]]:
    """The fields with another value wherever a cookie of that name has the old one."""
    before, after = old.encode("latin-1"), b"=" + new.encode("latin-1")
    changed = []
    for key, whole in fields:
        if key.lower() == b"cookie" and before in whole:
            parts = whole.split(b";")
            whole = b";".join(  # noqa: PLW2901
                part.partition(b"=")[0] + after if _value_of(part, name) == before else part
                for part in parts
            )
        changed.append((key, whole))
    return changed


def put_cookie(fields: RawFields, name: bytes, value: str) -> list[tuple[bytes, bytes]]:
    """The fields with that value in every cookie of a name; with one more where there is none."""
    changed = list(fields)
    for old in dict.fromkeys(cookie_values(fields, name)):
        changed = with_cookie(changed, name, old, value)
    if cookie_values(changed, name):
        return changed
    pair = name + b"=" + value.encode("latin-1")
    for place, (key, whole) in enumerate(changed):
        if key.lower() == b"cookie":  # There is to be one field (RFC 6265 section 5.4).
            changed[place] = (key, whole + b"; " + pair if whole.strip() else pair)
            return changed
    return [*changed, (b"Cookie", pair)]


def cookie_set(fields: RawFields, name: bytes) -> str | None:
    """The value of a cookie that an answer sets; None where it does not, or takes it back."""
    found = [
        value
        for whole in values_of(fields, b"set-cookie")
        for value in (_value_of(whole.partition(b";")[0], name),)
        if value
    ]
    return found[-1].decode("latin-1") if found else None


def names_set(fields: RawFields) -> list[str]:
    """The names of the cookies that an answer sets."""
    values = values_of(fields, b"set-cookie")
    return [value.partition(b"=")[0].strip(b" \t").decode("latin-1") for value in values]


def lasting(fields: RawFields, name: bytes, seconds: float) -> list[tuple[bytes, bytes]]:
    """The fields of an answer, with a cookie that is to end going on for so long instead.

    One that ends with the browser does so still, and one that is taken back is.
    """
    return [
        (key, _lasting(whole, seconds))
        if key.lower() == b"set-cookie" and _value_of(whole.partition(b";")[0], name)
        else (key, whole)
        for key, whole in fields
    ]


def _lasting(cookie: bytes, seconds: float) -> bytes:
    parts = cookie.split(b";")
    kept = [part for part in parts if part.partition(b"=")[0].strip().lower() not in _ENDS]
    if len(kept) == len(parts):
        return cookie
    return b";".join([*kept, b" Max-Age=%d" % int(seconds)])


_ENDS = frozenset({b"max-age", b"expires"})


def _value_of(part: bytes, name: bytes) -> bytes:
    """The value of a pair of a cookie's name and value, if it is of that name; else empty."""
    key, _, value = part.partition(b"=")
    if key.strip(b" \t") != name:
        return b""
    return _unquoted(value)


def shared_cookies(fields: RawFields, values: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of an answer for others than the one who asked for it.

    Args:
        fields: of the answer.
        values: of the cookies that they may have; all others are not set.
    """
    return [
        item for item in fields if item[0].lower() not in _SETTING or _value_set(item[1]) in values
    ]


_SETTING = frozenset({b"set-cookie", b"set-cookie2"})


def _value_set(field: bytes) -> bytes:
    """The value of the cookie that a `Set-Cookie` sets (RFC 6265 section 5.2)."""
    return _unquoted(field.partition(b";")[0].partition(b"=")[2])


def _unquoted(value: bytes) -> bytes:
    value = value.strip(b" \t")
    quoted = len(value) >= 2 and value[:1] == value[-1:] == b'"'
    return value[1:-1] if quoted else value
