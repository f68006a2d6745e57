"""Content codings (RFC 9110 section 8.4): reading a body that came compressed, and who takes one.

What is read is a copy; the client gets the body as it came. So a coding that is not known costs no
more than that the body is not understood.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
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


def accepts_gzip(values: Iterable[str]) -> bool:
    """Whether a client takes a body in gzip (RFC 9110 section 12.5.3).

    Args:
        values: of its `Accept-Encoding` fields.
    """
    weights: dict[str, bool] = {}
    for member in ",".join(values).split(","):
        coding, _, parameters = member.partition(";")
        name, _, weight = parameters.strip().partition("=")
        refused = name.lower() == "q" and weight.strip(" 0.") == ""
        weights[coding.strip().lower()] = not refused
    return weights.get("gzip", weights.get("*", False))
