"""Choosing the client's version, and taking the selectors out of what is forwarded.

Browsers cannot set headers on a WebSocket, so a version can come in several ways: in a header, as
a subprotocol offered beside the real ones, in the query, in a cookie, or from the session. The
order is a setting; the first source that is present decides. Everything here is pure: bytes of the
request in, values out; what clients send can be of any content and length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.versions.cohorts import Cohorts
from proxy.versions.version import MAX_LENGTH, Version, VersionSource

CACHE_SIZE: Final = 1024
"""How many spellings of versions one `VersionRules` remembers."""

# Locals of the module, because looking a member up in its enum costs 0.2 microseconds.
_HEADER: Final = VersionSource.HEADER
_SUBPROTOCOL: Final = VersionSource.SUBPROTOCOL
_QUERY: Final = VersionSource.QUERY
_COOKIE: Final = VersionSource.COOKIE

_QUOTED: Final = re.compile(rb'\A"(.*)"\Z', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was decided for one request.

    Attributes:
        version: the client's version, or the default; None where there is neither.
        source: where it came from: one of the sources, or `UNREADABLE` (a source was present but
            could not be read, and the default stands in), `DEFAULT`, `NONE`.
        cohort: the cohort of `version`; None where no cohort contains it.
    """

    version: Version | None
    source: VersionSource
    cohort: str | None


class VersionRules:
    """The version settings, compiled: chooses the version, and takes the selectors out again.

    A selector whose source is not listed in `sources` is not a selector but the client's own data:
    it neither decides anything nor is removed. All pieces are bytes as they were received.

    `choose` with no selector present takes about a microsecond, for every HTTP request pays it.
    """

    __slots__ = (
        "_absent",
        "_cookie",
        "_cookie_name",
        "_prefix",
        "_query",
        "_read",
        "_sources",
        "cohorts",
    )

    def __init__(
        self,
        cohorts: Cohorts,
        *,
        default: Version | None,
        sources: Sequence[VersionSource],
        subprotocol_prefix: str,
        query: str,
        cookie: str,
    ) -> None:
        self.cohorts = cohorts
        self._sources = tuple(sources)
        self._prefix = subprotocol_prefix.encode() if VersionSource.SUBPROTOCOL in sources else None
        self._query = query.encode() if VersionSource.QUERY in sources else None
        self._cookie_name = cookie.encode()
        self._cookie = re.compile(
            rb"(?:^|;)[ \t]*" + re.escape(self._cookie_name) + rb"[ \t]*=([^;]*)"
        )
        fallback = None if default is None else cohorts.find(default)
        self._absent = Selection(
            default, VersionSource.NONE if default is None else VersionSource.DEFAULT, fallback
        )
        unreadable = Selection(default, VersionSource.UNREADABLE, fallback)

        def read(raw: bytes, source: VersionSource) -> Selection:
            version = Version.parse(raw.decode("latin-1"))
            if version is None:
                return unreadable
            return Selection(version, source, cohorts.find(version))

        # Clients of one release all send the same text. What is cached is chosen by clients, hence
        # the bound here, and the bound on the length of the keys in `choose`.
        self._read = lru_cache(maxsize=CACHE_SIZE)(read)

    def choose(
        self,
        *,
        header: bytes | None,
        subprotocols: Sequence[bytes],
        query: bytes,
        cookies: Sequence[bytes],
        session: Version | None = None,
    ) -> Selection:
        """The version of the client that sent these pieces. The first source present decides.

        Args:
            header: the value of the version header; where the field came several times, the values
                joined by commas (RFC 9110 section 5.3), which then is unreadable.
            subprotocols: what `offered_subprotocols` returns; empty for anything but a handshake.
            query: the raw query, without `?`.
            cookies: the values of the `Cookie` fields.
            session: the version last seen in the same session.

        A selector that is present and empty, or cannot be read, decides too: for the default. Going
        on to the next source would let a forgotten cookie speak for a client that said otherwise.
        """
        if header is None and session is None and not (subprotocols or query or cookies):
            return self._absent
        for source in self._sources:
            raw: bytes | None = None
            if source is _HEADER:
                raw = header
            elif source is _SUBPROTOCOL:
                if subprotocols:
                    raw = self._from_subprotocols(subprotocols)
            elif source is _QUERY:
                if query:
                    raw = self._from_query(query)
            elif source is _COOKIE:
                if cookies:
                    raw = self._from_cookies(cookies)
            elif session is not None:
                return Selection(session, source, self.cohorts.find(session))
            if raw is not None:
                return self._read(raw if len(raw) <= MAX_LENGTH else b"", source)
        return self._absent

    def without_query_parameter(self, target: bytes) -> bytes:
        """The request target without the version parameter; every other byte as it was.

        Every occurrence goes, in percent-encoded spellings of the name too. Where nothing is left
        of the query, its `?` goes as well.
        """
        own = self._query
        if own is None or b"?" not in target:
            return target
        path, _, query = target.partition(b"?")
        if not (own in query or b"%" in query):
            return target
        parts = query.split(b"&")
        kept = [part for part in parts if not _is_named(part.partition(b"=")[0], own)]
        if len(kept) == len(parts):
            return target
        rest = b"&".join(kept)
        return path + b"?" + rest if rest else path

    def forwarded_subprotocols(self, offered: Sequence[bytes]) -> list[bytes]:
        """The subprotocols to offer to the server: those offered, without version tokens."""
        prefix = self._prefix
        if prefix is None:
            return list(offered)
        return [token for token in offered if not token.startswith(prefix)]

    def answered_subprotocol(self, offered: Sequence[bytes], chosen: bytes | None) -> bytes | None:
        """The subprotocol to answer the client with, given what the server chose.

        The server's choice stands. Where it chose none, a client that offered a version token gets
        that token back (the first, which decided): a browser fails a handshake when it offered
        subprotocols and the answer has none (WHATWG WebSockets, "establish a WebSocket
        connection"). No other client gets an answer that the server did not give.
        """
        prefix = self._prefix
        if chosen is not None or prefix is None:
            return chosen
        return next((token for token in offered if token.startswith(prefix)), None)

    def _from_subprotocols(self, offered: Sequence[bytes]) -> bytes | None:
        token = self.answered_subprotocol(offered, None)
        return None if token is None or self._prefix is None else token[len(self._prefix) :]

    def _from_query(self, query: bytes) -> bytes | None:
        own = self._query
        # The name stands in the query as it is, or behind a percent sign, or not at all.
        if own is None or not (own in query or b"%" in query):
            return None
        for part in query.split(b"&"):
            name, _, value = part.partition(b"=")
            if _is_named(name, own):
                # `+` stays: as a space it could only make `2.0.0+build` unreadable.
                return _decoded(value)
        return None

    def _from_cookies(self, cookies: Sequence[bytes]) -> bytes | None:
        for cookie in cookies:
            match = self._cookie.search(cookie) if self._cookie_name in cookie else None
            if match is not None:
                value = match[1].strip(b" \t")
                # RFC 6265 section 4.1.1: the value may stand in quotes, which are not part of it.
                return _decoded(_QUOTED.sub(rb"\1", value))
        return None


def _is_named(name: bytes, own: bytes) -> bool:
    return name == own or (
        b"%" in name and len(name) <= 3 * len(own) and unquote_to_bytes(name) == own
    )


def _decoded(value: bytes) -> bytes:
    # A readable version is at most three times as long when each character is percent-encoded.
    return unquote_to_bytes(value) if b"%" in value and len(value) <= 3 * MAX_LENGTH else value
