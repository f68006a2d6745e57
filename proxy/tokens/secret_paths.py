"""Paths that carry one-time tokens: which segments of them are secret, by patterns.

`/reset/Zm9v-c8sd/` lets whoever reads it set somebody's password, and nothing in it looks like a
token. A pattern names what stands before:

| pattern | what is taken out |
|---|---|
| `reset/{}` | the segment behind `reset`, anywhere in a path |
| `reset/**` | all that is behind it |
| `/users/{}/reset/{}` | both segments, where the path begins so |

Upper case, `-` and `_` make no difference (`resetPassword`, `reset-password`), nor does how a path
is spelled that servers may read alike: percent-encoding, `;parameters`, empty segments, dots,
backslashes. Patterns begin with a word or with the path, and `**` comes last: so a path is gone
through once, whatever its sender chose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from proxy.tokens.redaction import REDACTED

MAX_PATTERN: Final = 256
"""Characters of a pattern."""

_REST: Final = "**"
_SEGMENT: Final = "{}"
_PATTERN: Final = re.compile(r"/?(?:(?:\{\}|[\w.~-]+)/)*(?:\{\}|\*\*|[\w.~-]+)/?", re.ASCII)
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_SLASHES: Final = re.compile(r"[/\\]")
_MAX_DECODINGS: Final = 3


def check_secret_path(pattern: str) -> str:
    """Let through what `SecretPaths` understands.

    Raises:
        ValueError: it is no pattern, or takes nothing out.
    """
    parts = pattern.strip("/").split("/")
    if (
        len(pattern) > MAX_PATTERN
        or not _PATTERN.fullmatch(pattern)
        or {_SEGMENT, _REST}.isdisjoint(parts)
        or (parts[0] in (_SEGMENT, _REST) and not pattern.startswith("/"))
    ):
        raise ValueError(
            "expected a path such as `reset/**`, `reset/{}` or `/users/{}/reset/{}`: `{}` is one"
            " segment, `**` at the end any rest, and one of them is needed; without a `/` at its"
            " beginning it begins with a word, and counts anywhere in a path"
        )
    return pattern


class _Pattern(NamedTuple):
    """A pattern.

    Attributes:
        names: of its segments; None for one that is secret.
        is_open: whether all behind them is secret too.
    """

    names: tuple[str | None, ...]
    is_open: bool


_Place = tuple[int, str]
"""Which segment of a path, and a name in it."""


class SecretPaths:
    """The patterns of a configuration."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Compile them; they are checked."""
        self._anchored: list[_Pattern] = []
        self._anywhere: dict[str, list[_Pattern]] = {}
        for text in patterns:
            parts = text.strip("/").split("/")
            is_open = parts[-1] == _REST
            kept = parts[:-1] if is_open else parts
            pattern = _Pattern(
                tuple(None if part == _SEGMENT else _folded(part) for part in kept), is_open
            )
            if text.startswith("/"):
                self._anchored.append(pattern)
            else:
                self._anywhere.setdefault(_folded(parts[0]), []).append(pattern)
        self._words = frozenset(self._anywhere)

    def redact(self, path: str) -> str:
        """The path without what is secret in it.

        Args:
            path: of a request, without its query.
        """
        # Nearly all paths have none of the words, and need no closer look.
        if (
            not self._anchored
            and self._words.isdisjoint(_folded(path).split("/"))
            and not ("%" in path or ";" in path or "\\" in path)
        ):
            return path
        authority = _AUTHORITY.match(path)
        begin = authority[0] if authority else ""
        segments = path[len(begin) :].split("/")
        places = [
            (index, name) for index, segment in enumerate(segments) for name in _names(segment)
        ]
        for read in (places, _resolved(places)):  # Servers do the one or the other.
            for index in self._secret(read):
                segments[index] = REDACTED
        return begin + "/".join(segments)

    def _secret(self, places: Sequence[_Place]) -> Iterator[int]:
        """Which segments are secret."""
        rest = len(places)
        for first, (_, name) in enumerate(places):
            patterns = self._anywhere.get(name, [])
            for pattern in patterns + self._anchored if first == 0 else patterns:
                behind = first + len(pattern.names)
                found = places[first:behind]
                if len(found) == len(pattern.names) and all(
                    wanted in (None, there)
                    for wanted, (_, there) in zip(pattern.names, found, strict=True)
                ):
                    for wanted, (index, _) in zip(pattern.names, found, strict=True):
                        if wanted is None:
                            yield index
                    if pattern.is_open:
                        rest = min(rest, behind)
        for index, _ in places[rest:]:
            yield index


def _folded(text: str) -> str:
    text = text.lower()
    if "-" in text or "_" in text:  # Every request comes here.
        return text.replace("-", "").replace("_", "")
    return text


def _names(segment: str) -> Iterator[str]:
    """What a segment may be to a server: more than one name where a slash in it is encoded."""
    for _ in range(_MAX_DECODINGS):
        if "%" not in segment:
            break
        segment = unquote(segment)
    for part in _SLASHES.split(segment):
        if part not in ("", "."):
            yield _folded(part.partition(";")[0])


def _resolved(places: Sequence[_Place]) -> list[_Place]:
    """Where a path leads whose dots are followed, and whose parameters are none."""
    found: list[_Place] = []
    for place in places:
        if place[1] != "..":
            found.append(place)
        elif found:
            found.pop()
    return [place for place in found if place[1]]
