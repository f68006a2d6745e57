"""Choosing the client's version, and taking the selectors out of what is forwarded.

The order of the sources is a setting; the first one that is present decides. What each of them
reads and takes out is its own affair: see `proxy.versions.sources`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from proxy.versions.cohorts import Cohorts
from proxy.versions.sources import Outline, Received, Source, Sources, VersionSource
from proxy.versions.version import MAX_LENGTH, Version

CACHE_SIZE: Final = 1024
"""How many spellings of versions one `VersionRules` remembers."""
MAX_OUTLINES: Final = 256
"""How many outlines of requests one `VersionRules` remembers."""
MAX_NAMES: Final = 2048
"""Bytes of the names in an outline that is remembered: a stranger chooses them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was decided for one request.

    Attributes:
        version: the client's version, or the default; None where there is neither.
        source: where it came from: one of the sources, or `UNREADABLE` (a source was present but
            could not be read, and the default stands in), `DEFAULT`, `NONE`.
        cohort: the cohort of `version`; None where no cohort contains it.
        raw: what the client told, as it spelled it; empty where that is too long, or nothing.
    """

    version: Version | None
    source: VersionSource
    cohort: str | None
    raw: str = field(default="", compare=False)


class VersionRules:
    """The version settings, compiled: chooses the version, and takes the selectors out again.

    A selector whose source is not in `sources` is not a selector but the client's own data: it
    neither decides anything nor is removed.

    `choose` with no selector present takes about a microsecond, for every HTTP request pays it.

    Attributes:
        cohorts: those that versions are in.
        sources: in the order in which they are asked.
        header: the name of the field that is for versions alone, as it is configured; empty where
            there is none.
    """

    __slots__ = ("_absent", "_read", "_remembered", "cohorts", "header", "sources")

    def __init__(
        self, cohorts: Cohorts, *, default: Version | None, sources: Sequence[Source]
    ) -> None:
        self.cohorts = cohorts
        self.sources = tuple(sources)
        self.header = next((source.header for source in sources if source.header), b"")
        fallback = None if default is None else cohorts.find(default)
        self._absent = Selection(
            default, VersionSource.NONE if default is None else VersionSource.DEFAULT, fallback
        )

        def read(raw: bytes, source: VersionSource) -> Selection:
            told = raw.decode("latin-1")
            version = Version.parse(told)
            if version is None:
                return Selection(default, VersionSource.UNREADABLE, fallback, told)
            return Selection(version, source, cohorts.find(version), told)

        # Clients of one release all send the same text. What is cached is chosen by clients, hence
        # the bound here, and the bound on the length of the keys in `choose`.
        self._read = lru_cache(maxsize=CACHE_SIZE)(read)
        # Clients send the same few sets of fields again and again.
        self._remembered = lru_cache(maxsize=MAX_OUTLINES)(self._outlined)

    def choose(self, request: Received) -> tuple[Selection, Sources]:
        """The version of the client that sent this request. The first source present decides.

        A selector that is present and empty, or cannot be read, decides too: for the default. Going
        on to the next source would let a forgotten cookie speak for a client that said otherwise.

        Returns:
            What was decided; and the sources, whichever decided, whose selectors the request may
            have and which are to `strip` them of what goes on.
        """
        shape = request.shape
        outlined = self._remembered if shape.size <= MAX_NAMES else self._outlined
        asked, stripping = outlined(
            shape.names,
            b"?" in request.target,
            bool(request.subprotocols),
            request.session is not None,
        )
        for source in asked:
            told = source.read(request)
            if told is None:
                continue
            if isinstance(told, Version):
                return (
                    Selection(told, source.label, self.cohorts.find(told), told.text),
                    stripping,
                )
            raw = told if len(told) <= MAX_LENGTH else b""
            return self._read(raw, source.label), stripping
        return self._absent, ()

    def _outlined(self, names: frozenset[bytes], *parts: bool) -> tuple[Sources, Sources]:
        """The sources to ask about a request with these parts, and those of them that strip."""
        outline = Outline(names, *parts)
        asked = tuple(source for source in self.sources if source.may_read(outline))
        # Most go on as they came; then nothing is put together for `strip` to look at.
        stripping = [source for source in asked if type(source).strip is not Source.strip]
        return asked, tuple(stripping)


def answered_subprotocol(
    offered: Sequence[bytes], forwarded: Sequence[bytes], chosen: bytes | None
) -> bytes | None:
    """The subprotocol to answer the client with, given what the server chose.

    The server's choice stands. Where it chose none, a client that offered a version token gets that
    token back (the first, which decided): a browser fails a handshake when it offered subprotocols
    and the answer has none (WHATWG WebSockets, "establish a WebSocket connection"). No other client
    gets an answer that the server did not give.

    Args:
        offered: by the client, in its order.
        forwarded: those of them that the server was offered; the others are version tokens.
        chosen: by the server.
    """
    if chosen is not None or len(forwarded) == len(offered):
        return chosen
    onward = frozenset(forwarded)
    return next((token for token in offered if token not in onward), None)
