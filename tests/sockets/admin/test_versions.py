"""Which versions clients tell, over real sockets: the endpoint, and `segue versions`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.main import main
from tests.support.administered import METRICS, TOKENS, VIEWER, administered, bearer
from tests.support.rig import Segue, answering, raw_server, segue

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HOSTILE = b"\x1b[2Jgone\xe9"
"""What a terminal would obey, and no version."""


async def ask(proxy: Segue, version: bytes | None) -> None:
    field = b"" if version is None else b"X-Client-Version: " + version + b"\r\n"
    async with proxy.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + field + b"\r\n")
        await client.read_response()


async def table(proxy: Segue) -> dict[str, Any]:
    async with proxy.admin() as client, client.get("/api/v1/versions") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        found: dict[str, Any] = await response.json()
        return found


async def run(proxy: Segue, *arguments: str) -> int:
    """Run the command; in a thread, for what it asks runs here."""
    command = ["versions", "--state-dir", proxy.state_directory, *arguments]
    return await asyncio.to_thread(main, command)


async def test_versions_are_shown_as_clients_spell_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = time.time()
    async with raw_server(answering(OK)) as server, segue(server.url) as proxy:
        assert await table(proxy) == {"versions": [], "other": 0, "untold": 0}
        assert await run(proxy) == 0
        assert capsys.readouterr().out == "no requests yet\n"
        for version in (b"2.1.0-next.1", b"2.1.0-next.1", b"v1", b"none that I know", None):
            await ask(proxy, version)
        told = await table(proxy)
        assert (told["other"], told["untold"]) == (0, 1)
        first = told["versions"][0]
        assert before - 1 < first.pop("last") < time.time() + 1
        assert first == {
            "version": "2.1.0-next.1",
            "cohort": "modern",
            "readable": True,
            "requests": 2,
        }
        unreadable = [each["version"] for each in told["versions"] if not each["readable"]]
        assert unreadable == ["none that I know"]
        assert await run(proxy, "--json") == 0
        shown, again = json.loads(capsys.readouterr().out), await table(proxy)
        for each in (*shown["versions"], *again["versions"]):
            del each["last"]  # Two clocks are compared anew each time.
        assert shown == again
        assert await run(proxy) == 0
    header, top, *rest = capsys.readouterr().out.splitlines()
    assert header.split() == ["VERSION", "COHORT", "REQUESTS", "SHARE", "LAST"]
    assert top.split()[:4] == ["2.1.0-next.1", "modern", "2", "40.0%"]
    assert top.endswith(" ago")
    assert any(row.startswith("none that I know (unreadable)") for row in rest)
    assert rest[-1].split() == ["(none", "told)", "1", "20.0%"]


async def test_what_clients_send_as_a_version_is_neither_obeyed_nor_shown_as_a_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with raw_server(answering(OK)) as server, segue(server.url) as proxy:
        await ask(proxy, b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl")
        await ask(proxy, HOSTILE.replace(b"\x1b", b""))
        await ask(proxy, b"9" * 1000)
        told = [each["version"] for each in (await table(proxy))["versions"]]
        assert sorted(told) == ["", "[2Jgone\xe9", "[redacted]"]
        assert await run(proxy) == 0
        assert "(empty, or too long)" in capsys.readouterr().out


async def test_the_table_is_for_the_role_viewer(tmp_path: Path) -> None:
    async with administered(tmp_path, tokens=TOKENS) as running:
        assert (await running.ask("/api/v1/versions")).status == 401
        assert (await running.ask("/api/v1/versions", bearer(METRICS))).status == 403
        assert (await running.ask("/api/v1/versions", bearer(VIEWER))).status == 200


async def test_nobody_there_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["versions", "--state-dir", str(tmp_path)]
    assert await asyncio.to_thread(main, command) == 1
    assert "Traceback" not in capsys.readouterr().err
