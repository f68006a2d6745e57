"""Where tokens stand: the places that the configuration names, and requests read by them.

Reads what clients wrote, of any content; None for whatever is not what it should be. Nothing here
knows whether a token is good.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from proxy.http.cookie_spellings import SpelledCookies, is_plain
from proxy.http.cookies import cookie_values, put_cookie, with_cookie, without_values
from proxy.http.forms import Parameter, parameter, parameters, parameters_of_either, variable_name
from proxy.http.headers import Fields, RawFields, values_of
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
        access_cookie, refresh_cookie: the names of the cookies that hold tokens; None for none.
        refresh_in_authorization: whether a refresh may have its token in `Authorization`.
        subprotocol: the one behind which a handshake offers its token; None where none does.
        first_message: the field of the access token in a WebSocket's first message; None where none
            is looked for.
        bodies: routes whose requests hold an access token in their bodies, decoded, and where.
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
    access_cookie: bytes | None = None
    refresh_cookie: bytes | None = None
    refresh_in_authorization: bool = False
    subprotocol: bytes | None = None
    first_message: FieldPath | None = None
    bodies: Mapping[bytes, FieldPath] = field(default_factory=dict)
    _scheme_word: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _cookies: SpelledCookies | None = field(init=False, repr=False, compare=False)
    _variables: frozenset[str] = field(init=False, repr=False, compare=False)
    _may_be_in_query: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what schemes look like within other text, and cookies in other spellings."""
        schemes = "|".join(re.escape(scheme.decode().casefold()) for scheme in self.schemes)
        object.__setattr__(self, "_scheme_word", re.compile(rf"(?<![a-z0-9_-])(?:{schemes})"))
        names = (self.access_cookie, self.refresh_cookie)
        given = [name for name in names if name is not None]
        object.__setattr__(self, "_cookies", SpelledCookies(given) if given else None)
        object.__setattr__(self, "_variables", frozenset(map(variable_name, self.query)))
        object.__setattr__(self, "_may_be_in_query", _hint_of(self._variables))

    @property
    def has_refresh_in_fields(self) -> bool:
        """Whether a refresh needs no body."""
        return self.refresh_cookie is not None or self.refresh_in_authorization

    def bearer(self, values: Sequence[bytes]) -> str | None:
        """The token in the `Authorization` fields (RFC 6750 section 2.1); None if there is not one.

        Servers split at any white space, so this does. What could separate a token from another one
        is in none.
        """
        if len(values) != 1:
            return None
        scheme, _, token = values[0].partition(b" ")
        if not token or token.translate(None, _IN_TOKENS):  # Nearly no token is spelled otherwise.
            parts = values[0].split()
            if len(parts) != 2 or parts[1].translate(None, _IN_TOKENS):
                return None
            scheme, token = parts
        return token.decode("latin-1") if scheme.lower() in self.schemes else None

    def may_hide_bearer(self, value: bytes) -> bool:
        """Whether a server may find a token in an `Authorization` in which `bearer` finds none.

        Servers take the first of several credentials, or the last (`Basic YTpi, Bearer <token>`),
        split at white space of other alphabets, or cut the scheme off without looking what stands
        around it. So what may hide one is a value with one of the schemes at the beginning of a
        word, and something that could be a JWT: nothing that is both is a credential of another
        kind, whatever a Digest has in its quotes.
        """
        if LIKE_JWT.search(value) is None:
            return False
        # Some fold the case of Unicode, in which a Kelvin sign is a k.
        told = (value.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        return any(self._scheme_word.search(each.casefold()) is not None for each in told)

    def with_bearer(self, fields: RawFields, token: str) -> Fields:
        """The fields with another token in their `Authorization`, where that has a token.

        The client's own scheme stays, as it is spelled; credentials of another one are left alone.
        """
        value = token.encode("latin-1")
        return [
            (name, credentials.split()[0] + b" " + value)
            if name.lower() == b"authorization" and self.bearer([credentials]) is not None
            else (name, credentials)
            for name, credentials in fields
        ]

    def with_access(self, fields: RawFields, old: str, new: str) -> list[tuple[bytes, bytes]]:
        """The fields with another access token wherever the old one stands."""
        value = old.encode("latin-1")
        changed = []
        for item in fields:
            name = item[0].lower()
            if name == b"authorization" and self.bearer([item[1]]) == old:
                changed += self.with_bearer([item], new)
            elif name == _PROTOCOL and self.subprotocol is not None and value in item[1]:
                changed.append((item[0], self._with_offer(item[1], value, new.encode("latin-1"))))
            else:
                changed.append(item)
        if self.access_cookie is None:
            return changed
        return with_cookie(changed, self.access_cookie, old, new)

    def with_current(self, fields: RawFields, access: str, refresh: str, *, adds: bool) -> Fields:
        """The fields of a logout with the tokens that are current; the body is not looked at.

        Args:
            fields: of the request.
            access, refresh: the tokens.
            adds: whether there is to be an access token where there was none. Not for who has shown
                nothing but cookies: that a page of another site cannot send `Authorization` is what
                keeps it from logging a user out.
        """
        changed = self.with_bearer(fields, access)
        for name, token in ((self.access_cookie, access), (self.refresh_cookie, refresh)):
            if name is not None and cookie_values(changed, name):
                changed = put_cookie(changed, name, token)
        if not adds or any(name.lower() == b"authorization" for name, _ in fields):
            return changed
        if self.access_cookie is not None:
            return put_cookie(changed, self.access_cookie, access)
        return [*changed, (b"Authorization", self.scheme + b" " + access.encode("latin-1"))]

    def with_refresh(self, fields: RawFields, refresh: str) -> Fields:
        """The fields of Segue's own refresh, with the token where it stands in fields."""
        added = list(fields)
        if self.refresh_in_authorization:
            added.append((b"Authorization", self.scheme + b" " + refresh.encode("latin-1")))
        if self.refresh_cookie is None:
            return added
        return put_cookie(added, self.refresh_cookie, refresh)

    def with_other_refresh(self, fields: RawFields, old: str, new: str) -> Fields:
        """The fields of a client's own refresh, with another token wherever the old one stands."""
        changed = []
        for item in fields:
            is_it = item[0].lower() == b"authorization" and self.bearer([item[1]]) == old
            changed += self.with_bearer([item], new) if is_it else [item]
        if self.refresh_cookie is None:
            return changed
        return with_cookie(changed, self.refresh_cookie, old, new)

    def refresh_cookies(self, fields: RawFields) -> list[str]:
        """The refresh tokens in the cookies of a request."""
        return _plain_values(fields, self.refresh_cookie)

    def cookie_tokens(self, fields: RawFields) -> list[str]:
        """The access tokens in the cookies of a request; of several, servers take either one."""
        return _plain_values(fields, self.access_cookie)

    def without_hidden_cookies(self, fields: RawFields) -> Fields:
        """The fields without cookies in which servers may read tokens that are not read here."""
        return list(fields) if self._cookies is None else self._cookies.without_hidden(fields)

    def hides_refresh(self, fields: RawFields) -> bool:
        """Whether a server may read a refresh token in a cookie that is not read here."""
        name = self.refresh_cookie
        return name is not None and SpelledCookies((name,)).are_hidden(fields)

    def without_access(self, fields: RawFields, tokens: Collection[str]) -> Fields:
        """The fields without these access tokens, in `Authorization` and in cookies."""
        kept = [
            (name, value)
            for name, value in fields
            if name.lower() != b"authorization" or self.bearer([value]) not in tokens
        ]
        return (
            kept if self.access_cookie is None else without_values(kept, self.access_cookie, tokens)
        )

    def other_tokens(self, fields: RawFields, handshake: bytes | None) -> list[str]:
        """The access tokens of a request that are not in `Authorization`; cookies come last.

        Args:
            fields: of the request.
            handshake: the target of one that opens a WebSocket: browsers cannot set fields on it.
        """
        found = self.cookie_tokens(fields)
        return found if handshake is None else [*self.handshake_tokens(fields, handshake), *found]

    def handshake_tokens(self, fields: RawFields, target: bytes) -> list[str]:
        """The access tokens of a handshake that are neither in `Authorization` nor in cookies."""
        return [*self.query_tokens(target), *self.offered_tokens(fields)]

    def offered_tokens(self, fields: RawFields) -> list[str]:
        """The tokens that a handshake offers as if they were subprotocols."""
        if self.subprotocol is None:
            return []
        values = b",".join(values_of(fields, _PROTOCOL)).split(b",")
        offered = [part for part in (value.strip(b" \t") for value in values) if part]
        return [
            each.decode("latin-1") for name, each in pairwise(offered) if name == self.subprotocol
        ]

    def query_tokens(self, target: bytes) -> list[str]:
        """The tokens in a handshake's query: of all its parameters for them that are not empty.

        Read as servers do: percent-encoded or not, and by some with semicolons between parameters.
        """
        query = target.partition(b"?")[2]
        if self._may_be_in_query.search(query) is None:
            return []
        found = [*parameters(query)]
        if b";" in query:
            found += parameters_of_either(query)
        return [
            each.value.decode("latin-1") for each in found if each.raw and self._holds_token(each)
        ]

    def with_query_token(self, target: bytes, old: str, new: str) -> bytes:
        """The target with another token wherever a parameter for tokens has the old one."""
        path, mark, query = target.partition(b"?")
        before, after = old.encode("latin-1"), new.encode("latin-1")

        def changed(each: Parameter) -> bytes:
            if self._holds_token(each) and each.value == before:
                return each.with_value(after)
            if b";" not in each.written:
                return each.written
            return b";".join(changed(parameter(part)) for part in each.written.split(b";"))

        return path + mark + b"&".join(map(changed, parameters(query)))

    def _holds_token(self, each: Parameter) -> bool:
        name = each.name.decode("latin-1")
        return name in self.query or variable_name(name) in self._variables

    def _with_offer(self, value: bytes, old: bytes, new: bytes) -> bytes:
        parts = [part.strip(b" \t") for part in value.split(b",")]
        return b", ".join(
            new if each == old and name == self.subprotocol else each
            for name, each in pairwise([b"", *parts])
        )


def _hint_of(variables: Iterable[str]) -> re.Pattern[bytes]:
    """What every query has that holds one of these variables, in whatever spelling.

    Nearly no handshake has it: looking costs 0.4 us, reading two parameters 3 us.
    """
    written = [re.escape(name).replace("_", r"[_.[ ]").encode("latin-1") for name in variables]
    return re.compile(b"|".join([rb"[%+]", *written]))


def _plain_values(fields: RawFields, name: bytes | None) -> list[str]:
    return [] if name is None else [each for each in cookie_values(fields, name) if is_plain(each)]


_IN_TOKENS: Final = bytes(set(range(0x21, 0x7F)) - set(b"\"',;"))
"""What tokens are made of, of whatever kind: visible, and no comma, semicolon or quote."""

LIKE_JWT: Final = re.compile(rb"(?<![\w-])[\w-]{10,}+\.[\w-]{10,}+\.")
"""What could be a JWT (RFC 7515 section 3.1), or ends with one's head: there is no shorter one that
names an algorithm and an end."""

_PROTOCOL: Final = b"sec-websocket-protocol"
