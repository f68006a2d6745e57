"""A refresh token that Django reads and Segue did not: an ended session came back to life."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import aiohttp
import pytest

from tests.support.backend import Backend, register
from tests.support.rig import segue

REFRESH = "/api/auth/token/refresh/"
TWO = "application/json; charset=utf-8; charset=utf-16"


@pytest.mark.parametrize(
    ("kind", "encoding", "refused"),
    [(TWO, "utf-16", 415), ("application/json; charset=utf-8-sig", "utf-8-sig", 415)],
)
async def test_django_reads_what_segue_does_not_and_is_not_asked(
    old_backend: Backend, tmp_path: Path, kind: str, encoding: str, refused: int
) -> None:
    settings = {"SEGUE_SESSIONS__ENABLED": "true", "SEGUE_STATE_DIR": str(tmp_path)}
    async with segue(old_backend.url, settings) as proxy, aiohttp.ClientSession() as http:
        account = await register(http, proxy.url)
        body = json.dumps({"refresh": account.refresh}).encode(codecs.lookup(encoding).name)
        async with proxy.admin() as admin:
            async with admin.get("/api/v1/sessions") as answer:
                (session,) = (await answer.json())["sessions"]
            async with admin.delete(f"/api/v1/sessions/{session['session']}") as answer:
                assert answer.status in (200, 204)
        fields = {"Content-Type": kind}
        async with http.post(proxy.url + REFRESH, data=body, headers=fields) as answer:
            assert answer.status == refused
        # It is Django that would have read it.
        async with http.post(old_backend.url + REFRESH, data=body, headers=fields) as answer:
            assert answer.status == 200
