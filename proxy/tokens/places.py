"""Where tokens stand: the places that the configuration names, and requests read by them.

Reads what clients wrote, of any content; None for whatever is not what it should be. Nothing here
knows whether a token is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from proxy.http.headers import RawFields
from proxy.types import FieldPath


@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """What is looked at, and put back.

    Attributes:
        access, refresh: the fields of the tokens in answers to a login and a refresh.
        refresh_request, logout_request: the field of the refresh token in requests for these.
        request_is_form: whether Segue's own refresh is a form, and not JSON.
        request_fields: the name and the value of what else stands in that.
        scheme: the scheme of `Authorization` where a client has none of its own.
        schemes: all with which access tokens come, in lower case.
        query: the parameters of a handshake in which they come.
    """

    access: FieldPath = ("access",)
    refresh: FieldPath = ("refresh",)
    refresh_request: FieldPath = ("refresh",)
    logout_request: FieldPath = ("refresh",)
    request_is_form: bool = False
    request_fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    scheme: bytes = b"Bearer"
    schemes: frozenset[bytes] = frozenset({b"bearer"})
    query: frozenset[str] = frozenset({"token", "access_token"})

    def bearer(self, values: Sequence[bytes]) -> str | None:
        """The token in the `Authorization` fields (RFC 6750 section 2.1); None if there is not one.

        Servers split at any white space, so this does.
        """
        parts = values[0].split() if len(values) == 1 else ()
        if len(parts) != 2 or parts[0].lower() not in self.schemes:
            return None
        return parts[1].decode("latin-1")

    def with_bearer(self, fields: RawFields, token: str) -> list[tuple[bytes, bytes]]:
        """The fields with another token in their `Authorization`, at its place; else at the end.

        The client's own scheme stays, as it is spelled.
        """
        value = token.encode("latin-1")
        found = False
        changed = []
        for item in fields:
            if item[0].lower() == b"authorization":
                found = True
                scheme = (item[1].split() or [b""])[0]
                kept = scheme if scheme.lower() in self.schemes else self.scheme
                changed.append((item[0], kept + b" " + value))
            else:
                changed.append(item)
        return changed if found else [*changed, (b"Authorization", self.scheme + b" " + value)]

    def query_tokens(self, target: bytes) -> list[str]:
        """The tokens in a handshake's query: of all its parameters for them that are not empty.

        Read as servers do: percent-encoded or not.
        """
        parts = target.partition(b"?")[2].split(b"&")
        return [value for name, value in map(_decoded, parts) if name in self.query and value]

    def with_query_token(self, target: bytes, old: str, new: str) -> bytes:
        """The target with another token wherever a parameter for tokens has the old one."""
        path, mark, query = target.partition(b"?")
        after = b"=" + new.encode("latin-1")
        parts = []
        for part in query.split(b"&"):
            name, value = _decoded(part)
            is_it = name in self.query and value == old
            parts.append(part.partition(b"=")[0] + after if is_it else part)
        return path + mark + b"&".join(parts)


def _decoded(part: bytes) -> tuple[str, str]:
    name, _, value = part.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(name).decode("latin-1"), unquote_to_bytes(value).decode("latin-1")
