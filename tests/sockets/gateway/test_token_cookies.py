"""Tokens in cookies: spelled as some servers read them, and set by sibling hosts for the domain."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.authority import authority, proxied, response, token
from tests.support.issuer import LOGIN, LOGOUT, REFRESH, browser, in_front, issuing
from tests.support.issuers import Baking
from tests.support.rig import Segue

COOKIES = "{cookies: {access: at, refresh: rt}}"
JOBS = "/api/jobs/"


@dataclass
class Scene:
    """A server whose tokens are in cookies, and who asks it."""

    issuer: Baking
    proxy: Segue
    client: aiohttp.ClientSession

    async def log_in(self) -> dict[str, str]:
        """The cookies of somebody new, who keeps them."""
        async with browser(self.proxy) as somebody, somebody.post(LOGIN) as answer:
            assert answer.status == 200
            return {each.key: each.value for each in somebody.cookie_jar}

    async def ended(self) -> dict[str, str]:
        """The cookies of somebody who has logged out; the server goes on taking all of them."""
        held = await self.log_in()
        assert await self.ask("POST", LOGOUT, f"at={held['at']}; rt={held['rt']}") == 204
        self.issuer.spent.clear()
        return held

    async def ask(self, method: str, path: str, cookies: str, **fields: str) -> int:
        """Ask with a `Cookie` field as it is spelled."""
        sent = {"Cookie": cookies, **fields}
        async with self.client.request(method, path, headers=sent) as answer:
            await answer.read()
            return answer.status

    @property
    def sent(self) -> str:
        """The cookies that the server was sent last."""
        return self.issuer.seen[-1].headers.get("Cookie", "")


@asynccontextmanager
async def scene(tmp_path: Path, **env: str) -> AsyncIterator[Scene]:
    issuer = Baking()
    async with (
        issuing(issuer),
        in_front(issuer, tmp_path, COOKIES, **env) as proxy,
        aiohttp.ClientSession(
            f"http://127.0.0.1:{proxy.port}", cookie_jar=aiohttp.DummyCookieJar()
        ) as client,
    ):
        yield Scene(issuer, proxy, client)


def octal(value: str) -> str:
    return '"' + "".join(f"\\{ord(each):03o}" for each in value) + '"'


SPELLINGS: Final[dict[str, Callable[[str, str], str]]] = {
    "octal": lambda name, value: f"{name}={octal(value)}",
    "octal, in part": lambda name, value: f'{name}="\\145{value[1:]}"',
    "percent": lambda name, value: f"{name}=%{ord(value[0]):02x}{value[1:]}",
    "all percent": lambda name, value: name + "=" + "".join(f"%{ord(c):02x}" for c in value),
    "percent behind it": lambda name, value: f"{name}={value}{quote(' ')}",
    "space": lambda name, value: f"{name}={value} x",
    "a comma before": lambda name, value: f"x=1, {name}={value}",
    "a name in percent": lambda name, value: f"%{ord(name[0]):02x}{name[1:]}={value}",
    "a no-break space": lambda name, value: f"\xa0{name}={value}",
    "a no-break space behind": lambda name, value: f"{name}\xa0={value}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_ended_session_does_not_come_back_by_another_spelling(
    tmp_path: Path, spelling: str
) -> None:
    spell = SPELLINGS[spelling]
    async with scene(tmp_path) as at:
        over = await at.ended()
        assert await at.ask("GET", JOBS, "a=1; " + spell("at", over["at"]) + "; b=2") == 401
        assert at.sent == "a=1; b=2"
        count = len(at.issuer.seen)
        for path in (REFRESH, LOGOUT):
            assert await at.ask("POST", path, spell("rt", over["rt"])) == 400
        assert len(at.issuer.seen) == count
        # A sibling host keeps nobody out with one.
        own = await at.log_in()
        hidden = f"{spell('at', over['at'])}; {spell('rt', over['rt'])}"
        mine = f"at={own['at']}; rt={own['rt']}"
        assert await at.ask("GET", JOBS, f"{hidden}; {mine}") == 200
        assert at.sent == mine
        assert await at.ask("POST", REFRESH, f"{hidden}; {mine}; {hidden}") == 200
        assert at.sent == mine
        assert await at.ask("POST", LOGIN, hidden) == 200
        assert at.sent == ""


async def test_whoever_sets_cookies_beside_ones_own_keeps_nobody_out(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        over, own = await at.ended(), await at.log_in()
        junk = "; ".join(f"at={number}; rt={number}" for number in range(100))
        gone = f"at={over['at']}; rt={over['rt']}"
        forged = "; ".join(
            f"at={token('a', n, 0, time.time() - 9)}; rt={token('r', n, 0, 4e9)}"
            for n in range(900, 915)
        )
        for others in (junk, gone, forged, f"{junk}; {gone}"):
            for order in ("{others}; {mine}", "{mine}; {others}"):
                mine = f"at={own['at']}; rt={own['rt']}"
                cookies = order.format(others=others, mine=mine)
                count = len(at.issuer.seen)
                assert await at.ask("GET", "/", cookies) == 200
                assert f"at={own['at']}" in at.sent
                assert over["at"] not in at.sent
                assert await at.ask("POST", REFRESH, cookies) == 200
                (sent,) = at.issuer.at(REFRESH)[-1:]
                assert sent.headers["Cookie"].count("rt=") == 1
                assert over["at"] not in sent.headers["Cookie"]
                assert len(at.issuer.seen) == count + 2
                own = await at.log_in()
        # Nor does one that nobody has room for: it is said.
        many = "; ".join(f"at={token('a', n, 0, 4e9)}" for n in range(33))
        assert await at.ask("GET", "/", many) == 400
        assert await at.ask("POST", REFRESH, many.replace("at=", "rt=")) == 400


async def test_of_several_sessions_that_are_open_the_access_token_tells_which(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as at:
        other, own = await at.log_in(), await at.log_in()
        both = f"rt={other['rt']}; rt={own['rt']}"
        assert await at.ask("POST", REFRESH, both) == 400
        assert at.issuer.at(REFRESH) == []
        assert await at.ask("POST", REFRESH, f"{both}; at={own['at']}") == 200
        assert at.issuer.at(REFRESH)[0].cookies["rt"] == own["rt"]
        assert await at.ask("POST", LOGOUT, f"{both}; at={other['at']}") == 204
        assert at.issuer.at(LOGOUT)[0].cookies["rt"] == other["rt"]


async def test_of_several_tokens_of_one_session_its_newest_counts(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        first = await at.log_in()
        cookies = f"rt={first['rt']}"
        async with at.client.post(REFRESH, headers={"Cookie": cookies}) as answer:
            second = answer.cookies["rt"].value
        assert await at.ask("POST", REFRESH, f"rt={first['rt']}; rt={second}") == 200
        assert at.issuer.at(REFRESH)[-1].headers["Cookie"] == f"rt={second}"


async def test_of_tokens_that_lead_nowhere_the_server_judges_and_nothing_is_kept(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as at:
        over = await at.ended()
        pair = [at.issuer.pair()["refresh"] for _ in range(2)]  # Of a login beside Segue.
        opened = await at.proxy.metric("segue_session_captures_total", result="opened")
        both = f"rt={pair[0]}; rt={over['rt']}; rt=x; rt={pair[1]}"
        assert await at.ask("POST", REFRESH, both) == 200
        assert at.sent == f"rt={pair[0]}; rt={pair[1]}"
        assert await at.proxy.metric("segue_session_captures_total", result="opened") == opened
        assert await at.ask("POST", REFRESH, f"rt=x; rt={pair[0]}") == 200
        assert at.sent == f"rt={pair[0]}"
        assert await at.proxy.metric("segue_session_captures_total", result="opened") == opened + 1


async def test_a_token_in_the_body_is_the_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as at:
        over, own = await at.ended(), await at.log_in()
        for body, status in (({"refresh": own["rt"]}, 401), ({"refresh": over["rt"]}, 401)):
            sent = {"Cookie": f"rt={over['rt']}; a=1"}
            async with at.client.post(REFRESH, json=body, headers=sent) as answer:
                assert answer.status in (status, 400)
        # The server of this test reads cookies alone: none of them got there.
        (seen,) = at.issuer.at(REFRESH)
        assert (seen.headers["Cookie"], seen.json) == ("a=1", {"refresh": own["rt"]})


@pytest.mark.parametrize("path", [LOGIN, REFRESH, LOGOUT])
async def test_an_ended_access_token_in_the_head_does_not_pass_on_the_routes_of_tokens(
    tmp_path: Path, path: str
) -> None:
    async with scene(tmp_path) as at:
        over = await at.ended()
        count = len(at.issuer.seen)
        fields = {"Authorization": f"Bearer {over['at']}", "X-Odd": "1"}
        status = await at.ask("POST", path, f"a=1; at={over['at']}", **fields)
        if path == LOGOUT:
            assert status == 401
            assert len(at.issuer.seen) == count
            return
        # Who has logged out logs in again, whatever is sent along.
        assert status == (200 if path == LOGIN else 400)
        seen = at.issuer.seen[-1]
        assert (seen.headers["Cookie"], seen.headers["X-Odd"]) == ("a=1", "1")
        assert "Authorization" not in seen.headers


async def test_nothing_is_kept_of_a_refresh_by_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    async with authority() as server, proxied(server, tmp_path) as proxy:
        pair = json.dumps(server.pair()).encode()

        async def generous(*_: object) -> bytes:
            return response(200, pair)

        server.answers[REFRESH] = generous
        without_end = token("r", 1, 0, 4e9).rsplit(".", 2)[0] + ".e30.c2ln"
        for opaque in ("opaque", without_end, "a" * 9000):
            body = json.dumps({"refresh": opaque}).encode()
            answer = await proxy.ask(
                b"POST %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n"
                b"Content-Type: application/json\r\n\r\n%b" % (REFRESH.encode(), len(body), body)
            )
            assert answer.endswith(pair)
        assert await proxy.metric("segue_session_captures_total") == 0
