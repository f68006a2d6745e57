"""djoser's example of `docs/sessions.md`, in front of Django with SimpleJWT's own views.

djoser itself adds nothing to these but their paths, and the advice to use the scheme `JWT`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support import documented
from tests.support.checkout import ROOT
from tests.support.django_tokens import PASSWORD
from tests.support.rig import segue
from tests.support.waiting import PATIENCE

ME = "/auth/users/me/"


@pytest.fixture
def djoser(tmp_path: Path) -> Iterator[str]:
    """The URL of the server; its access tokens live for four seconds."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.django_tokens", str(tmp_path), "4"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def status(client: aiohttp.ClientSession, fields: dict[str, str]) -> int:
    async with client.get(ME, headers=fields) as answer:
        return answer.status


async def test_djosers_example_is_what_it_takes(djoser: str, tmp_path: Path) -> None:
    section = documented.examples()["djoser"].removeprefix("sessions:\n")
    settings = {
        "SEGUE_SESSIONS": section,
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_STATE_DIR": str(tmp_path / "state"),
    }
    async with segue(djoser, settings) as proxy, aiohttp.ClientSession(proxy.url) as client:
        who = {"username": "ann", "password": PASSWORD}
        async with client.post("/auth/jwt/create/", json=who) as answer:
            assert answer.status == 200
            pair = await answer.json()
        fields = {"Authorization": f"JWT {pair['access']}"}
        async with aiohttp.ClientSession(djoser) as alone, asyncio.timeout(PATIENCE):
            while await status(alone, fields) != 401:  # noqa: ASYNC110 (its end tells nobody)
                await asyncio.sleep(0.1)
        async with client.get(ME, headers=fields) as answer:
            assert answer.status == 200
            assert await answer.json() == {"username": "ann"}
        async with client.post("/auth/jwt/verify/", json={"token": pair["access"]}) as answer:
            assert answer.status == 200
        body = {"refresh": pair["refresh"]}
        async with client.post("/auth/jwt/blacklist/", json=body) as answer:
            assert answer.status == 200
        async with client.get(ME, headers=fields) as answer:
            assert answer.status == 401
