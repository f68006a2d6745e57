"""The three things that a proxy has to say in CORS (WHATWG Fetch, "CORS protocol").

A page of another origin that sends the version header causes a preflight, and the server in front
of which Segue stands does not know that header. An answer that Segue makes by itself, because the
server gave none, would be unreadable for such a page; and where the server cannot even answer the
preflight, the page would not get so far. Everything else is between the page and the server.
Fields are raw, as received: (name, value) in bytes, order and spelling kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from proxy.http.headers import RawFields, tokens, values_of

_TOKEN: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A name of a method or field (RFC 9110 section 5.6.2)."""


def is_preflight(method: str, request: RawFields) -> bool:
    """Whether a request is a CORS preflight: `OPTIONS` with an origin and the method to come."""
    return (
        method == "OPTIONS"
        and bool(values_of(request, b"origin"))
        and bool(values_of(request, b"access-control-request-method"))
    )


def allow_header(request: RawFields, response: RawFields, name: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of the server's answer to a preflight, with `name` among the headers allowed.

    Nothing is added where the server's answer does not allow the origin: Segue opens no door that
    the server keeps shut. `*` allows every header, but not for a request with credentials, for
    which it is a header of that name; so where the answer allows credentials it does not count.

    Args:
        request: the fields of a request for which `is_preflight` holds.
        response: the fields of the server's answer.
        name: the name of the version header, as it is to be spelled.
    """
    return _listing(request, response, b"Access-Control-Allow-Headers", (name,))


def expose_headers(
    request: RawFields, response: RawFields, names: Iterable[bytes]
) -> list[tuple[bytes, bytes]]:
    """The fields of an answer, with `names` among the headers that the page may read.

    As in `allow_header`, nothing is added where the answer does not allow the origin, or `*` says
    it already.

    Args:
        request: the fields of the request.
        response: the fields of the answer.
        names: as they are to be spelled.
    """
    return _listing(request, response, b"Access-Control-Expose-Headers", names)


def error_fields(request: RawFields, origins: Collection[str]) -> list[tuple[bytes, bytes]]:
    """The CORS fields of an answer that Segue makes by itself.

    An answer of Segue's own carries no data of a user, but it shows that the server is there and
    in which state: the operator says who may read it (`cors.origins`), in full; nothing is learnt
    from traffic, because the server that could vouch for an origin has not spoken. Pages of the
    proxy's own origin need no permission. With no origins listed there are no fields.

    `Vary: Origin` comes with every answer that depends on the origin, for requests without one
    too (Fetch, "CORS protocol and HTTP caches"). `*` in the list allows every page, without
    credentials.

    Args:
        request: the fields of the request.
        origins: serialised as browsers do, as `https://app.example.com`; or `*`.
    """
    if not origins:
        return []
    if "*" in origins:
        return [(b"Access-Control-Allow-Origin", b"*")]
    vary = (b"Vary", b"Origin")
    sent = values_of(request, b"origin")
    if len(sent) != 1 or sent[0].decode("latin-1") not in origins:
        return [vary]
    return [
        (b"Access-Control-Allow-Origin", sent[0]),
        (b"Access-Control-Allow-Credentials", b"true"),
        vary,
    ]


def preflight_fields(
    request: RawFields, origins: Collection[str]
) -> list[tuple[bytes, bytes]] | None:
    """The fields of an answer to a preflight where the server cannot give one.

    A page learns from the request that follows what the matter is; without this it learns nothing.
    What that request may do is decided anew with each preflight: this answer is not to be kept, so
    that the server's own counts as soon as there is one.

    Args:
        request: the fields of a request for which `is_preflight` holds.
        origins: as for `error_fields`.

    Returns:
        The fields; None where the operator has not listed the origin, or what is asked for is no
        name of a method or of fields.
    """
    fields = error_fields(request, origins)
    wanted = values_of(request, b"access-control-request-method")
    headers = tokens(values_of(request, b"access-control-request-headers"))
    allowed = fields and fields[0][0] == b"Access-Control-Allow-Origin"
    if not allowed or len(wanted) != 1 or not all(map(_TOKEN.fullmatch, (*wanted, *headers))):
        return None
    fields.append((b"Access-Control-Allow-Methods", wanted[0]))
    if headers:
        # By name: `*` does not stand for Authorization (Fetch, "CORS-preflight fetch").
        fields.append((b"Access-Control-Allow-Headers", b", ".join(sorted(headers))))
    return [*fields, (b"Access-Control-Max-Age", b"0")]


def _listing(
    request: RawFields, response: RawFields, field: bytes, names: Iterable[bytes]
) -> list[tuple[bytes, bytes]]:
    """The fields of an answer in which a field lists these names too, if it allows the origin."""
    fields = list(response)
    if not _allows_origin(request, response):
        return fields
    listed = tokens(values_of(response, field.lower()))
    # `true` is compared with regard to case (Fetch, "CORS check").
    with_credentials = values_of(response, b"access-control-allow-credentials") == [b"true"]
    missing = b", ".join(name for name in names if name.lower() not in listed)
    if not missing or (b"*" in listed and not with_credentials):
        return fields
    for index in range(len(fields) - 1, -1, -1):
        name, value = fields[index]
        if name.lower() == field.lower():
            value = value.strip(b" \t")
            fields[index] = (name, value + b", " + missing if value else missing)
            return fields
    return [*fields, (field, missing)]


def _allows_origin(request: RawFields, response: RawFields) -> bool:
    # More than one value never passes a browser's check (Fetch, "CORS check").
    origins = values_of(request, b"origin")
    allowed = values_of(response, b"access-control-allow-origin")
    return len(origins) == 1 and len(allowed) == 1 and allowed[0] in (b"*", origins[0])
