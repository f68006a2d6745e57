"""Routes by the path of a request: patterns, and the first that fits.

A route is named by methods and a pattern of the path as it stands in the request line, percent
signs and all, without the query: `{}` stands for one segment that is not empty, and `**`, which
comes last, for whatever is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

_PATTERN: Final = re.compile(r"/(?:[^\x00-\x20?#*{}\x7f-\U0010ffff]|(?<=/)\{\}(?=/|\Z))*(?:\*\*)?")


_ANYTHING: Final = "**"


def check_pattern(pattern: str) -> str:
    """Let through what `Routes` understands.

    Raises:
        ValueError: it is no pattern of a path.
    """
    rest = pattern.removesuffix(_ANYTHING)
    if not _PATTERN.fullmatch(pattern) or (rest != pattern and not rest.endswith("/")):
        raise ValueError(
            "expected a path as `/api/jobs/{}/`: ASCII, no query; `{}` is one whole segment,"
            " `/**` at the end is any rest"
        )
    return pattern


class Route(Protocol):
    """A part of the paths that clients ask for."""

    @property
    def pattern(self) -> str:
        """The path, as the configuration has it; checked."""

    @property
    def methods(self) -> frozenset[str]:
        """In upper case; empty for all. GET stands for HEAD too."""


_Route = TypeVar("_Route", bound=Route)


class Routes(Generic[_Route]):
    """Some routes; the first that fits a request counts."""

    __slots__ = ("_by_path", "_patterns")

    def __init__(self, routes: Sequence[_Route]) -> None:
        """Sort the routes.

        Args:
            routes: in the order of the configuration, their patterns checked.
        """
        self._by_path: dict[bytes, list[tuple[int, _Route]]] = {}
        self._patterns: list[tuple[int, re.Pattern[bytes], _Route]] = []
        for index, route in enumerate(routes):
            if "{" in route.pattern or route.pattern.endswith(_ANYTHING):
                self._patterns.append((index, _compile(route.pattern), route))
            else:
                self._by_path.setdefault(route.pattern.encode(), []).append((index, route))

    def find(self, method: str, path: bytes) -> _Route | None:
        """Find the first route that fits."""
        first: tuple[int, _Route] | None = None
        for candidate in self._by_path.get(path, ()):
            if _takes(candidate[1], method):
                first = candidate
                break
        for index, pattern, route in self._patterns:
            if first is not None and first[0] < index:
                break
            if _takes(route, method) and pattern.fullmatch(path):
                return route
        return None if first is None else first[1]


def _takes(route: Route, method: str) -> bool:
    methods = route.methods
    # The answer to a HEAD is that to a GET, without its body (RFC 9110 section 9.3.2).
    return not methods or method in methods or (method == "HEAD" and "GET" in methods)


def _compile(pattern: str) -> re.Pattern[bytes]:
    """Write a pattern as a regular expression.

    It is linear: a placeholder ends where its segment does, and only the end is open.
    """
    rest = pattern.removesuffix(_ANYTHING)
    written = rb"[^/]+".join(re.escape(part.encode()) for part in rest.split("{}"))
    return re.compile(written + (b".*" if rest != pattern else b""), re.DOTALL)
