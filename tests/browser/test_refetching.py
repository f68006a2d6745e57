"""The client that cannot be changed, in a real browser: it fetches after every frame it gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.backend import Backend
from tests.support.browser import browser_page
from tests.support.refetching_page import new_job, visit
from tests.support.rig import segue

pytestmark = pytest.mark.needs_chromium

SOCKETS: Final = int(os.environ.get("FRESHNESS_SOCKETS", "16"))
"""That the page opens; a browser has 255 at most."""

CHATS: Final = int(os.environ.get("FRESHNESS_CHATS", "4"))

DELAY: Final = 0.05
"""Seconds between the frames of the server's script."""

COALESCING: Final = "name: job, path: '/api/jobs/{id}/'"
FRESH: Final = (
    f"{COALESCING}, at_most: 2s,"
    " fresh_until: {message: {jobId: id}, socket: '/ws/jobs/{id}/'}"
)


async def test_a_page_that_fetches_after_every_frame_asks_the_server_once_for_each_message(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with Backend(tmp_path / "backend", script_delay=DELAY) as backend:
        for name, route in (("before", COALESCING), ("after", FRESH)):
            settings = {
                "SEGUE_SESSIONS__ENABLED": "true",
                "SEGUE_COALESCING": f"[{{{route}}}]",
            }
            async with (
                segue(backend.url, settings) as proxy,
                browser_page(f"{proxy.url}/api/", tmp_path / name) as page,
            ):
                told = await visit(page, proxy, await new_job(http, proxy), CHATS, SOCKETS)
                print(f"{name}: {told}")  # noqa: T201 (for `make proof`)
                assert told.stale == 0
                if name == "before":
                    assert told.asked == told.gets, "the browser sends them one after the other"
                else:
                    assert told.asked <= told.messages + 2
                    assert told.gets > 2 * told.asked
