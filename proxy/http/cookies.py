"""Cookies (RFC 6265): of requests read, put there and taken out, of answers read and shared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Final, NamedTuple

from proxy.http.headers import RawFields, values_of

_MOST: Final = 32
"""Cookies of one name that are read; nobody has use for as many."""


class Cookie(NamedTuple):
    """A cookie's name and value, where a request brings it or an answer sets it.

    Attributes:
        written: the pair, as it was sent.
        name: its name; empty where there is none.
        value: its value, without quotes around it (RFC 6265 section 4.1.1).
    """

    written: bytes
    name: bytes
    value: bytes


def cookie(written: bytes) -> Cookie:
    """Read a pair of a name and a value, with white space around them or not."""
    name, equals, value = written.partition(b"=")
    if not equals:
        return Cookie(written, b"", b"")
    value = value.strip(b" \t")
    quoted = len(value) >= 2 and value[:1] == value[-1:] == b'"'
    return Cookie(written, name.strip(b" \t"), value[1:-1] if quoted else value)


def cookies_in(field: bytes) -> Iterator[Cookie]:
    """The cookies in a `Cookie` field."""
    return map(cookie, field.split(b";"))


def set_in(field: bytes) -> Cookie:
    """The cookie that a `Set-Cookie` field sets (RFC 6265 section 5.2)."""
    return cookie(field.partition(b";")[0])


def cookies_of(fields: RawFields, name: bytes) -> tuple[str, ...]:
    """The values of the cookies of that name (RFC 6265 section 4.2.1), each once; 32 at most.

    There is more than one where a sibling host (`blog.example.com`) has set one for the domain.
    """
    return tuple(islice(dict.fromkeys(cookie_values(fields, name)), _MOST))


def without_cookie(fields: RawFields, name: bytes) -> list[tuple[bytes, bytes]]:
    """The fields without a cookie of that name; the others keep their bytes."""
    return without(fields, lambda each: each.name == name)


def without_values(
    fields: RawFields, name: bytes, values: Collection[str]
) -> list[tuple[bytes, bytes]]:
    """The fields without the cookies of that name that have one of these values."""
    gone = {value.encode("latin-1") for value in values}
    return without(fields, lambda each: each.name == name and each.value in gone)


def without(fields: RawFields, is_gone: Callable[[Cookie], bool]) -> list[tuple[bytes, bytes]]:
    """The fields without some cookies; the others keep their bytes."""
    kept = []
    for key, whole in fields:
        if key.lower() != b"cookie":
            kept.append((key, whole))
            continue
        found = [*cookies_in(whole)]
        rest = [each.written for each in found if not is_gone(each)]
        if len(rest) == len(found):
            kept.append((key, whole))
        elif rest:
            kept.append((key, b";".join(rest).lstrip(b" \t")))
    return kept


def cookie_values(fields: RawFields, name: bytes) -> list[str]:
    """The values of every cookie of that name that are not empty, without quotes around them."""
    return [
        each.value.decode("latin-1")
        for whole in values_of(fields, b"cookie")
        if name in whole
        for each in cookies_in(whole)
        if each.name == name and each.value
    ]


def with_cookie(fields: RawFields, name: bytes, old: str, new: str) -> list[tuple[bytes, bytes]]:
    """The fields with another value wherever a cookie of that name has the old one."""
    before, after = old.encode("latin-1"), b"=" + new.encode("latin-1")
    changed = []
    for key, whole in fields:
        if key.lower() == b"cookie" and before in whole:
            whole = b";".join(  # noqa: PLW2901
                each.written.partition(b"=")[0] + after
                if each.name == name and each.value == before
                else each.written
                for each in cookies_in(whole)
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
        each.value
        for each in map(set_in, values_of(fields, b"set-cookie"))
        if each.name == name and each.value
    ]
    return found[-1].decode("latin-1") if found else None


def names_set(fields: RawFields) -> list[str]:
    """The names of the cookies that an answer sets."""
    return [set_in(whole).name.decode("latin-1") for whole in values_of(fields, b"set-cookie")]


def lasting(fields: RawFields, name: bytes, seconds: float) -> list[tuple[bytes, bytes]]:
    """The fields of an answer, with a cookie that is to end going on for so long instead.

    One that ends with the browser does so still, and one that is taken back is.
    """
    return [
        (key, _lasting(whole, seconds))
        if key.lower() == b"set-cookie" and _sets(whole, name)
        else (key, whole)
        for key, whole in fields
    ]


def _sets(field: bytes, name: bytes) -> bool:
    found = set_in(field)
    return found.name == name and found.value != b""


def _lasting(field: bytes, seconds: float) -> bytes:
    parts = field.split(b";")
    kept = [part for part in parts if part.partition(b"=")[0].strip().lower() not in _ENDS]
    if len(kept) == len(parts):
        return field
    return b";".join([*kept, b" Max-Age=%d" % int(seconds)])


_ENDS = frozenset({b"max-age", b"expires"})


def shared_cookies(fields: RawFields, values: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of an answer for others than the one who asked for it.

    Args:
        fields: of the answer.
        values: of the cookies that they may have; all others are not set.
    """
    return [
        item
        for item in fields
        if item[0].lower() not in _SETTING or set_in(item[1]).value in values
    ]


_SETTING = frozenset({b"set-cookie", b"set-cookie2"})
