"""Resources: what a path names, what messages call that, and which WebSockets are for it.

A path names a resource by the values of its placeholders: `/api/jobs/{id}/`. A message names it by
the value of a field: `jobId`. The two may be spelled differently, so that a resource is known by a
loose spelling, which too many share rather than too few: then one message too much counts for it.
Whether a WebSocket is open for it is held to the exact values.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.http.routing import check_pattern
from proxy.types import FieldPath

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]{0,31})?\}")
_REST: Final = "**"

_PARAMETERS: Final = re.compile(rb";[^/]*")
_ENDING: Final = re.compile(rb"\.[^./]*\Z")

_MOST_SEGMENTS: Final = 8
"""Of the path of a WebSocket: so many of its last ones may be the value of a placeholder."""

_ASCII_SIGNS: Final = "".join(chr(code) for code in range(128) if not chr(code).isalnum())
_WITHOUT_SIGNS: Final = str.maketrans("", "", _ASCII_SIGNS)

_LONGEST_REMEMBERED: Final = 64


class Name(NamedTuple):
    """What a message calls a resource.

    Attributes:
        field: that names it.
        value: of that field, loosely spelled.
    """

    field: FieldPath
    value: str


class FreshRoute(NamedTuple):
    """Paths whose answers may be given again until a message comes; equal to any other such.

    Attributes:
        path: with named placeholders, checked.
        fields: of messages, each with the placeholder whose value it has.
        socket: the path of the WebSockets for the resource, with the same names; None where any is
            that has the value as a segment of its path.
    """

    path: str
    fields: tuple[tuple[FieldPath, str], ...]
    socket: str | None


class Resource(NamedTuple):
    """What an answer is about.

    Attributes:
        route: the paths that it is of.
        values: of the placeholders that name it, without percent signs, in the order of `fields`.
        names: what messages call it; each of them is enough.
    """

    route: FreshRoute
    values: tuple[str, ...]
    names: tuple[Name, ...]


def placeholders(pattern: str) -> tuple[str, ...]:
    """The names in a pattern, in their order."""
    return tuple(name for name in _PLACEHOLDER.findall(pattern) if name)


def without_names(pattern: str) -> str:
    """The same pattern as `proxy.http.routing` writes it, with `{}` in place of `{name}`."""
    return _PLACEHOLDER.sub("{}", pattern)


def check_named_pattern(pattern: str) -> str:
    """Let through a pattern of a path in which placeholders may have names.

    Raises:
        ValueError: it is none.
    """
    check_pattern(without_names(pattern))
    names = placeholders(pattern)
    if len(set(names)) < len(names):
        raise ValueError("the name of a placeholder stands there twice")
    return pattern


def loosely(text: str) -> str:
    """What is left of a value when no spelling is to tell it from another.

    Case, signs (those of a UUID too), accents and leading zeros go.
    """
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _loosely(text)


def _loosely(text: str) -> str:
    if text.isascii():
        plain = text.lower().translate(_WITHOUT_SIGNS)
    else:
        folded = unicodedata.normalize("NFKD", text.casefold())
        plain = "".join(character for character in folded if character.isalnum())
    return plain.lstrip("0")


_remembered = lru_cache(maxsize=4096)(_loosely)


class _Patterns:
    """A route, compiled: its paths as they are, any spelling of them, and those of WebSockets."""

    __slots__ = ("loose", "path", "socket")

    def __init__(self, route: FreshRoute) -> None:
        self.path = _compile(route.path)
        self.loose = _compile(route.path.removesuffix(_REST).rstrip("/"), is_loose=True)
        self.socket = None if route.socket is None else _compile(route.socket)


class FreshRoutes:
    """Finds the resources of paths.

    Attributes:
        fields: all that name resources in messages.
    """

    __slots__ = ("_routes", "fields")

    def __init__(self, routes: Sequence[FreshRoute]) -> None:
        self._routes = {route: _Patterns(route) for route in routes}
        named = chain.from_iterable(route.fields for route in routes)
        self.fields: frozenset[FieldPath] = frozenset(field for field, _ in named)

    def resource(self, route: FreshRoute, path: bytes) -> Resource | None:
        """What a path is about; None where it does not fit.

        Args:
            route: one of these.
            path: as in the request line, without the query.
        """
        return _resource(route, self._routes[route].path.fullmatch(path))

    def written(self, path: bytes) -> frozenset[Name]:
        """What a request that is not safe may change, by its path, read as loosely as servers do.

        Case, `//`, `..`, percent signs, parameters (`;v=1`) and an ending that names a format
        (`.json`) make no difference. What is below the path of a resource counts for it, too.
        """
        plain = posixpath.normpath(b"/" + unquote_to_bytes(path).lstrip(b"/"))
        bare = _PARAMETERS.sub(b"", plain)
        spellings = {plain, bare, _ENDING.sub(b"", plain), _ENDING.sub(b"", bare)}
        found = (
            _resource(route, patterns.loose.fullmatch(spelled))
            for route, patterns in self._routes.items()
            for spelled in spellings
        )
        return frozenset(chain.from_iterable(each.names for each in found if each is not None))

    def heard_on(self, path: bytes) -> tuple[Resource, ...]:
        """The resources that a WebSocket is for, by the path of its handshake, without a query."""
        segments = [each for each in path.split(b"/") if each][-_MOST_SEGMENTS:]
        values = tuple(dict.fromkeys(map(_text, segments)))
        found: list[Resource] = []
        for route, patterns in self._routes.items():
            if patterns.socket is None:
                found += [_named(route, (each,) * len(route.fields)) for each in values]
            else:
                resource = _resource(route, patterns.socket.fullmatch(path))
                if resource is not None:
                    found.append(resource)
        return tuple(found)


def _compile(pattern: str, *, is_loose: bool = False) -> re.Pattern[bytes]:
    rest = pattern.removesuffix("**")
    written = b""
    for index, part in enumerate(_PLACEHOLDER.split(rest)):
        if index % 2 == 0:
            written += re.escape(part.encode())
        else:
            written += rb"(?P<%b>[^/]+)" % part.encode() if part else rb"[^/]+"
    if is_loose:
        return re.compile(written + rb"(?:/.*)?", re.DOTALL | re.IGNORECASE)
    return re.compile(written + (b".*" if rest != pattern else b""), re.DOTALL)


def _resource(route: FreshRoute, found: re.Match[bytes] | None) -> Resource | None:
    if found is None:
        return None
    return _named(route, tuple(_text(found[name]) for _, name in route.fields))


def _named(route: FreshRoute, values: tuple[str, ...]) -> Resource:
    fields = (field for field, _ in route.fields)
    return Resource(
        route,
        values,
        tuple(Name(field, loosely(value)) for field, value in zip(fields, values, strict=True)),
    )


def _text(value: bytes) -> str:
    """A segment of a path without percent signs; what is no UTF-8 stays apart from all else."""
    return unquote_to_bytes(value).decode("utf-8", "surrogateescape")
