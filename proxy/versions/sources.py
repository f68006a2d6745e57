"""Where a client can tell its version: each source reads it, and takes it out of what goes on.

Browsers cannot set headers on a WebSocket, so a version can come in several ways: in a header, as
a subprotocol offered beside the real ones, in the query, in a cookie, or from the session. A new
way is a class here, its label in `VersionSource` and its line in `KINDS`; its setting, if it has
one, stands in the section `versions` of the configuration. Everything here is pure: bytes of the
request in, values out; what clients send can be of any content and length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from proxy.http.cookies import cookies_in
from proxy.http.forms import parameters
from proxy.versions.version import MAX_LENGTH, Version

RawFields = Sequence[tuple[bytes, bytes]]


class VersionSource(StrEnum):
    """Where the client's version was read; the label values of `segue_version_sources_total`."""

    HEADER = "header"
    SUBPROTOCOL = "subprotocol"
    QUERY = "query"
    COOKIE = "cookie"
    SESSION = "session"
    DEFAULT = "default"
    UNREADABLE = "unreadable"
    NONE = "none"


class FieldNames(Protocol):
    """The names of a request's fields, and where they stand: what finds a field quickly."""

    @property
    def names(self) -> frozenset[bytes]:
        """The names, in lower case."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the names, with those that come again."""
        ...

    def values(self, fields: RawFields, name: bytes) -> list[bytes]:
        """The values of every field with that lower-case name, in order."""
        ...


@dataclass(slots=True, eq=False)
class Received:
    """What sources read: a request as it was received, in bytes, and what is known of its session.

    Nobody changes one. Frozen, it would take longer to make than a version takes to be chosen.

    Attributes:
        fields: names and values of the header section.
        shape: what finds one of `fields` by its name.
        target: the path and the raw query.
        subprotocols: those of a WebSocket handshake, one by one; empty for anything else.
        session: the version last seen in the same session; None without one.
    """

    fields: RawFields
    shape: FieldNames
    target: bytes
    subprotocols: Sequence[bytes]
    session: Version | None


class Outline(NamedTuple):
    """Which parts a request has, whatever is in them.

    Attributes:
        names: of its fields, in lower case.
        query: whether its target has one.
        subprotocols: whether it offers any.
        session: whether its session has a version.
    """

    names: frozenset[bytes]
    query: bool
    subprotocols: bool
    session: bool


class RequestParts(NamedTuple):
    """The parts of a request that selectors may be in, and are taken out of before they go on.

    Attributes:
        target: the path and the raw query.
        fields: names and values of the header section.
        subprotocols: those of a WebSocket handshake, one by one.
    """

    target: bytes
    fields: list[tuple[bytes, bytes]]
    subprotocols: Sequence[bytes]


class SourceSettings(Protocol):
    """The settings of sources: those of the section `versions` of the configuration."""

    @property
    def header(self) -> str:
        """The name of the request header."""
        ...

    @property
    def subprotocol_prefix(self) -> str:
        """What a subprotocol begins with that carries a version in its rest."""
        ...

    @property
    def query(self) -> str:
        """The name of the query parameter."""
        ...

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        ...


class Source(ABC):
    """One way to tell a version.

    Where `read` finds none, `strip` has nothing to do: it is not even called for a request in which
    no source is present.

    Attributes:
        label: what settings, log and metrics call it.
        words: the same for `segue explain`, after the version.
        header: the name of a field that is for versions alone, as it is configured: bodies that are
            rewritten vary on it, and preflights learn of it. Empty where there is none.
    """

    label: ClassVar[VersionSource]
    words: ClassVar[str]
    header: bytes = b""

    @classmethod
    @abstractmethod
    def of(cls, settings: SourceSettings) -> Source:
        """The source, as the settings have it."""

    @abstractmethod
    def may_read(self, outline: Outline) -> bool:
        """Whether `read` can find anything in a request with these parts; else it is not called."""

    @abstractmethod
    def read(self, request: Received) -> bytes | Version | None:
        """What the request tells; empty or unreadable where that is so; None where it tells none.

        Only a version that Segue had read before is one here.
        """

    def strip(self, parts: RequestParts) -> RequestParts:
        """The parts without this selector; every other byte as it was. Some selectors go on."""
        return parts

    def tell(self, parts: RequestParts, version: bytes) -> RequestParts | None:  # noqa: ARG002 (most sources need both)
        """The parts of a client that tells `version` here too; None where no client can."""
        return None


class HeaderSource(Source):
    """A request field. It goes on: the server may want to know, too."""

    label = VersionSource.HEADER
    words = "from the header"

    def __init__(self, name: str) -> None:
        self.header = name.encode()
        self._name = name.lower().encode()

    @classmethod
    def of(cls, settings: SourceSettings) -> HeaderSource:
        """The source, as the settings have it."""
        return cls(settings.header)

    def may_read(self, outline: Outline) -> bool:
        """It has the field."""
        return self._name in outline.names

    def read(self, request: Received) -> bytes | None:
        """The value; several are joined by commas (RFC 9110 section 5.3), and then unreadable."""
        values = request.shape.values(request.fields, self._name)
        return b",".join(values) if values else None

    def tell(self, parts: RequestParts, version: bytes) -> RequestParts:
        """With one more field."""
        return parts._replace(fields=[*parts.fields, (self._name, version)])


class SubprotocolSource(Source):
    """A subprotocol that begins with the prefix; its rest is the version. The server sees none."""

    label = VersionSource.SUBPROTOCOL
    words = "from the WebSocket subprotocol"

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()

    @classmethod
    def of(cls, settings: SourceSettings) -> SubprotocolSource:
        """The source, as the settings have it."""
        return cls(settings.subprotocol_prefix)

    def may_read(self, outline: Outline) -> bool:
        """It offers any."""
        return outline.subprotocols

    def read(self, request: Received) -> bytes | None:
        """The rest of the first one that has the prefix."""
        prefix = self._prefix
        for token in request.subprotocols:
            if token.startswith(prefix):
                return token[len(prefix) :]
        return None

    def strip(self, parts: RequestParts) -> RequestParts:
        """Without those that have the prefix."""
        if not parts.subprotocols:
            return parts
        prefix = self._prefix
        kept = [token for token in parts.subprotocols if not token.startswith(prefix)]
        return RequestParts(parts.target, parts.fields, kept)

    def tell(self, parts: RequestParts, version: bytes) -> RequestParts:
        """With one more subprotocol."""
        return parts._replace(subprotocols=[*parts.subprotocols, self._prefix + version])


class QuerySource(Source):
    """A query parameter. The server sees none."""

    label = VersionSource.QUERY
    words = "from the query"

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    @classmethod
    def of(cls, settings: SourceSettings) -> QuerySource:
        """The source, as the settings have it."""
        return cls(settings.query)

    def may_read(self, outline: Outline) -> bool:
        """It has a query."""
        return outline.query

    def read(self, request: Received) -> bytes | None:
        """The value of the first parameter of that name."""
        name, query = self._name, request.target.partition(b"?")[2]
        # The name stands in the query as it is, or behind a percent sign, or not at all.
        if not (name in query or b"%" in query):
            return None
        for each in parameters(query):
            if each.name == name:
                # `+` stays: as a space it could only make `2.0.0+build` unreadable.
                return _decoded(each.raw)
        return None

    def strip(self, parts: RequestParts) -> RequestParts:
        """Without any parameter of that name, in percent-encoded spellings of it too.

        Where nothing is left of the query, its `?` goes as well.
        """
        name = self._name
        path, _, query = parts.target.partition(b"?")
        if not (name in query or b"%" in query):
            return parts
        found = [*parameters(query)]
        kept = [each.written for each in found if each.name != name]
        if len(kept) == len(found):
            return parts
        rest = b"&".join(kept)
        target = path + b"?" + rest if rest else path
        return RequestParts(target, parts.fields, parts.subprotocols)

    def tell(self, parts: RequestParts, version: bytes) -> RequestParts:
        """With one more parameter."""
        path, _, query = parts.target.partition(b"?")
        own = self._name + b"=" + version
        return parts._replace(target=path + b"?" + (query + b"&" + own if query else own))


class CookieSource(Source):
    """A cookie. It goes on, as all cookies do."""

    label = VersionSource.COOKIE
    words = "from the cookie"

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    @classmethod
    def of(cls, settings: SourceSettings) -> CookieSource:
        """The source, as the settings have it."""
        return cls(settings.cookie)

    def may_read(self, outline: Outline) -> bool:
        """It has cookies."""
        return b"cookie" in outline.names

    def read(self, request: Received) -> bytes | None:
        """The value of the first cookie of that name."""
        name = self._name
        for cookies in request.shape.values(request.fields, b"cookie"):
            if name not in cookies:
                continue
            for each in cookies_in(cookies):
                if each.name == name:
                    return _decoded(each.value)
        return None

    def tell(self, parts: RequestParts, version: bytes) -> RequestParts:
        """With one more `Cookie` field."""
        cookie = (b"cookie", self._name + b"=" + version)
        return parts._replace(fields=[*parts.fields, cookie])


class SessionSource(Source):
    """The session, for whose client the version was last seen."""

    label = VersionSource.SESSION
    words = "last seen in the session"

    @classmethod
    def of(cls, _: SourceSettings) -> SessionSource:
        """The source; nothing of it can be set."""
        return cls()

    def may_read(self, outline: Outline) -> bool:
        """It has a session."""
        return outline.session

    def read(self, request: Received) -> Version | None:
        """The version last seen."""
        return request.session


Sources = tuple[Source, ...]

KINDS: Final[tuple[type[Source], ...]] = (
    HeaderSource,
    SubprotocolSource,
    QuerySource,
    CookieSource,
    SessionSource,
)
"""Every kind of source, in the default order."""

SOURCES: Final = tuple(kind.label for kind in KINDS)
"""Where a version can be read, in the default order."""


def make_sources(labels: Iterable[VersionSource], settings: SourceSettings) -> Sources:
    """Make the sources of these labels, in their order."""
    kinds = {kind.label: kind for kind in KINDS}
    return tuple(kinds[label].of(settings) for label in labels)


def _decoded(value: bytes) -> bytes:
    # A readable version is at most three times as long when each character is percent-encoded.
    return unquote_to_bytes(value) if b"%" in value and len(value) <= 3 * MAX_LENGTH else value
