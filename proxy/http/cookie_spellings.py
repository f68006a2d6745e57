r"""What servers may make of a `Cookie` field before they look for a name in it.

RFC 6265 section 4.2.1 has pairs of plain names and values, separated by semicolons. Servers read
more than that: white space of any alphabet around a name (Python's `strip`, JavaScript's `trim`),
names and values that are percent-encoded (PHP, Rack), octal escapes in quotes (`"\145yJ"`, Python's
`http.cookies`), commas or white space between pairs (RFC 2965, Rack, `http.cookies`), dots for
underscores and names that end at a NUL (PHP). None does all of it. A cookie that decides something
is read here in its one plain spelling, and whatever else could be one is known by this module.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from proxy.http.cookies import Cookie, without
from proxy.http.forms import variable_name
from proxy.http.headers import RawFields

_PLAIN_VALUE: Final = re.compile(rb"[A-Za-z0-9_.-]*")
"""What a token is made of that all read alike (RFC 7515 section 3.1)."""

_PLAIN_RAW: Final = re.compile(rb'[ \t]*+("?)[A-Za-z0-9_.-]*\1[ \t]*+')
"""The same as it stands in a field: in quotes or not."""

_PAIR: Final = rb"[ \t]*+(?:([\w-]++)[ \t]*+=[!-+\--:<-~]*+[ \t]*+)?"
_PLAIN: Final = re.compile(_PAIR)
"""A pair that can be read in one way only, as far as its name goes; or none."""

_ALL_PLAIN: Final = re.compile(_PAIR + rb"(?:;" + _PAIR + rb")*")

_PAIRS: Final = re.compile(r"[\s,\0\ufeff]+")
_DECODINGS: Final = 2

_MOST: Final = 64
"""Pairs of a request in which more than one name may stand that are looked at; more are taken for
what they may be."""


def is_plain(value: str) -> bool:
    """Whether all read a cookie's value alike."""
    return _PLAIN_VALUE.fullmatch(value.encode("latin-1")) is not None


class SpelledCookies:
    """Cookies of some names, found in each spelling that is one of them at some server."""

    __slots__ = ("_folded", "_names", "_own", "_pieces")

    def __init__(self, names: Collection[bytes]) -> None:
        """Construct it.

        Args:
            names: at least one, as they are spelled where they are read.
        """
        self._names = frozenset(names)
        self._folded = frozenset(variable_name(name.decode("latin-1")) for name in names)
        spelled = {*names, *(name.encode("latin-1") for name in self._folded)}
        alternatives = b"|".join(map(re.escape, sorted(spelled)))
        self._own = re.compile(rb"(?:^|;)[ \t]*+(" + alternatives + rb")[ \t]*+=([^;]*+)")
        # Of each name the longest piece that all spell alike.
        pieces = (max(name.split("_"), key=len) for name in self._folded)
        self._pieces = tuple(piece.encode("latin-1") for piece in pieces)

    def are_hidden(self, fields: RawFields) -> bool:
        """Whether a server may find one of them in a request that is not read here."""
        return self.without_hidden(fields) != list(fields)

    def without_hidden(self, fields: RawFields) -> list[tuple[bytes, bytes]]:
        """The fields without what may be one of them and is not read; others keep their bytes."""
        if all(self._is_plain(value) for name, value in fields if name.lower() == b"cookie"):
            return list(fields)
        left = _MOST

        def is_hidden(each: Cookie) -> bool:
            nonlocal left
            written, name, value = each
            if name in self._names and _PLAIN_VALUE.fullmatch(value) is not None:
                return False
            plain = _PLAIN.fullmatch(written)
            if plain is not None:
                return plain[1] is not None and variable_name(plain[1].decode()) in self._folded
            if not self._may_hold(written):
                return False
            left -= 1
            return left < 0 or self._holds(written)

        return without(fields, is_hidden)

    def _is_plain(self, field: bytes) -> bool:
        """Whether nothing in a field needs a closer look: so it is with nearly all."""
        if _ALL_PLAIN.fullmatch(field) is None:
            return not self._may_hold(field)
        return all(
            name in self._names and _PLAIN_RAW.fullmatch(value) is not None
            for name, value in self._own.findall(field)
        )

    def _may_hold(self, text: bytes) -> bool:
        """Whether what all spellings of one of the names have in common is in a text."""
        for _ in range(_DECODINGS):
            if b"%" in text:
                text = unquote_to_bytes(text)
        return any(piece in text for piece in self._pieces)

    def _holds(self, written: bytes) -> bool:
        """Whether one of them is in a pair that is no plain one."""
        texts = {written.decode("latin-1"), written.decode("utf-8", "surrogateescape")}
        return any(
            self._is_named(piece.partition("=")[0])
            for text in texts
            for piece in (text, *_PAIRS.split(text))
            if "=" in piece
        )

    def _is_named(self, name: str) -> bool:
        for _ in range(_DECODINGS):
            if variable_name(name) in self._folded:
                return True
            name = unquote(name)
        return variable_name(name) in self._folded
