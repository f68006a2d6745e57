"""Files of a page that Segue serves: read and compressed once, when somebody asks for the first.

Each has a strong validator for each of its two representations (RFC 9110 section 8.8.3), so that a
browser that comes back asks whether it has changed, and gets 304. All names that a page uses are
relative; what several pages share is in the list of each of them under the same path.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from proxy.http.content_coding import accepts_gzip

_ASSETS: Final = Path(__file__).parent / "assets"

SHARED: Final = (("", _ASSETS / "shared"), ("vendored/", _ASSETS / "vendored"))
"""What all pages have: design tokens, components and libraries, one copy of each."""

CONSOLE: Final = (("", _ASSETS / "console"), *SHARED)
CLIENT: Final = (("", _ASSETS / "client"), *SHARED)

SECURITY_FIELDS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: nothing of another site, nothing inline, in no frame."""

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; other files beside these, such as licences, are not."""


class Asset(NamedTuple):
    """A file, and how it is sent.

    Attributes:
        kind: its media type.
        plain, compressed: its two representations.
        digest: of what is in it.
    """

    kind: str
    plain: bytes
    compressed: bytes
    digest: str

    def tag(self, *, is_compressed: bool) -> str:
        """The validator of a representation, without its quotes."""
        return f"{self.digest}-gzip" if is_compressed else self.digest


class AssetAnswer(NamedTuple):
    """What a browser is sent.

    Attributes:
        status: 200; or 304, where it has the file.
        fields: names and values.
        body: empty where it has the file.
    """

    status: int
    fields: dict[str, str]
    body: bytes


class Assets:
    """The files below some folders, by the paths under which a page has them."""

    def __init__(self, folders: Sequence[tuple[str, Path]]) -> None:
        """Construct; nothing is read yet.

        Args:
            folders: each behind what the paths of its files begin with; of two files at one path,
                that of the first folder is served.
        """
        self._folders = folders
        self._read: Mapping[str, Asset] | None = None
        self._reading = asyncio.Lock()

    async def named(self, path: str) -> Asset | None:
        """The file at a path; None where there is none.

        What is asked for is a name and never a place on the disk: nothing leads out of a folder.
        """
        if self._read is None:
            async with self._reading:
                if self._read is None:
                    self._read = await asyncio.to_thread(read, self._folders)
        return self._read.get(path)


def read(folders: Sequence[tuple[str, Path]]) -> dict[str, Asset]:
    """Read what is served of some folders."""
    return {
        start + file.relative_to(folder).as_posix(): _asset(file)
        for start, folder in reversed(folders)
        for file in sorted(folder.rglob("*"))
        if file.suffix in _KINDS
    }


def _asset(file: Path) -> Asset:
    return made(_KINDS[file.suffix], file.read_bytes())


def made(kind: str, body: bytes) -> Asset:
    """What is served as a file, of a media type and with so much in it."""
    digest = hashlib.sha256(body).hexdigest()[:32]
    # Without a time: the same file is the same bytes on all replicas.
    return Asset(kind, body, gzip.compress(body, 9, mtime=0), digest)


def answered(asset: Asset, codings: Sequence[str], known: Iterable[str]) -> AssetAnswer:
    """Send a file to a browser, or tell it that it has it.

    Args:
        asset: the file.
        codings: the values of `Accept-Encoding`.
        known: the validators that the browser has, without quotes; `*` stands for any.
    """
    is_compressed = accepts_gzip(codings)
    tag = asset.tag(is_compressed=is_compressed)
    fields = {
        "ETag": f'"{tag}"',
        "Vary": "Accept-Encoding",
        # Kept, and asked about each time: after an upgrade all files are of one version.
        "Cache-Control": "no-cache",
    }
    if any(each in (tag, "*") for each in known):
        return AssetAnswer(304, fields, b"")
    fields["Content-Type"] = asset.kind
    if is_compressed:
        fields["Content-Encoding"] = "gzip"
    return AssetAnswer(200, fields, asset.compressed if is_compressed else asset.plain)
