"""The opening handshake of a WebSocket, as RFC 6455 section 4 has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.errors import ClientError, UpstreamError
from proxy.websocket.handshake import (
    accept,
    check_request,
    check_switch,
    is_upgrade,
    may_open,
    same_origin,
    switch_response,
    upgrade_fields,
)

Fields = list[tuple[bytes, bytes]]

# The example of RFC 6455 section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

REQUEST: Fields = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Key", KEY),
]
RESPONSE: Fields = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Accept", ACCEPT),
]


def test_the_accept_is_that_of_the_rfcs_example() -> None:
    assert accept(KEY) == ACCEPT


@pytest.mark.parametrize(
    ("method", "upgrade", "connection", "asked"),
    [
        ("GET", [b"websocket"], [b"Upgrade"], True),
        ("GET", [b"WebSocket"], [b"keep-alive, UPGRADE"], True),
        ("GET", [b"h2c, websocket"], [b"keep-alive", b"upgrade"], True),
        ("POST", [b"websocket"], [b"Upgrade"], False),
        ("GET", [], [b"Upgrade"], False),
        ("GET", [b"h2c"], [b"Upgrade"], False),
        ("GET", [b"websockets"], [b"Upgrade"], False),
        ("GET", [b"websocket"], [], False),
        ("GET", [b"websocket"], [b"close"], False),
        ("GET", [b"websocket"], [b"upgrade-insecure-requests"], False),
    ],
)
def test_only_a_get_that_names_websocket_in_both_fields_is_an_upgrade(
    method: str, upgrade: list[bytes], connection: list[bytes], asked: bool
) -> None:
    fields = [(b"UPGRADE", value) for value in upgrade]
    fields += [(b"connection", value) for value in connection]
    assert is_upgrade(method, fields) is asked


@pytest.mark.parametrize(
    "added",
    [
        [(b"content-length", b"12")],
        [(b"Content-Length", b"00")],
        [(b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"0"), (b"Content-Length", b"12")],
        [(b"sec-websocket-key", KEY)],
    ],
)
def test_a_handshake_with_a_body_or_a_second_key_is_refused(added: Fields) -> None:
    with pytest.raises(ClientError):
        check_request([*REQUEST, *added])


def test_a_handshake_without_a_key_is_refused() -> None:
    with pytest.raises(ClientError):
        check_request(REQUEST[:2])


@pytest.mark.parametrize("length", [[], [(b"Content-Length", b"0")]])
def test_a_handshake_without_a_body_is_let_through(length: Fields) -> None:
    check_request([*REQUEST, *length])


APP = b"https://app.example.com"


@pytest.mark.parametrize(
    ("told", "origins", "may"),
    [
        ([APP], [], True),
        ([APP], ["*"], True),
        ([APP], ["https://other.example.com", "https://app.example.com"], True),
        ([], ["https://app.example.com"], True),
        ([b"https://evil.example"], ["https://app.example.com"], False),
        ([APP + b".evil.example"], ["https://app.example.com"], False),
        ([b"null"], ["https://app.example.com"], False),
        ([b"\xff"], ["https://app.example.com"], False),
        ([APP, APP], ["https://app.example.com"], False),
    ],
)
def test_only_pages_of_the_listed_origins_may_open(
    told: list[bytes], origins: list[str], may: bool
) -> None:
    assert may_open([*REQUEST, *((b"ORIGIN", value) for value in told)], origins) is may


def test_the_fields_to_add_offer_what_is_left_of_the_subprotocols() -> None:
    upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    assert upgrade_fields([]) == upgrade
    assert upgrade_fields([b"jobs.v2", b"jobs"]) == [
        *upgrade,
        (b"Sec-WebSocket-Protocol", b"jobs.v2, jobs"),
    ]


def test_each_call_gives_fields_of_its_own() -> None:
    upgrade_fields([]).clear()
    assert len(upgrade_fields([])) == 2


def test_the_servers_choice_of_a_subprotocol_is_found() -> None:
    assert check_switch(REQUEST, RESPONSE, []) is None
    assert check_switch(REQUEST, RESPONSE, [b"jobs"]) is None
    chosen = [*RESPONSE, (b"sec-websocket-PROTOCOL", b"jobs")]
    assert check_switch(REQUEST, chosen, [b"chat", b"jobs"]) == b"jobs"


def _without(fields: Fields, name: bytes) -> Fields:
    return [field for field in fields if field[0] != name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda f: _without(f, b"Sec-WebSocket-Accept"), "client's key", id="no accept"
        ),
        pytest.param(
            lambda f: [*f, (b"Sec-WebSocket-Accept", ACCEPT)], "client's key", id="two accepts"
        ),
        pytest.param(
            lambda f: [
                *_without(f, b"Sec-WebSocket-Accept"),
                (b"Sec-WebSocket-Accept", accept(b"x")),
            ],
            "client's key",
            id="the accept of another key",
        ),
        pytest.param(lambda f: _without(f, b"Upgrade"), "another protocol", id="no upgrade"),
        pytest.param(lambda f: _without(f, b"Connection"), "another protocol", id="no connection"),
        pytest.param(
            lambda f: [*f, (b"Sec-WebSocket-Extensions", b"permessage-deflate")],
            "extension",
            id="an extension",
        ),
        pytest.param(
            lambda f: [*f, (b"Sec-WebSocket-Protocol", b"other")],
            "subprotocol",
            id="a subprotocol that was not offered",
        ),
        pytest.param(
            lambda f: [*f, (b"Sec-WebSocket-Protocol", b"JOBS")],
            "subprotocol",
            id="a subprotocol in another case",
        ),
        pytest.param(
            lambda f: [*f, *[(b"Sec-WebSocket-Protocol", b"jobs")] * 2],
            "subprotocol",
            id="two subprotocols",
        ),
    ],
)
def test_a_switch_that_does_not_answer_the_handshake_is_the_servers_fault(
    change: Callable[[Fields], Fields], said: str
) -> None:
    with pytest.raises(UpstreamError, match=said):
        check_switch(REQUEST, change(RESPONSE), [b"jobs", b"chat"])


@pytest.mark.parametrize("keys", [[], [KEY, KEY], [b"another"]])
def test_a_switch_for_no_single_key_is_refused(keys: list[bytes]) -> None:
    request = [*REQUEST[:2], *((b"Sec-WebSocket-Key", key) for key in keys)]
    with pytest.raises(UpstreamError):
        check_switch(request, RESPONSE, [])


def test_the_clients_101_is_the_servers_with_the_upgrade_fields_once() -> None:
    fields = [
        (b"Server", b"daphne"),
        (b"Connection", b"upgrade, X-Hop"),
        (b"X-Hop", b"gone"),
        (b"Content-Length", b"0"),
        (b"Sec-WebSocket-Accept", ACCEPT),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"Sec-WebSocket-Protocol", b"from-the-server"),
    ]
    assert switch_response(fields, b"client-version.2.1.0") == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Server: daphne\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Set-Cookie: a=1\r\n"
        b"Set-Cookie: b=2\r\n"
        b"Connection: Upgrade\r\n"
        b"Upgrade: websocket\r\n"
        b"Sec-WebSocket-Protocol: client-version.2.1.0\r\n"
        b"\r\n"
    )
    assert b"Sec-WebSocket-Protocol" not in switch_response(fields, None)


def test_a_line_break_in_a_field_of_the_servers_reaches_no_client() -> None:
    with pytest.raises(UpstreamError, match="line break"):
        switch_response([*RESPONSE, (b"X-A", b"b\r\nSet-Cookie: c=d")], None)


@pytest.mark.parametrize(
    ("origins", "good"),
    [
        ([b"http://app.example:8080"], True),
        ([b"https://APP.example:8080"], True),
        ([b"https://listed.example"], True),
        ([b"https://evil.example"], False),
        ([b"null"], False),
        ([b"ftp://app.example:8080"], False),
        ([], False),
        ([b"http://app.example:8080", b"http://app.example:8080"], False),
    ],
)
def test_a_page_of_the_same_host_or_a_listed_one_may_shake_hands(
    origins: list[bytes], good: bool
) -> None:
    fields = [(b"Host", b"app.example:8080"), *((b"Origin", origin) for origin in origins)]
    assert same_origin(fields, ("https://listed.example",)) is good
