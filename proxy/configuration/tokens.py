"""The section `sessions.tokens`: where the server and its clients put their tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Annotated, Final, Literal
from urllib.parse import unquote_to_bytes

from pydantic import AfterValidator, Field

from proxy.configuration.document import Path, WrittenText
from proxy.configuration.field_paths import read_path
from proxy.configuration.fields import ExactPath, Parameter, Section, Token
from proxy.tokens.places import TokenPlaces
from proxy.types import FieldPath

_MAX_KEYS: Final = 8
_LONGEST_KEY: Final = 128
_MOST: Final = 8
"""Schemes, and parameters of a query: each request may be looked through for each."""

_MOST_MEMBERS: Final = 32
_MOST_ROUTES: Final = 32


def _field(written: str) -> str:
    path = read_path(written)
    if len(path) > _MAX_KEYS or any(len(key) > _LONGEST_KEY for key in path):
        raise ValueError(
            f"expected at most {_MAX_KEYS} keys, each of at most {_LONGEST_KEY} characters"
        )
    return written


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({name.lower() for name in names}) < len(names):
        raise ValueError("one is listed twice")
    return names


TokenField = Annotated[WrittenText, Field(min_length=1), AfterValidator(_field)]
"""A field as it is written, `tokens.access.value`; `TokenSettings.places` has its keys."""


class TokenCookies(Section):
    """The names of the cookies in which the server keeps tokens.

    Attributes:
        access: of the access token; null where there is none.
        refresh: of the refresh token; null where there is none.
    """

    access: Token | None = None
    refresh: Token | None = None


class TokenSettings(Section):
    r"""Where tokens stand, in what the server answers and in what clients send.

    Fields are named by their keys, joined by dots from the outermost inwards: `access_token`,
    `tokens.access.value`; `\.` is a dot that belongs to a key.

    Attributes:
        access: the field of the access token in answers to a login and a refresh.
        refresh: the field of the refresh token there.
        refresh_request: the field of the refresh token in the body of a refresh.
        logout_request: the same of a logout.
        request_format: how the body of Segue's own refresh is written: `json`, or `form`.
        request_fields: what else stands in it: `grant_type: refresh_token`, `client_id`.
        schemes: the schemes of `Authorization` with which access tokens come.
        query: the parameters of a WebSocket's URL in which they come.
        cookies: the cookies that hold tokens.
        refresh_in_authorization: whether the token of a refresh may stand in `Authorization`, in
            place of an access token, as flask-jwt-extended has it.
        subprotocol: the subprotocol behind which a WebSocket's client offers its access token as if
            it were another one, as in `bearer, <token>`; null where none does.
        first_message: the field of the access token in the first message that a WebSocket's client
            sends, such as `payload.authToken`, where its handshake has none; null where none does.
        bodies: routes whose request bodies hold an access token, and its field there.
    """

    access: TokenField = "access"
    refresh: TokenField = "refresh"
    refresh_request: TokenField = "refresh"
    logout_request: TokenField = "refresh"
    request_format: Literal["json", "form"] = "json"
    request_fields: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=_LONGEST_KEY)], WrittenText],
        Field(max_length=_MOST_MEMBERS, repr=False),
    ] = Field(default_factory=dict)
    schemes: Annotated[
        tuple[Token, ...], Field(min_length=1, max_length=_MOST), AfterValidator(_each_once)
    ] = ("Bearer",)
    query: Annotated[tuple[Parameter, ...], Field(max_length=_MOST)] = ("token", "access_token")
    cookies: TokenCookies = TokenCookies()
    refresh_in_authorization: bool = False
    subprotocol: Token | None = None
    first_message: TokenField | None = None
    bodies: Annotated[dict[ExactPath, TokenField], Field(max_length=_MOST_ROUTES)] = Field(
        default_factory=dict
    )

    @cached_property
    def places(self) -> TokenPlaces:
        """The same, as tokens are looked for; made once."""
        cookies = self.cookies
        return TokenPlaces(
            access=read_path(self.access),
            refresh=read_path(self.refresh),
            refresh_request=read_path(self.refresh_request),
            logout_request=read_path(self.logout_request),
            request_is_form=self.request_format == "form",
            request_fields=tuple(self.request_fields.items()),
            scheme=self.schemes[0].encode(),
            schemes=frozenset(scheme.lower().encode() for scheme in self.schemes),
            query=frozenset(self.query),
            access_cookie=None if cookies.access is None else cookies.access.encode(),
            refresh_cookie=None if cookies.refresh is None else cookies.refresh.encode(),
            refresh_in_authorization=self.refresh_in_authorization,
            subprotocol=None if self.subprotocol is None else self.subprotocol.encode(),
            first_message=None if self.first_message is None else read_path(self.first_message),
            bodies={unquote_to_bytes(path): read_path(to) for path, to in self.bodies.items()},
        )


def contradictions(
    tokens: TokenSettings, cookie: str, routes: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """What cannot be at the same time, each with the key that says so within the section.

    Args:
        tokens: the section.
        cookie: the name of Segue's own cookie.
        routes: of tokens: those for which their bodies are read anyway.
    """
    cookies = tokens.cookies
    for name, value in (("access", cookies.access), ("refresh", cookies.refresh)):
        if value == cookie:
            yield ("cookies", name), "this is the name of Segue's own cookie (sessions.cookie)"
    if cookies.access is not None and cookies.access == cookies.refresh:
        yield ("cookies", "refresh"), "one cookie cannot hold both tokens"
    taken = {unquote_to_bytes(path) for path in routes}
    for path in tokens.bodies:
        if unquote_to_bytes(path) in taken:
            yield ("bodies", path), "this is a route of tokens (sessions.paths): it is read anyway"
    places = tokens.places
    if _stands_within(places.access, places.refresh):
        yield ("refresh",), f"the field `{tokens.access}` (access) cannot be one, or hold one, too"
    for name in tokens.request_fields:
        if places.refresh_request[0] == name:
            yield ("request_fields", name), "here the refresh token stands (refresh_request)"


def _stands_within(one: FieldPath, other: FieldPath) -> bool:
    """Whether one of two fields is the other, or holds it."""
    shortest = min(len(one), len(other))
    return one[:shortest] == other[:shortest]
