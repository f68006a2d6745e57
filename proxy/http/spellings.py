"""What servers may make of a path before they look where it leads.

RFC 3986 section 6 tells which spellings of a URI are the same, and servers go on from there: they
decode twice, merge slashes, resolve dots, take off parameters, forget about case, cut at a NUL.
None does all of it and few do none. A rule about a path that a server may read in another way than
its own is got round by one of these spellings, and so a look at all of them is the only safe one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@-]+)*/?")
"""A path that can be read in one way only, but for its case and a slash at its end."""

_DECODINGS: Final = 3
"""How often a path is decoded: by a server, by what stands in front of it, and once more."""

_LONGEST: Final = 4096
"""Bytes of a path that is looked at in all of its readings: it takes milliseconds."""

_CUT: Final = re.compile(rb"[\x00?#]")
"""Where a path that was decoded may end: as text in C, or taken for a URL once more."""

_CONTROLS: Final = bytes((*range(0x20), 0x7F))
_PARAMETERS: Final = re.compile(rb";[^/]*")
_SLASHES: Final = re.compile(rb"/{2,}")
_SUFFIX: Final = re.compile(r"(?<=[^/])\.[^/.]+$")
"""A format, of any length (Rails)."""


class SpelledPaths:
    """Some paths, found in each spelling that leads there at one server or another."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        """Construct it.

        Args:
            paths: as in a request line.
        """
        self._plain = {each for path in paths for each in _readings(path)}

    def may_be(self, path: bytes) -> bool:
        """Whether a server may take a path for one of them. Cheap for paths without oddities.

        A path with oddities that is too long to be looked at may be one, too.

        Args:
            path: as in the request line, without its query.
        """
        if _PLAIN.fullmatch(path):
            return path.decode().lower().rstrip("/") in self._plain
        return len(path) > _LONGEST or any(each in self._plain for each in _readings(path))


def _readings(path: bytes) -> Iterator[str]:
    """What a path may mean, each in one plain spelling."""
    for _ in range(_DECODINGS + 1):
        ends = _CUT.search(path)
        for whole in (path,) if ends is None else (path, path[: ends.start()]):
            separated = whole.translate(None, _CONTROLS).replace(b"\\", b"/")
            for each in {separated, _PARAMETERS.sub(b"", separated)}:
                for merged in {each, _SLASHES.sub(b"/", each)}:
                    yield from _plainly(merged)
        decoded = unquote_to_bytes(path)
        if decoded == path:
            return
        path = decoded


def _plainly(path: bytes) -> Iterator[str]:
    # Not only of ASCII: regular expressions that forget about case take a Kelvin sign for a k.
    folded = path.decode("utf-8", "surrogateescape").casefold()
    kept: list[str] = []
    for segment in folded.split("/"):
        if segment == "..":
            del kept[-1:]
        # Trailing dots and spaces are none to servers on Windows; `.` is a segment of dots alone.
        elif not segment or (stripped := segment.strip().rstrip(". ")):
            kept.append(segment and stripped)
    plain = "/" + "/".join(filter(None, kept))
    yield plain.rstrip("/")
    yield _SUFFIX.sub("", plain)
