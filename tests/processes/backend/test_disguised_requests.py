"""Requests that a server reads in another way than Segue, against three kinds of servers.

A session has ended, at Segue: the server would still take its refresh token. Whoever has that tries
to get past Segue to the route where it is exchanged, by what servers make of paths and fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest

from proxy.http.spellings import SpelledPaths
from tests.support.backend import Backend, register
from tests.support.other_servers import other_server
from tests.support.rig import Segue, segue

ROUTE: Final = "/api/auth/token/refresh/"


class Attack(NamedTuple):
    """A request that may be one for the route where refresh tokens are exchanged."""

    target: str
    fields: tuple[str, ...] = ()
    method: str = "POST"


ATTACKS: Final[Mapping[str, Attack]] = {
    "two slashes": Attack("/" + ROUTE),
    "two slashes within": Attack("/api//auth/token/refresh/"),
    "capitals": Attack(ROUTE.upper()),
    "no slash": Attack(ROUTE[:-1]),
    "a slash more": Attack(ROUTE + "/"),
    "a dot": Attack("/api/./auth/token/refresh/"),
    "up": Attack("/x/.." + ROUTE),
    "a parameter": Attack(ROUTE[:-1] + ";a=b/"),
    "decoded twice": Attack("/api/auth/token/re%2566resh/"),
    "encoded slashes": Attack("/api%2fauth%2ftoken%2frefresh%2f"),
    "a backslash": Attack("/api\\auth\\token\\refresh\\"),
    "a NUL": Attack(ROUTE + "%00"),
    "a line's end": Attack(ROUTE + "%0a"),
    "a suffix": Attack(ROUTE[:-1] + ".json"),
    "SCRIPT_NAME": Attack("/x" + ROUTE, ("SCRIPT_NAME: /x",)),
    "Script-Name": Attack("/x" + ROUTE, ("Script-Name: /x",)),
    "PATH_INFO": Attack("/x/", ("PATH_INFO: " + ROUTE,)),
    "X-Script-Name": Attack("/x" + ROUTE, ("X-Script-Name: /x",)),
    "Daphne-Root-Path": Attack("/x" + ROUTE, ("Daphne-Root-Path: /x",)),
    "X-Original-URL": Attack("/api/jobs/", ("X-Original-URL: " + ROUTE,)),
    "X-Rewrite-URL": Attack("/api/jobs/", ("X-Rewrite-URL: " + ROUTE,)),
    "X-HTTP-Method-Override": Attack(ROUTE, ("X-HTTP-Method-Override: POST",), "PUT"),
}

REACHED: Final = {
    "django": {"Daphne-Root-Path"},
    "gunicorn": {"no slash", "a slash more", "SCRIPT_NAME", "X-HTTP-Method-Override"},
    "starlette": {
        *("two slashes", "two slashes within", "capitals", "a slash more"),
        "a line's end",  # The routes of Starlette itself are patterns that end with `$`.
    },
}
"""Of which servers the route is reached by which of them; the others of today read on."""


@pytest.fixture(params=REACHED)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The name of a kind, and where such a server is."""
    kind: str = request.param
    if kind == "django":
        backend: Backend = request.getfixturevalue("old_backend")
        yield kind, backend.url
    else:
        with other_server({"gunicorn": "wsgi", "starlette": "asgi"}[kind]) as url:
            yield kind, url


def written(attack: Attack, refresh: str, host: str) -> bytes:
    body = json.dumps({"refresh": refresh})
    lines = (
        f"{attack.method} {attack.target} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *attack.fields,
    )
    return "\r\n".join([*lines, "", body]).encode()


async def reaching(proxy: Segue, http: aiohttp.ClientSession) -> set[str]:
    """The attacks that get new tokens for one of a session that has ended."""
    sessions = proxy.server._data.sessions
    assert sessions is not None
    host, through = proxy.server.address, set()
    for name, attack in ATTACKS.items():
        account = await register(http, proxy.url)
        page = await sessions.administration.page(user=None, after="", limit=500)
        for each in page.sessions:
            await sessions.administration.end(each.record.session, "anna")
        literal = await proxy.ask(written(Attack(ROUTE), account.refresh, host))
        assert literal.startswith(b"HTTP/1.1 401 "), name
        if b'"access"' in await proxy.ask(written(attack, account.refresh, host)):
            through.add(name)
    return through


async def test_no_disguised_request_brings_an_ended_session_back(
    server: tuple[str, str], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    settings = {"SEGUE_SESSIONS__ENABLED": "true", "SEGUE_STATE_DIR": str(tmp_path)}
    async with segue(server[1], settings) as proxy:
        assert await reaching(proxy, http) == set()


async def test_without_the_guard_some_would(
    server: tuple[str, str],
    http: aiohttp.ClientSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, url = server
    monkeypatch.setattr(SpelledPaths, "may_be", lambda *_: False)
    settings = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_STATE_DIR": str(tmp_path),
        "SEGUE_SESSIONS__KEEP_FIELDS": "Daphne-Root-Path,Script-Name",
    }
    async with segue(url, settings) as proxy:
        override = "X-HTTP-Method-Override"
        assert await reaching(proxy, http) == REACHED[kind] - {override}
    # From this one the guard cannot be taken away: so it is asked of the server itself.
    refresh = {"refresh": (await register(http, url)).refresh}
    async with http.put(url + ROUTE, json=refresh, headers={override: "POST"}) as response:
        assert (b'"access"' in await response.read()) == (override in REACHED[kind])
