"""The console: a page on the admin API, for operators who look before they read.

What it shows and does is in the API, which asks who somebody is; its files hold no secret and need
no role, so that a browser can show the form to sign in. Everything in it is named relatively: it
works behind a prefix that a proxy takes off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from proxy.admin.access import Access
from proxy.admin.assets import VENDORED, Assets, answer
from proxy.admin.orders import refusal

PLACE: Final = "/console"

FOLDERS: Final = {"": Path(__file__).parent.parent / "assets/console", "vendored/": VENDORED}

FIELDS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: nothing of another site, nothing inline, in no frame."""


class Console:
    """Serves the files of the console."""

    def __init__(self, enabled: Callable[[], bool]) -> None:
        """Construct.

        Args:
            enabled: whether the configuration that serves has a console.
        """
        self._enabled = enabled
        self._assets = Assets(FOLDERS)

    def routes(self, access: Access) -> list[web.RouteDef]:
        """The routes: the page, and its files."""
        return [
            web.get(PLACE, access.guarded(None, self._to_the_page)),
            web.get(f"{PLACE}/{{path:.*}}", access.guarded(None, self._file)),
        ]

    async def _to_the_page(self, _: web.Request) -> web.StreamResponse:
        if not self._enabled():
            return _there_is_none()
        # Relative: a proxy may have taken off what it begins with.
        return web.Response(status=308, headers={**FIELDS, "Location": "console/"})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if not self._enabled():
            return _there_is_none()
        path = request.match_info["path"] or "index.html"
        asset = await self._assets.named(path)
        if asset is None:
            return refusal(404, "the console has no such file", FIELDS)
        return answer(request, asset, FIELDS)


def _there_is_none() -> web.Response:
    return refusal(404, "admin.console of the configuration is false: there is no console")
