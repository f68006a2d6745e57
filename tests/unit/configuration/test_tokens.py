"""The section about where tokens stand."""

from __future__ import annotations

import pytest

from proxy.configuration.reading import load
from proxy.tokens.places import TokenPlaces
from tests.support.configured import MINIMAL, problems, read

TOKENS = "sessions: {{tokens: {{{}}}}}\n"


def written(keys: str) -> str:
    return MINIMAL + TOKENS.format(keys)


def test_unless_told_otherwise_tokens_stand_where_they_always_did() -> None:
    assert read().sessions.tokens.places == TokenPlaces()
    assert read(MINIMAL + "sessions: {tokens: }\n").sessions.tokens.places == TokenPlaces()


def test_places_are_read_by_their_keys_and_once() -> None:
    tokens = read(
        written(
            "access: tokens.access.value, refresh: 'a\\.b', refresh_request: data.token,"
            " logout_request: refresh_token, request_format: form,"
            " request_fields: {grant_type: refresh_token, n: 1.10}, schemes: [JWT, Token],"
            " query: [jwt], cookies: {access: at, refresh: rt}, subprotocol: bearer,"
            " refresh_in_authorization: true,"
            " first_message: payload.authToken,"
            " bodies: {/api/verify%2F: token.value}"
        )
    ).sessions.tokens
    assert tokens.places == TokenPlaces(
        access=("tokens", "access", "value"),
        refresh=("a.b",),
        refresh_request=("data", "token"),
        logout_request=("refresh_token",),
        request_is_form=True,
        request_fields=(("grant_type", "refresh_token"), ("n", "1.10")),
        scheme=b"JWT",
        schemes=frozenset({b"jwt", b"token"}),
        query=frozenset({"jwt"}),
        access_cookie=b"at",
        refresh_cookie=b"rt",
        subprotocol=b"bearer",
        refresh_in_authorization=True,
        first_message=("payload", "authToken"),
        bodies={b"/api/verify/": ("token", "value")},
    )
    assert tokens.places is tokens.places


def test_places_are_set_by_variables_too() -> None:
    env = {
        "SEGUE_SESSIONS__TOKENS__ACCESS": "tokens.access",
        "SEGUE_SESSIONS__TOKENS__SCHEMES": "JWT, Bearer",
        "SEGUE_SESSIONS__TOKENS__REQUEST_FIELDS": "{grant_type: refresh_token}",
    }
    places = read(env=env).sessions.tokens.places
    assert places.access == ("tokens", "access")
    assert places.scheme == b"JWT"
    assert places.request_fields == (("grant_type", "refresh_token"),)


def test_the_secret_of_a_client_is_read_from_a_file_and_shown_nowhere() -> None:
    env = {"SEGUE_SESSIONS__TOKENS__REQUEST_FIELDS_FILE": "/run/secrets/oauth"}
    text = "client_id: web\nclient_secret: hunter2\n"
    config = load(MINIMAL, "config.yaml", env, {}, lambda _: text)
    fields = config.sessions.tokens.places.request_fields
    assert fields == (("client_id", "web"), ("client_secret", "hunter2"))
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(config.sessions.tokens.places)


@pytest.mark.parametrize(
    ("keys", "path", "said"),
    [
        ("access: a..b", "access", "expected a field"),
        ("access: ''", "access", ""),
        ("access: a.b.c.d.e.f.g.h.i", "access", "at most 8 keys"),
        (f"refresh: {'x' * 129}", "refresh", "at most 128 characters"),
        ("acces: a", "acces", "did you mean `access`?"),
        ("access: token, refresh: token.refresh", "refresh", "`token` (access)"),
        ("refresh: access", "refresh", "`access` (access)"),
        ("request_fields: {refresh: x}", "request_fields.refresh", "refresh_request"),
        ("request_format: xml", "request_format", "json"),
        ("schemes: []", "schemes", ""),
        ("schemes: [JWT, jwt]", "schemes", "listed twice"),
        ("schemes: [My Scheme]", "schemes[0]", "without spaces"),
        ("cookies: {access: a, refresh: a}", "cookies.refresh", "both tokens"),
        ("cookies: {refresh: __Host-segue_session}", "cookies.refresh", "sessions.cookie"),
        ("first_message: ''", "first_message", "at least 1"),
        ("subprotocol: 'a, b'", "subprotocol", "without spaces"),
        ("bodies: {/api/auth/logout/: token}", 'bodies["/api/auth/logout/"]', "sessions.paths"),
        ("bodies: {/api/auth/log%6Fut/: token}", 'bodies["/api/auth/log%6Fut/"]', "sessions.paths"),
        ("bodies: {verify: token}", "bodies.verify", "expected a path"),
        ("query: ['a b']", "query[0]", "expected letters"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(keys: str, path: str, said: str) -> None:
    (found,) = problems(written(keys))
    assert found.path == f"sessions.tokens.{path}"
    assert said in found.message


@pytest.mark.parametrize(
    ("keys", "path", "said"),
    [
        ("paths: {login: [/in, /a], refresh: /b, logout: /a}", "paths.logout", "paths.login"),
        ("paths: {login: [/in], refresh: /a, logout: /%61}", "paths.logout", "paths.refresh"),
        (
            "paths: {login: [/%61], refresh: /a}, tokens: {refresh_in_authorization: true}",
            "tokens.refresh_in_authorization",
            "or in a cookie",
        ),
    ],
)
def test_what_two_routes_on_one_path_cannot_be_is_said(keys: str, path: str, said: str) -> None:
    (found,) = problems(MINIMAL + f"sessions: {{{keys}}}\n")
    assert found.path == f"sessions.{path}"
    assert said in found.message


def test_one_path_may_be_of_logins_and_refreshes() -> None:
    text = "sessions: {paths: {login: [/a], refresh: /%61}}\n"
    assert read(MINIMAL + text).sessions.paths.login == ("/a",)
