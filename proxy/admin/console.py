"""The console: a page on the admin API, for operators who look before they read.

What it shows and does is in the API, which asks who somebody is; its files hold no secret and need
no role, so that a browser can show the form to sign in. Everything in it is named relatively: it
works behind a prefix that a proxy takes off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from proxy.admin.access import Access
from proxy.admin.orders import refusal
from proxy.static_files import CONSOLE, SECURITY_FIELDS, Assets, answered

PLACE: Final = "/console"


class Console:
    """Serves the files of the console."""

    def __init__(self, enabled: Callable[[], bool]) -> None:
        """Construct.

        Args:
            enabled: whether the configuration that serves has a console.
        """
        self._enabled = enabled
        self._assets = Assets(CONSOLE)

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
        return web.Response(status=308, headers={**SECURITY_FIELDS, "Location": "console/"})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if not self._enabled():
            return _there_is_none()
        path = request.match_info["path"] or "index.html"
        asset = await self._assets.named(path)
        if asset is None:
            return refusal(404, "the console has no such file", SECURITY_FIELDS)
        codings = request.headers.getall("Accept-Encoding", ())
        known = [each.value for each in request.if_none_match or ()]
        status, fields, body = answered(asset, codings, known)
        return web.Response(status=status, headers={**SECURITY_FIELDS, **fields}, body=body or None)


def _there_is_none() -> web.Response:
    return refusal(404, "admin.console of the configuration is false: there is no console")
