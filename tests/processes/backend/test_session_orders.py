"""An operator ends sessions of the real server's users."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.cli.main import main
from tests.support.backend import Backend, register
from tests.support.rig import Segue, segue


async def listed(proxy: Segue, capsys: pytest.CaptureFixture[str], *also: str) -> list[Any]:
    capsys.readouterr()
    assert await ordered(proxy, "list", "--json", *also) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def ordered(proxy: Segue, *arguments: str) -> int:
    command = ["sessions", *arguments, "--state-dir", proxy.state_directory]
    return await asyncio.to_thread(main, command)


async def test_users_whose_sessions_are_ended_are_refused_and_can_log_in_again(
    old_backend: Backend,
    http: aiohttp.ClientSession,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def me(access: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {access}"}
        async with http.get(f"{proxy.url}/api/auth/me/", headers=headers) as response:
            return response.status, await response.json()

    async def log_in() -> str:
        body = {"email": account.email, "password": account.password}
        async with http.post(f"{proxy.url}/api/auth/login/", json=body) as response:
            assert response.status == 200
            return str((await response.json())["access"])

    settings = {"SEGUE_SESSIONS__ENABLED": "true", "SEGUE_STATE_DIR": str(tmp_path)}
    async with segue(old_backend.url, settings) as proxy:
        account, other = await register(http, proxy.url), await register(http, proxy.url)
        (first,) = [
            each
            for each in await listed(proxy, capsys)
            if each["user"] == str((await me(account.access))[1]["id"])
        ]
        assert await ordered(proxy, "end", first["session"]) == 0
        status, said = await me(account.access)
        assert (status, said["code"]) == (401, "token_not_valid")
        body = {"refresh": account.refresh}
        async with http.post(f"{proxy.url}/api/auth/token/refresh/", json=body) as response:
            assert response.status == 401
        assert (await me(other.access))[0] == 200

        again = [await log_in() for _ in range(3)]
        assert [(await me(access))[0] for access in again] == [200] * 3
        mine = await listed(proxy, capsys, "--user", first["user"])
        assert len(mine) == 3
        assert first["session"] not in {each["session"] for each in mine}
        assert await ordered(proxy, "end-user", first["user"]) == 0
        assert capsys.readouterr().out == "3 ended\n"
        assert [(await me(access))[0] for access in again] == [401] * 3
        assert (await me(await log_in()))[0] == 200
        assert len(await listed(proxy, capsys)) == 2
