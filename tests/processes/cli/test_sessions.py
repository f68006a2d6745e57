"""`segue sessions` against a running Segue."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from proxy.cli import sessions
from proxy.cli.main import main
from proxy.cli.terminal import span
from proxy.sessions import administration
from tests.support.authority import Authority, Client, authority, proxied, response
from tests.support.rig import RawPeer, Segue, answering, raw_server, segue, status_of
from tests.support.storages import SqliteStorage


async def segue_sessions(proxy: Segue, *arguments: str) -> int:
    command = ["sessions", *arguments, "--state-dir", proxy.state_directory]
    return await asyncio.to_thread(main, command)


async def logged_in(server: Authority, proxy: Segue, user: str = "7") -> Client:
    server.user = user
    client = Client(proxy)
    await client.log_in()
    return client


async def test_list_is_a_table_of_who_is_logged_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        assert await segue_sessions(proxy, "list") == 0
        assert capsys.readouterr().out == "no sessions\n"
        for user in ("anna", "ben"):
            client = await logged_in(server, proxy, user)
            client.fields = (b"X-Client-Version: 2.1",)
            await client.get()
        assert await segue_sessions(proxy, "list") == 0
        header, *rows = capsys.readouterr().out.splitlines()
        assert header.split() == [column.title for column in sessions._COLUMNS]
        assert sorted(row.split()[1] for row in rows) == ["anna", "ben"]
        assert {tuple(row.split()[2:4]) for row in rows} == {("modern", "2.1")}
        # Columns stand under their names.
        assert {row.index("modern") for row in rows} == {header.index("COHORT")}
        assert {row[header.index("TOKEN") :].split()[0] for row in rows} == {"59m"}
        assert await segue_sessions(proxy, "list", "--user", "ben") == 0
        assert len(capsys.readouterr().out.splitlines()) == 2


async def test_list_as_json_goes_on_over_pages_and_says_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_PAGE", 2)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        for _ in range(5):
            await logged_in(server, proxy)
        assert await segue_sessions(proxy, "list", "--json") == 0
        out, err = capsys.readouterr()
        names = [json.loads(line)["session"] for line in out.splitlines()]
        assert (len(set(names)), err) == (5, "")
        assert await segue_sessions(proxy, "list", "--json", "--limit", "3") == 0
        out, err = capsys.readouterr()
        assert [json.loads(line)["session"] for line in out.splitlines()] == names[:3]
        assert err == f"there are more: --after {names[2]}\n"
        assert await segue_sessions(proxy, "list", "--json", "--after", names[2]) == 0
        out = capsys.readouterr().out
        assert [json.loads(line)["session"] for line in out.splitlines()] == names[3:]


async def test_a_record_that_cannot_be_read_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_PAGE", 2)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        for _ in range(5):
            await logged_in(server, proxy)
        await segue_sessions(proxy, "list", "--json")
        shown = capsys.readouterr().out.splitlines()
        names = [json.loads(line)["session"] for line in shown]
        damaged = [names[0], *names[2:4]]  # The first, and a whole page.
        for name in damaged:
            SqliteStorage(tmp_path).execute(
                "UPDATE sessions SET body = x'01ff' WHERE session = ?", name
            )
        assert await segue_sessions(proxy, "list", "--json") == 0
        out, err = capsys.readouterr()
        left = [json.loads(line)["session"] for line in out.splitlines()]
        assert left == [names[1], names[4]]
        told = ", ".join(damaged)
        assert err == f"damaged, or of a later version, and not shown: {told}\n"
        assert await segue_sessions(proxy, "end-user", "7") == 0
        assert capsys.readouterr().out == "2 ended\n"
        assert await proxy.metric("segue_session_records_unreadable_total") > 0


async def test_end_ends_one_and_end_user_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "AT_ONCE", 2)
    async with authority() as server, proxied(server, tmp_path) as proxy:
        clients = [await logged_in(server, proxy, "anna") for _ in range(6)]
        other = await logged_in(server, proxy, "ben")
        assert await segue_sessions(proxy, "list", "--user", "anna", "--json") == 0
        name = json.loads(capsys.readouterr().out.splitlines()[0])["session"]
        for said in ("ended", "it had ended before"):
            assert await segue_sessions(proxy, "end", name) == 0
            assert capsys.readouterr().out == f"{said}\n"
        assert sorted([await client.get() for client in clients]) == [200] * 5 + [401]
        assert await segue_sessions(proxy, "end-user", "anna") == 0
        assert capsys.readouterr().out == "5 ended\n"
        assert [await client.get() for client in clients] == [401] * 6
        assert await other.get() == 200
        assert await segue_sessions(proxy, "end-user", "anna", "--json") == 0
        assert capsys.readouterr().out == '{"ended": 0}\n'


async def test_end_user_ends_those_of_one_host_where_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = {"SESSIONS__HOSTS": "[app.example.com, ws.example.com]"}
    async with authority() as server, proxied(server, tmp_path, **hosts) as proxy:
        here = await logged_in(server, proxy, "anna")
        answer = await proxy.ask(
            b"POST /api/auth/login/ HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        assert status_of(answer) == 200
        assert await segue_sessions(proxy, "end-user", "anna", "--host", "other.example.com") == 0
        assert capsys.readouterr().out == "0 ended\n"
        assert await here.get() == 200
        for host in ("WS.example.com:443", "shop.example.com"):
            assert await segue_sessions(proxy, "end-user", "anna", "--host", host) == 0
            assert capsys.readouterr().out == "1 ended\n"
            assert await here.get() == 401


async def test_unknown_name_and_no_sessions_are_1(capsys: pytest.CaptureFixture[str]) -> None:
    async with segue("http://127.0.0.1:9") as proxy:
        assert await segue_sessions(proxy, "list") == 1
        assert "sessions.enabled" in capsys.readouterr().err


async def test_a_name_is_sent_as_one_whatever_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        for name in ("0" * 32, "../recordings", "a b?c#d", "\x1b[2J"):
            assert await segue_sessions(proxy, "end", name) == 1
            err = capsys.readouterr().err
            assert "there is no session of this name" in err
            assert err.removesuffix("\n").isprintable()


HOSTILE = {
    **dict.fromkeys(("user", "cohort", "version"), "\x1b[2J\u202e" + "x" * 100),
    **dict.fromkeys(("age", "idle", "access_expires", "refresh_expires", "over"), -1e300),
    **dict.fromkeys(("refreshes", "websockets"), 1),
    "session": "\x1b]0;title\x07",
}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"sessions": [HOSTILE], "next": None}, 0),
        ({"sessions": [HOSTILE], "next": "\x1b[2J"}, 0),
        ({"sessions": [{"session": 7}], "next": None}, 1),
        ({"sessions": ["no session"], "next": None}, 1),
        (["no answer"], 1),
    ],
)
async def test_what_is_printed_cannot_act_on_a_terminal(
    answer: object, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    said = response(200, json.dumps(answer).encode(), b"Connection: close")

    async def script(peer: RawPeer) -> None:
        await answering(said)(peer)

    async with raw_server(script) as server:
        address = server.url.removeprefix("http://")
        command = ["sessions", "list", "--limit", "1", "--admin", address]
        assert await asyncio.to_thread(main, command) == code
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).splitlines())


def test_nobody_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert main(["sessions", "list", "--admin", address]) == 1
    assert "is segue running?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["list", "--limit", "0"], ["end"], ["end-user"]])
def test_half_an_order_is_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["sessions", *arguments])
    assert raised.value.code == 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "over"),
        (0.4, "0s"),
        (59.9, "59s"),
        (60, "1m 0s"),
        (3725, "1h 2m"),
        (7 * 86400 + 3599, "7d 0h"),
        (float("inf"), "never"),
        (float("nan"), "never"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, said: str) -> None:
    assert span(seconds) == said
