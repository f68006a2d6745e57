"""Forms and queries (`application/x-www-form-urlencoded`), read one parameter at a time.

A parameter keeps its bytes beside what they say, so that whoever changes one leaves the others as
they were sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_SEPARATORS: Final = re.compile(rb"[&;]")
_LIKE_UNDERSCORES: Final = str.maketrans("[. ", "___")


class Parameter(NamedTuple):
    """One of a form or a query.

    Attributes:
        written: all of it, as it was sent.
        name: its name, decoded.
        raw: its value, as it was sent; empty where there is none.
    """

    written: bytes
    name: bytes
    raw: bytes

    @property
    def value(self) -> bytes:
        """Its value, decoded."""
        return decoded(self.raw)

    def with_value(self, value: bytes) -> bytes:
        """It with another value, which needs no encoding; its name keeps its spelling."""
        return self.written.partition(b"=")[0] + b"=" + value


def parameter(written: bytes) -> Parameter:
    """Read one."""
    name, _, raw = written.partition(b"=")
    return Parameter(written, decoded(name), raw)


def parameters(text: bytes) -> Iterator[Parameter]:
    """The parameters of a form or a query, those without a name or a value among them."""
    return map(parameter, text.split(b"&"))


def parameters_of_either(text: bytes) -> list[Parameter]:
    """The same to servers that take a semicolon for a separator, too, as HTML 4 had it."""
    return [parameter(part) for part in _SEPARATORS.split(text)]


def variable_name(name: str) -> str:
    """A name as PHP makes a variable of it, and without the white space that others take off.

    It ends at a NUL, and dots, spaces and brackets in it are underscores.
    """
    return name.partition("\0")[0].strip().strip("\ufeff").translate(_LIKE_UNDERSCORES)


def decoded(text: bytes) -> bytes:
    """A name or a value, decoded: `+` is a space, and what is no percent-encoding stays."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text
