"""Debian's Chromium, as tests drive it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from tests.support.waiting import PATIENCE

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def browser_page(address: str, profile: Path) -> AsyncIterator[Page]:
    """Open the page, with a profile that nobody has used."""
    chromium = shutil.which("chromium")
    assert chromium is not None
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(profile), executable_path=chromium, args=ARGUMENTS, timeout=PATIENCE * 1000
        )
        context.set_default_timeout(PATIENCE * 1000)
        try:
            page = await context.new_page()
            await page.goto(address)
            yield page
        finally:
            await context.close()


async def in_page(page: Page, script: str, *arguments: object) -> Any:
    """Run a function in the page."""
    async with asyncio.timeout(PATIENCE):
        return await page.evaluate(script, list(arguments))
