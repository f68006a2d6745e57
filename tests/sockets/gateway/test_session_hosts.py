"""A session is one at the host where it began: no token goes to whatever answers for another."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.sessions import service
from proxy.sessions.store.base import Store
from tests.support.authority import Authority, Client, authority, proxied
from tests.support.rig import Segue, status_of
from tests.support.sockets import fields_of, handshake

JOBS = "/api/jobs/"
LOGOUT = "/api/auth/logout/"
REFRESH = "/api/auth/token/refresh/"
LOGIN = "/api/auth/login/"
HOME = b"App.example.com"


async def ask(
    proxy: Segue, host: bytes, token: str, path: str = JOBS, body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body of an answer; a GET where there is no body."""
    lines = [
        b"%b %b HTTP/1.1" % (b"GET" if body is None else b"POST", path.encode()),
        b"Connection: close",
        *([b"Host: " + host] if host else []),
        *([b"Authorization: Bearer " + token.encode()] if token else []),
        *([] if body is None else [b"Content-Length: %d" % len(body)]),
        *([] if body is None else [b"Content-Type: application/json"]),
    ]
    answer = await proxy.ask(b"\r\n".join([*lines, b"", body or b""]))
    return status_of(answer), answer.partition(b"\r\n\r\n")[2]


async def logged_in(proxy: Segue, host: bytes = HOME) -> Client:
    status, body = await ask(proxy, host, "", LOGIN, b"{}")
    assert status == 200
    pair = json.loads(body)
    return Client(proxy, pair["access"], pair["refresh"])


def hosts(server: Authority, path: str) -> list[bytes]:
    return [b"".join(fields_of(each.head, b"host")) for each in server.at(path)]


async def test_no_token_is_put_in_where_another_host_is_named(tmp_path: Path) -> None:
    """The server may have something else there, that is not to have the token of this user."""
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert (await ask(proxy, HOME, client.access))[0] == 200
        fresh = server.at(JOBS)[-1].token
        assert fresh != client.access
        for other in (
            b"evil.example.com",
            b"app.example.com.evil.example.com",
            b"127.0.0.1",
            b"app.example.co",
        ):
            assert (await ask(proxy, other, client.access))[0] == 401
            assert server.received[-1].token == client.access
            async with proxy.client() as peer:
                request = handshake(f"/ws/1/?token={client.access}".encode())
                await peer.send(request.replace(b"app.example.com", other))
                assert status_of(await peer.read_head()) == 403
            assert client.access in server.received[-1].path
        assert [each.token for each in server.received].count(fresh) == 1
        assert len(server.presented()) == 1


@pytest.mark.parametrize(
    "same",
    [b"app.example.com", b"APP.EXAMPLE.COM:80", b"app.example.com:8443", b"app.example.com."],
)
async def test_case_and_port_do_not_count(tmp_path: Path, same: bytes) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert (await ask(proxy, same, client.access))[0] == 200
        # The refresh goes where the login went.
        assert hosts(server, REFRESH) == [HOME]
        assert hosts(server, JOBS)[-1] == same


async def test_an_absolute_target_names_the_host(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        target = "http://evil.example.com" + JOBS
        assert (await ask(proxy, HOME, client.access, target))[0] == 401
        target = "http://app.example.com" + JOBS
        assert (await ask(proxy, b"evil.example.com", client.access, target))[0] == 200


@pytest.mark.parametrize("path", [REFRESH, LOGOUT])
async def test_on_the_routes_of_tokens_another_host_is_refused(tmp_path: Path, path: str) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        body = json.dumps({"refresh": client.refresh}).encode()
        asked = len(server.received)
        for token in (client.access, ""):
            status, answer = await ask(proxy, b"evil.example.com", token, path, body)
            assert status == 421
            assert "`sessions.hosts`" in json.loads(answer)["detail"]
        assert len(server.received) == asked
        assert (await ask(proxy, HOME, client.access))[0] == 200
        assert (await ask(proxy, HOME, client.access, path, body))[0] in (200, 205)


async def test_hosts_that_count_as_one_share_their_sessions(tmp_path: Path) -> None:
    settings = {"SESSIONS__HOSTS": "[app.example.com, 'WS.example.com:443']"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert (await ask(proxy, b"ws.example.com", client.access))[0] == 200
        assert hosts(server, REFRESH) == [HOME]
        (refresh,) = server.at(REFRESH)
        assert fields_of(refresh.head, b"x-forwarded-host") == [HOME]
        assert (await ask(proxy, b"evil.example.com", client.access))[0] == 401


async def test_the_log_says_once_that_a_session_is_of_another_host(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        for number in (1, 1, *range(100)):
            await ask(proxy, b"h%d.example.com" % number, client.access)
        lines = [json.loads(line) for line in proxy.log.getvalue().splitlines()]
        told = [line for line in lines if line["event"] == "session of another host"]
        assert [line["host"] for line in told][:2] == ["h1.example.com", "h0.example.com"]
        assert {line["began_at"] for line in told} == {"App.example.com"}
        assert len(told) == 16


class Counted:
    """How often the store was asked for what a token leads to, or what is new of it."""

    def __init__(self, proxy: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
        assert proxy.server._data.sessions is not None
        repository = proxy.server._data.sessions._repository
        self.times = 0
        for name in ("find", "load"):
            monkeypatch.setattr(repository.store, name, self._counting(repository.store, name))

    def _counting(self, store: Store, name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(store, name)

        async def counting(*args: object) -> object:
            self.times += 1
            return await method(*args)

        return counting


async def test_a_token_that_is_used_at_another_host_is_looked_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TRUST", 3600.0)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        asked = Counted(proxy, monkeypatch)
        for _ in range(5):
            assert (await ask(proxy, b"ws.example.com", client.access))[0] == 200
            assert (await ask(proxy, HOME, client.access))[0] == 200
        assert asked.times == 1
        assert (await ask(proxy, b"other.example.com", client.access))[0] == 200
        assert asked.times == 2
        # Its end is one there as well.
        assert (await ask(proxy, HOME, client.access, LOGOUT, b"{}"))[0] == 205
        assert (await ask(proxy, b"ws.example.com", client.access))[0] == 401
        assert server.received[-1].path == LOGOUT


async def test_hosts_that_are_named_later_share_their_sessions_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TRUST", 3600.0)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert (await ask(proxy, b"ws.example.com", client.access))[0] == 401
        live = proxy.server._live
        hosts_now = ("app.example.com", "ws.example.com")
        sessions = live.current.config.sessions.model_copy(update={"hosts": hosts_now})
        config = live.current.config.model_copy(update={"sessions": sessions})
        live.replace(replace(live.current, config=config))
        assert (await ask(proxy, b"ws.example.com", client.access))[0] == 200


async def test_a_login_that_names_no_host_is_one_everywhere(tmp_path: Path) -> None:
    """As one of before Segue kept it."""
    async with authority() as server, proxied(server, tmp_path) as proxy:
        answer = await proxy.ask(b"POST /api/auth/login/ HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        token = json.loads(answer.partition(b"\r\n\r\n")[2])["access"]
        server.revoked.add(token)
        assert (await ask(proxy, b"some.example.com", token))[0] == 200


async def test_a_server_that_is_not_told_the_host_gets_its_own_with_refreshes(
    tmp_path: Path,
) -> None:
    settings = {"UPSTREAM__PRESERVE_HOST": "false"}
    async with authority() as server, proxied(server, tmp_path, **settings) as proxy:
        client = await logged_in(proxy)
        server.revoked.add(client.access)
        assert (await ask(proxy, b"app.example.com", client.access))[0] == 200
        own = server.url.removeprefix("http://").encode()
        assert hosts(server, REFRESH) == [own]
        assert (await ask(proxy, b"evil.example.com", client.access))[0] == 401
