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
from typing import Final
from urllib.parse import unquote

from proxy.http.cookies import Cookie, cookies_in, without
from proxy.http.forms import variable_name
from proxy.http.headers import RawFields

_PLAIN_VALUE: Final = re.compile(rb"[A-Za-z0-9_.-]*")
"""What a token is made of that all read alike (RFC 7515 section 3.1), in quotes or not."""

_PLAIN: Final = re.compile(rb"[ \t]*+([\w-]++)[ \t]*+=[!-+\--~]*+[ \t]*+|[ \t]*+")
"""A pair that can be read in one way only, as far as its name goes; `;` is in none."""

_PAIRS: Final = re.compile(r"[\s,\0\ufeff]+")
_DECODINGS: Final = 2


def is_plain(value: str) -> bool:
    """Whether all read a cookie's value alike."""
    return _PLAIN_VALUE.fullmatch(value.encode("latin-1")) is not None


class SpelledCookie:
    """A cookie of one name, found in each spelling that is it at one server or another."""

    __slots__ = ("_folded", "name")

    def __init__(self, name: bytes) -> None:
        """Construct it.

        Args:
            name: as it is spelled where it is read.
        """
        self.name = name
        self._folded = variable_name(name.decode("latin-1"))

    def is_hidden(self, fields: RawFields) -> bool:
        """Whether a server may find the cookie in a request, with a value that is not read here."""
        return any(
            self._may_be(each)
            for key, whole in fields
            if key.lower() == b"cookie"
            for each in cookies_in(whole)
        )

    def without_hidden(self, fields: RawFields) -> list[tuple[bytes, bytes]]:
        """The fields without what may be the cookie and is not read; others keep their bytes."""
        return without(fields, self._may_be)

    def _may_be(self, each: Cookie) -> bool:
        """Whether a pair may be the cookie, and is not a plain one."""
        written, name, value = each
        if name == self.name and _PLAIN_VALUE.fullmatch(value) is not None:
            return False
        plain = _PLAIN.fullmatch(written)
        if plain is not None:
            return plain[1] is not None and variable_name(plain[1].decode()) == self._folded
        # Nearly no pair comes here.
        texts = {written.decode("latin-1"), written.decode("utf-8", "surrogateescape")}
        return any(
            self._is_named(piece.partition("=")[0])
            for text in texts
            for piece in (text, *_PAIRS.split(text))
            if "=" in piece
        )

    def _is_named(self, name: str) -> bool:
        for _ in range(_DECODINGS):
            if variable_name(name) == self._folded:
                return True
            name = unquote(name)
        return variable_name(name) == self._folded
