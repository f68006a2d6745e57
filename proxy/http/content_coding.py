"""Content codings (RFC 9110 section 8.4): reading a body that came compressed.

What is read is a copy; the client gets the body as it came. So a coding that is not known costs no
more than that the body is not understood.
"""

from __future__ import annotations

import zlib
from typing import Final

from proxy.http.headers import RawFields, values_of

_WINDOWS: Final = {
    # A header of gzip or zlib tells which it is: servers disagree about what `deflate` means.
    b"gzip": zlib.MAX_WBITS | 32,
    b"x-gzip": zlib.MAX_WBITS | 32,
    b"deflate": zlib.MAX_WBITS | 32,
}


def plain(body: bytes, fields: RawFields, most: int) -> bytes:
    """A body without its content coding, for whoever wants to know what it says.

    Args:
        body: as it came, whole.
        fields: of its head.
        most: bytes; one that grows beyond that is not read.

    Returns:
        The body; nothing where it is coded in a way that is not known, twice, or wrongly.
    """
    told = b",".join(values_of(fields, b"content-encoding")).strip().lower()
    if told in (b"", b"identity"):
        return body
    window = _WINDOWS.get(told)
    if window is None:
        return b""
    reader = zlib.decompressobj(window)
    try:
        read = reader.decompress(body, most + 1)
    except zlib.error:
        return b""
    return read if reader.eof and len(read) <= most else b""
