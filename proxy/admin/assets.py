"""Files of a page that Segue serves: read and compressed once, when somebody asks for the first.

Each has a strong validator for each of its two representations (RFC 9110 section 8.8.3), so that a
browser that comes back asks whether it has changed, and gets 304.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from proxy.http.content_coding import accepts_gzip

VENDORED: Final = Path(__file__).parent.parent / "assets/vendored"
"""The libraries of all pages: one copy."""

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


class Assets:
    """The files below some folders, by the paths under which a page has them."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Construct; nothing is read yet.

        Args:
            folders: what the paths of their files begin with.
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


def read(folders: Mapping[str, Path]) -> dict[str, Asset]:
    """Read what is served of some folders."""
    return {
        start + file.relative_to(folder).as_posix(): _asset(file)
        for start, folder in folders.items()
        for file in sorted(folder.rglob("*"))
        if file.suffix in _KINDS
    }


def _asset(file: Path) -> Asset:
    body = file.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:32]
    # Without a time: the same file is the same bytes on all replicas.
    return Asset(_KINDS[file.suffix], body, gzip.compress(body, 9, mtime=0), digest)


def answer(request: web.Request, asset: Asset, fields: Mapping[str, str]) -> web.Response:
    """Send a file to a browser, or tell it that it has it.

    Args:
        request: what it asks.
        asset: the file.
        fields: that all answers have.
    """
    codings: Sequence[str] = request.headers.getall("Accept-Encoding", ())
    is_compressed = accepts_gzip(codings)
    response = web.Response(headers=fields)
    tag = asset.tag(is_compressed=is_compressed)
    response.headers["ETag"] = f'"{tag}"'
    response.headers["Vary"] = "Accept-Encoding"
    # Kept, and asked about each time: after an upgrade all files are of one version.
    response.headers["Cache-Control"] = "no-cache"
    if any(each.value in (tag, "*") for each in request.if_none_match or ()):
        response.set_status(304)
        return response
    response.headers["Content-Type"] = asset.kind
    response.body = asset.compressed if is_compressed else asset.plain
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    return response
