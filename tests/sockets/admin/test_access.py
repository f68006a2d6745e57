"""Who gets what from the admin listener: by tokens, and against what hostile clients try."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.admin.access import certificate_of
from proxy.admin.events import EVENTS
from proxy.admin.failures import MOST
from proxy.admin.tail import TAIL
from proxy.tokens.admin_token import hash_of
from tests.support.administered import (
    ADMIN,
    METRICS,
    OPERATOR,
    TOKENS,
    UNKNOWN,
    VIEWER,
    Administered,
    administered,
    bearer,
)
from tests.support.rig import RawPeer
from tests.support.waiting import PATIENCE

NEEDED = {
    ("GET", "/api/v1/openapi.json"): "viewer",
    ("GET", "/api/v1/mappings"): "viewer",
    ("POST", "/api/v1/explain"): "viewer",
    ("GET", "/api/v1/upstreams"): "viewer",
    ("POST", "/api/v1/drain"): "admin",
    ("GET", "/api/v1/sessions"): "viewer",
    ("GET", "/api/v1/versions"): "viewer",
    ("GET", "/api/v1/log/watches"): "viewer",
    ("POST", "/api/v1/log/watches"): "operator",
    ("DELETE", "/api/v1/log/watches/{name}"): "operator",
    ("DELETE", "/api/v1/sessions/{session}"): "operator",
    ("POST", "/api/v1/sessions/end"): "operator",
    ("GET", "/api/v1/status"): "viewer",
    ("GET", "/api/v1/sockets"): "viewer",
    ("GET", "/api/v1/flow"): "viewer",
    ("GET", "/api/v1/last-hour"): "viewer",
    ("GET", "/api/v1/whoami"): "viewer",
    ("GET", "/api/v1/connections"): "viewer",
    ("POST", "/api/v1/sockets/close"): "operator",
    ("GET", "/api/v1/switches"): "viewer",
    ("GET", "/api/v1/switches/{cohort}/{mapping}"): "viewer",
    ("PUT", "/api/v1/switches/{cohort}/{mapping}"): "operator",
    ("DELETE", "/api/v1/switches/{cohort}/{mapping}/exceptions/{name}"): "operator",
    ("POST", "/api/v1/switches/all-off"): "operator",
    ("POST", "/api/v1/switches/restore"): "operator",
    ("POST", "/api/v1/switches/{cohort}/{mapping}/restore"): "operator",
    ("GET", "/api/v1/switches/{cohort}/{mapping}/guard"): "viewer",
    ("POST", "/api/v1/switches/{cohort}/{mapping}/ramp"): "operator",
    ("POST", "/api/v1/switches/{cohort}/{mapping}/ramp/pause"): "operator",
    ("POST", "/api/v1/switches/{cohort}/{mapping}/ramp/resume"): "operator",
    ("POST", "/api/v1/switches/{cohort}/{mapping}/ramp/next"): "operator",
    ("POST", "/api/v1/switches/{cohort}/{mapping}/ramp/stop"): "operator",
    ("GET", "/api/v1/replicas"): "viewer",
    ("GET", "/api/v1/sunset"): "viewer",
    ("GET", "/api/v1/switches/{cohort}/{mapping}/shadow"): "viewer",
    ("GET", "/api/v1/revisions"): "viewer",
    ("GET", "/api/v1/revisions/{number}"): "viewer",
    ("POST", "/api/v1/undo"): "operator",
    ("POST", "/api/v1/reload"): "operator",
    ("GET", "/api/v1/reloads"): "viewer",
    ("POST", "/api/v1/recordings"): "operator",
    ("GET", "/api/v1/recordings/{name}"): "operator",
    ("DELETE", "/api/v1/recordings/{name}"): "operator",
}
ANSWERS = {
    "/api/v1/versions": 200,
    "/api/v1/recordings": 201,
    "/api/v1/sessions/end": 400,
    "/api/v1/reload": 200,
    "/api/v1/reloads": 200,
}
ANSWERS |= {"GET /api/v1/log/watches": 200, "POST /api/v1/log/watches": 400}
ANSWERS |= {"/api/v1/flow": 200, "/api/v1/connections": 200}
ANSWERS |= {"/api/v1/last-hour": 200, "/api/v1/whoami": 200}
ANSWERS |= {"/api/v1/status": 200, "/api/v1/sockets": 200, "/api/v1/sockets/close": 400}
ANSWERS |= {
    "/api/v1/switches": 200,
    "/api/v1/switches/all-off": 400,
    "/api/v1/switches/restore": 400,
    "/api/v1/switches/{cohort}/{mapping}/restore": 400,
    "/api/v1/switches/{cohort}/{mapping}/ramp": 400,
    "/api/v1/switches/{cohort}/{mapping}/ramp/pause": 400,
    "/api/v1/switches/{cohort}/{mapping}/ramp/resume": 400,
    "/api/v1/switches/{cohort}/{mapping}/ramp/next": 400,
    "/api/v1/switches/{cohort}/{mapping}/ramp/stop": 400,
    "/api/v1/replicas": 200,
    "/api/v1/sunset": 200,
    "/api/v1/revisions": 200,
    "/api/v1/undo": 400,
    "PUT /api/v1/switches/{cohort}/{mapping}": 415,
    "DELETE /api/v1/switches/{cohort}/{mapping}/exceptions/{name}": 400,
}
ANSWERS |= {"/api/v1/openapi.json": 200, "/api/v1/mappings": 200, "/api/v1/explain": 200}
ANSWERS |= {"/api/v1/upstreams": 200, "/api/v1/drain": 202}
"""What somebody gets who may ask; 404 where there is nothing of that name, or sessions are off."""

RANKS = ["metrics", "viewer", "operator", "admin"]
OPEN = {"/healthz", "/readyz", "/metrics"}
FILES = {"/console", "/console/{path}"}
"""Of the console: no secrets, so that a browser can show a form to sign in."""

STREAMS = {EVENTS.target(): "viewer", TAIL.target(): "operator"}
"""What goes on and on: asked for so short a time that it ends by itself."""

NEEDED |= {("GET", path): role for path, role in STREAMS.items()}
ANSWERS |= dict.fromkeys(STREAMS, 200)


def asked(path: str) -> str:
    """The target of a request to what is served there."""
    return path.replace("{", "").replace("}", "") + ("?seconds=0.01" if path in STREAMS else "")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as found:
        yield found


def protected(running: Administered) -> list[tuple[str, str]]:
    """Everything that is served but for probes and metrics, whatever it is."""
    assert running.proxy.server._admin is not None
    found = []
    for route in running.proxy.server._admin.app.router.routes():
        assert route.resource is not None
        if route.resource.canonical not in OPEN | FILES and route.method != "HEAD":  # As GET.
            found.append((route.method, route.resource.canonical))
    return found


async def every(running: Administered, *fields: str, host: str | None = "localhost") -> set[int]:
    """Ask every protected endpoint; the statuses."""
    statuses = set()
    for method, path in protected(running):
        target = asked(path)
        body = "{}" if method == "POST" else ""
        answer = await running.ask(target, *fields, method=method, body=body, host=host)
        statuses.add(answer.status)
    return statuses


async def test_every_endpoint_has_the_role_that_is_known(running: Administered) -> None:
    assert set(protected(running)) == set(NEEDED)


async def test_being_on_this_machine_gives_nothing(running: Administered) -> None:
    assert await every(running) == {401}
    for host in ("127.0.0.1", "localhost:9090", "[::1]"):
        assert await every(running, host=host) == {401}


async def test_who_shows_nothing_is_told_what_it_takes(running: Administered) -> None:
    answer = await running.ask("/api/v1/sessions")
    assert answer.status == 401
    assert 'WWW-Authenticate: Bearer realm="segue"\r\n' in f"{answer.head}\r\n"
    assert "Cache-Control: no-store" in answer.head
    assert "needs a credential: the Unix socket" in answer.detail
    # Whoever only asks is no attack: nobody's log is filled.
    assert running.lines("admin request refused") == []


@pytest.mark.parametrize(
    ("token", "role"),
    [(METRICS, "metrics"), (VIEWER, "viewer"), (OPERATOR, "operator"), (ADMIN, "admin")],
)
async def test_each_role_gets_what_it_covers_and_is_told_what_else_would_take(
    running: Administered, token: str, role: str
) -> None:
    for (method, path), needed in NEEDED.items():
        body = "{}" if method == "POST" else ""
        target = asked(path)
        answer = await running.ask(target, bearer(token), method=method, body=body)
        if RANKS.index(role) >= RANKS.index(needed):
            expected = ANSWERS.get(f"{method} {path}", ANSWERS.get(path, 404))
            assert answer.status == expected
        else:
            assert answer.status == 403
            assert answer.detail == (
                f"this needs the role {needed}; {role}-token (token) has the role {role}"
            )
            assert 'error="insufficient_scope"' in answer.head


async def test_probes_need_nothing_and_metrics_only_where_the_configuration_says_so(
    running: Administered,
) -> None:
    for path in sorted(OPEN):
        # Probes come under names of their own, with whatever a mesh adds.
        assert (await running.ask(path, bearer(UNKNOWN), host="10.1.2.3.nip.io")).status == 200
    await running.reload(tokens=TOKENS, protect_metrics=True)
    for path in ("/healthz", "/readyz"):
        assert (await running.ask(path, host="x.example")).status == 200
    assert (await running.ask("/metrics")).status == 401
    assert (await running.ask("/metrics", bearer(UNKNOWN))).status == 401
    for token in (METRICS, VIEWER, OPERATOR, ADMIN):
        answer = await running.ask("/metrics", bearer(token))
        assert (answer.status, "segue_build_info" in answer.body) == (200, True)
    # A scrape every few seconds is nothing that anybody has to answer for.
    assert running.lines("admin request") == []


async def test_who_asked_for_what_is_in_the_log(running: Administered) -> None:
    await running.ask("/api/v1/recordings", bearer(OPERATOR), method="POST", body='{"count": 1}')
    await running.ask("/api/v1/sessions", bearer(VIEWER))
    started, listed = running.lines("admin request")
    del started["timestamp"], listed["timestamp"]
    common = {"event": "admin request", "level": "info", "by": "token", "peer": "127.0.0.1"}
    assert started == common | {
        "author": "operator-token",
        "role": "operator",
        "method": "POST",
        "path": "/api/v1/recordings",
        "status": 201,
    }
    assert listed == common | {
        "author": "viewer-token",
        "role": "viewer",
        "method": "GET",
        "path": "/api/v1/sessions",
        "status": 404,
    }
    (recording,) = running.lines("recording started")
    assert recording["author"] == "operator-token (token)"


async def test_reads_that_are_repeated_are_for_debugging_and_changes_are_told_each_time(
    running: Administered,
) -> None:
    for _ in range(3):
        await running.ask("/api/v1/status", bearer(VIEWER))
    await running.ask("/api/v1/status", bearer(OPERATOR))
    for _ in range(2):
        await running.ask("/api/v1/sessions", bearer(VIEWER))
        order = '{"count": 1}'
        await running.ask("/api/v1/recordings", bearer(OPERATOR), method="POST", body=order)
    found = [
        (each["author"], each["path"], each["level"]) for each in running.lines("admin request")
    ]
    assert found == [
        ("viewer-token", "/api/v1/status", "info"),
        ("viewer-token", "/api/v1/status", "debug"),
        ("viewer-token", "/api/v1/status", "debug"),
        ("operator-token", "/api/v1/status", "info"),
        *2
        * [
            ("viewer-token", "/api/v1/sessions", "info"),
            ("operator-token", "/api/v1/recordings", "info"),
        ],
    ]


async def test_what_a_terminal_would_obey_is_logged_as_it_was_written(
    running: Administered,
) -> None:
    target = "/api/v1/sessions/%1b%5B2J%0Aadmin"
    await running.ask(target, bearer(UNKNOWN), method="DELETE")
    await running.ask(target, bearer(ADMIN), method="DELETE")
    for event in ("admin request refused", "admin request"):
        (line,) = running.lines(event)
        assert line["path"].lower() == target.lower()


async def test_order_that_fails_in_its_body_is_logged_with_its_author(
    running: Administered,
) -> None:
    large = '{"keep": ["' + "x" * (1 << 20) + '"]}'
    answer = await running.ask("/api/v1/recordings", bearer(OPERATOR), method="POST", body=large)
    assert answer.status == 413
    (line,) = running.lines("admin request")
    assert (line["author"], line["status"]) == ("operator-token", 413)


async def test_raw_recordings_are_for_admins_alone(tmp_path: Path) -> None:
    async with administered(tmp_path, tokens=TOKENS, allow_raw_recordings=True) as running:
        order = '{"raw": true, "seconds": 0.1}'
        answer = await running.ask(
            "/api/v1/recordings", bearer(OPERATOR), method="POST", body=order
        )
        assert (answer.status, "role admin" in answer.detail) == (403, True)
        answer = await running.ask("/api/v1/recordings", bearer(ADMIN), method="POST", body=order)
        assert answer.status == 201
        name = json.loads(answer.body)["name"]
        refused = await running.ask(f"/api/v1/recordings/{name}", bearer(OPERATOR))
        assert (refused.status, "role admin" in refused.detail) == (403, True)
        assert (await running.ask(f"/api/v1/recordings/{name}", bearer(ADMIN))).status == 200
        await running.reload(tokens=TOKENS)
        answer = await running.ask(
            "/api/v1/recordings", bearer(ADMIN), method="POST", body='{"raw": true}'
        )
        assert (answer.status, "allow_raw_recordings" in answer.detail) == (403, True)


async def test_reload_brings_and_revokes_tokens_on_open_connections_too(
    running: Administered,
) -> None:
    peer = RawPeer(*await asyncio.open_connection(*running.place))

    async def asked_again() -> bytes:
        await peer.send(
            f"GET /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\n{bearer(VIEWER)}\r\n\r\n".encode()
        )
        head, _ = await peer.read_response()
        return head.split(b" ")[1]

    assert await asked_again() == b"404"
    await running.reload(tokens=[TOKENS[2]])
    assert await asked_again() == b"401"
    assert (await running.ask("/api/v1/sessions", bearer(OPERATOR))).status == 404
    await running.reload(tokens=TOKENS)
    assert await asked_again() == b"404"
    await peer.close()


async def test_expired_token_is_refused_with_its_name(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    tokens = [
        TOKENS[1] | {"expires": (now - dt.timedelta(seconds=1)).isoformat()},
        TOKENS[2] | {"expires": (now + dt.timedelta(days=1)).isoformat()},
    ]
    async with administered(tmp_path, tokens=tokens) as running:
        answer = await running.ask("/api/v1/sessions", bearer(VIEWER))
        assert (answer.status, answer.detail) == (401, "the token viewer-token has expired")
        assert (await running.ask("/api/v1/sessions", bearer(OPERATOR))).status == 404


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9090", "127.0.0.1.evil.example", "[::1", ""),
        None,
    ],
)
async def test_page_whose_name_points_here_is_refused_at_every_endpoint(
    running: Administered, host: str | None
) -> None:
    """DNS rebinding; a right token does not help a page that has none."""
    expected = {400} if host is None else {403}
    statuses = await every(running, bearer(ADMIN), host=host)
    assert statuses <= expected | {403}


async def test_name_of_this_listener_is_what_the_configuration_says(
    running: Administered,
) -> None:
    refused = await running.ask("/api/v1/sessions", bearer(VIEWER), host="segue.example:9090")
    assert (refused.status, "admin.hosts" in refused.detail) == (403, True)
    await running.reload(tokens=TOKENS, hosts=["Segue.example"])
    assert (
        await running.ask("/api/v1/sessions", bearer(VIEWER), host="segue.example:9090")
    ).status == 404


@pytest.mark.parametrize(
    "fields",
    [
        ("Sec-Fetch-Site: cross-site",),
        ("Sec-Fetch-Site: same-site",),
        ("Origin: https://evil.example",),
        ("Origin: null",),
        ("Origin: http://localhost:1",),
        ("Origin: http://localhost", "Sec-Fetch-Site: cross-site"),
    ],
)
async def test_page_of_another_site_is_refused_orders_and_views(
    running: Administered, fields: tuple[str, ...]
) -> None:
    assert await every(running, bearer(ADMIN), *fields) == {403}
    assert await every(running, *fields) == {403}


async def test_own_page_may_ask(running: Administered) -> None:
    for fields in (
        ("Origin: http://localhost", "Sec-Fetch-Site: same-origin"),
        ("Sec-Fetch-Site: none",),
    ):
        assert (await running.ask("/api/v1/sessions", bearer(VIEWER), *fields)).status == 404


@pytest.mark.parametrize(
    "target",
    [
        f"/api/v1/sessions?token={ADMIN}",
        f"/api/v1/sessions?access_token={ADMIN}",
        f"/api/v1/sessions?user={ADMIN}",
        f"/api/v1/sessions/{ADMIN}",
        f"/metrics?{ADMIN}",
        f"/healthz?authorization=Bearer%20{ADMIN.replace('_', '%5F')}",
    ],
)
async def test_invariant_7_token_in_a_url_is_refused_and_is_in_no_log(
    running: Administered, target: str
) -> None:
    method = "DELETE" if target.startswith("/api/v1/sessions/") else "GET"
    answer = await running.ask(target, bearer(ADMIN), method=method)
    assert answer.status == 400
    assert "no place in a URL" in answer.detail
    (line,) = running.lines("admin request refused")
    assert line["status"] == 400
    assert ADMIN[12:] not in running.proxy.log.getvalue()
    assert ADMIN[12:] not in answer.head + answer.body


@pytest.mark.parametrize("second", [bearer(ADMIN), bearer(UNKNOWN), "Authorization: Basic eDp5"])
async def test_two_authorizations_are_refused(running: Administered, second: str) -> None:
    for fields in ((bearer(ADMIN), second), (second, bearer(ADMIN))):
        answer = await running.ask("/api/v1/sessions", *fields)
        assert answer.status == 400
    assert running.lines("admin request") == []


async def test_forged_user_field_counts_for_nothing(running: Administered) -> None:
    user = "X-Forwarded-User: anna"
    assert await every(running, user) == {401}
    # Nor does one that is believed of others.
    await running.reload(
        trusted_user_header="X-Forwarded-User",
        trusted_proxies=["10.0.0.0/8", "::ffff:10.0.0.1"],
        users={"anna": "admin"},
    )
    assert await every(running, user) == {401}
    assert await every(running, user, "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1") == {
        401
    }


async def test_brute_force_is_slowed_in_the_log_and_shuts_nobody_else_out(
    running: Administered,
) -> None:
    statuses = [
        (await running.ask("/api/v1/sessions", bearer(UNKNOWN))).status for _ in range(MOST + 20)
    ]
    assert statuses[:MOST] == [401] * MOST
    assert set(statuses[MOST + 5 :]) == {429}
    assert len(running.lines("admin request refused")) < MOST + 5
    answer = await running.ask("/api/v1/sessions", bearer(UNKNOWN))
    assert 1 <= int(answer.head.partition("Retry-After: ")[2].partition("\r\n")[0]) <= 60
    assert "too many failed attempts" in answer.detail
    # From the same address, with what is right: all the same.
    assert (await running.ask("/api/v1/sessions", bearer(VIEWER))).status == 404
    assert (await running.ask("/api/v1/sessions")).status == 401
    assert UNKNOWN[12:] not in running.proxy.log.getvalue()


async def test_no_stranger_hides_what_who_is_known_was_refused(running: Administered) -> None:
    for _ in range(MOST + 20):
        await running.ask("/api/v1/sessions", bearer(UNKNOWN))
    before = len(running.lines("admin request refused"))
    order = '{"reason": "because"}'
    answer = await running.ask(
        "/api/v1/switches/all-off", bearer(VIEWER), method="POST", body=order
    )
    assert answer.status == 403
    assert len(running.lines("admin request refused")) == before + 1
    assert await running.proxy.server.audit.flushed(PATIENCE)
    text = (Path(running.proxy.state_directory) / "audit.jsonl").read_text()
    audited = [json.loads(each) for each in text.splitlines()]
    (line,) = [
        each
        for each in audited
        if (each["event"], each["author"]) == ("admin request refused", "viewer-token (token)")
    ]
    assert (line["details"]["status"], line["details"]["refused_before"]) == (403, 0)
    # Their own are counted apart.
    for _ in range(MOST + 20):
        await running.ask("/api/v1/switches/all-off", bearer(VIEWER), method="POST", body=order)
    assert len(running.lines("admin request refused")) < before + MOST + 6


@pytest.mark.parametrize("size", [10_000, 1_000_000])
async def test_huge_credential_is_refused_and_the_listener_lives(
    running: Administered, size: int
) -> None:
    peer = RawPeer(*await asyncio.open_connection(*running.place))
    fields = f"Host: localhost\r\nAuthorization: Bearer {'a' * size}\r\n"
    head = f"GET /api/v1/sessions HTTP/1.1\r\n{fields}\r\n"
    try:
        await peer.send(head.encode())
        answer = await peer.read_all()
    except ConnectionError:
        answer = b""  # It was refused before all of it had been sent.
    await peer.close()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert (await running.ask("/api/v1/sessions", bearer(VIEWER))).status == 404
    assert "aaaaaaaa" not in running.proxy.log.getvalue()


async def test_invariant_7_no_token_is_in_log_or_metrics_whatever_is_done_with_it(
    running: Administered,
) -> None:
    for token in (METRICS, VIEWER, OPERATOR, ADMIN, UNKNOWN):
        await every(running, bearer(token))
        await every(running, f"Authorization: {token}")
        await every(running, bearer(token), host="evil.example")
        await running.ask("/nothing", bearer(token))
        await running.ask(f"/{token}", bearer(token))
        await running.ask(f"/healthz?{token}", host="x")
    page = (await running.ask("/metrics")).body
    for token in (METRICS, VIEWER, OPERATOR, ADMIN, UNKNOWN):
        for text in (running.proxy.log.getvalue(), page):
            assert token[12:] not in text
            assert hash_of(token)[7:] not in text


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        ({"subject": ((("commonName", "ci"),),)}, ("ci",)),
        (
            {
                "subject": ((("commonName", "ci"),),),
                "subjectAltName": (("DNS", "a"), ("IP Address", "10.0.0.1"), ("email", "b@c")),
            },
            ("a", "b@c"),
        ),
        ({"subject": (), "subjectAltName": (("URI", "spiffe://x/y"),)}, ("spiffe://x/y",)),
        ({}, ()),
    ],
)
def test_names_of_a_certificate(shown: dict[str, object], names: tuple[str, ...]) -> None:
    found = certificate_of({**shown, "notAfter": "Jan  1 00:00:00 2030 GMT"})
    assert (found.names, found.until) == (names, 1_893_456_000)
