"""A server of another kind, on aiohttp: where its tokens stand is for each test to say.

As `authority`, it keeps no passwords, and says what it was sent; a subclass overrides where it
reads tokens, and how it answers with them.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from tests.support.authority import KEY, TOKEN_ERROR, token
from tests.support.rig import Segue, segue

LOGIN, REFRESH, LOGOUT = "/api/auth/login/", "/api/auth/token/refresh/", "/api/auth/logout/"


@dataclass
class Seen:
    """A request, as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Issuer:
    """What it is like, and what it was sent.

    Attributes:
        access: seconds that access tokens live.
        scheme: of `Authorization`.
        spent: refresh tokens that are not good any more.
        login, refresh, logout: its paths for tokens.
    """

    url: str = ""
    access: float = 3600.0
    scheme: str = "Bearer"
    seen: list[Seen] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    login: str = LOGIN
    refresh: str = REFRESH
    logout: str = LOGOUT
    issued: int = 0

    # What a kind of server overrides.

    def answer(self, pair: Mapping[str, str]) -> web.Response:
        """The answer to a login, or to a refresh."""
        return web.json_response(dict(pair))

    def refresh_of(self, seen: Seen) -> str:
        """The refresh token of a refresh, or of a logout."""
        return str(seen.json["refresh"])

    def access_of(self, seen: Seen) -> str:
        """The access token of any other request; empty where there is none."""
        scheme, _, value = seen.headers.get("Authorization", "").partition(" ")
        return value if scheme == self.scheme else ""

    def logged_out(self) -> web.Response:
        """The answer to a logout."""
        return web.Response(status=205)

    # What its clients do.

    def credentials(self, answer: Any) -> dict[str, Any]:
        """What a request goes with, for aiohttp, given what the login has answered."""
        return {"headers": {"Authorization": f"{self.scheme} {answer['access']}"}}

    def leaving(self, answer: Any) -> dict[str, Any]:
        """The same of a logout."""
        return {**self.credentials(answer), "json": {"refresh": answer["refresh"]}}

    # The rest.

    def at(self, path: str) -> list[Seen]:
        return [each for each in self.seen if each.path == path]

    def pair(self) -> dict[str, str]:
        self.issued += 1
        now = time.time()
        return {
            "access": token("a", self.issued, now, now + self.access),
            "refresh": token("r", self.issued, now, now + 86400),
        }

    def is_good(self, presented: str, kind: str) -> bool:
        try:
            claims = jwt.decode(
                presented,
                KEY,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return False
        good = presented not in self.spent and claims["exp"] > time.time()
        return good and claims["kind"] == kind

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.path,
            request.query,
            request.headers,
            request.cookies,
            await request.read(),
        )
        self.seen.append(seen)
        if seen.path == self.login:
            return self.answer(self.pair())
        if seen.path == self.refresh:
            try:
                presented = self.refresh_of(seen)
            except (KeyError, ValueError):
                return web.json_response({"detail": "no token"}, status=400)
            if not self.is_good(presented, "r"):
                return web.json_response(TOKEN_ERROR, status=401)
            self.spent.add(presented)
            return self.answer(self.pair())
        return await self.served(request, seen)

    async def served(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        """Anything that needs an access token."""
        del request
        if not self.is_good(self.access_of(seen), "a"):
            return web.json_response(TOKEN_ERROR, status=401)
        if seen.path == self.logout:
            try:
                presented = self.refresh_of(seen)
            except (KeyError, ValueError):
                return web.json_response({"detail": "no token"}, status=400)
            if not self.is_good(presented, "r"):
                return web.json_response(TOKEN_ERROR, status=400)
            self.spent.add(presented)
            return self.logged_out()
        return web.json_response({"hello": "there"})


@asynccontextmanager
async def issuing(issuer: Issuer) -> AsyncIterator[Issuer]:
    """Run it."""
    runner = web.ServerRunner(web.Server(issuer.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    issuer.url = f"http://{host}:{port}"
    try:
        yield issuer
    finally:
        await runner.cleanup()


@asynccontextmanager
async def in_front(
    issuer: Issuer, state_dir: Path, tokens: str | None = None, **env: str
) -> AsyncIterator[Segue]:
    """Segue with sessions in front of it.

    Args:
        issuer: the server, which runs.
        state_dir: a directory of its own.
        tokens: the section `sessions.tokens`, YAML; the defaults where None.
        env: further settings without their `SEGUE_`.
    """
    settings = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_STATE_DIR": str(state_dir),
        **{f"SEGUE_{name}": value for name, value in env.items()},
    }
    if tokens is not None:
        settings["SEGUE_SESSIONS__TOKENS"] = tokens
    async with segue(issuer.url, settings) as proxy:
        yield proxy


def browser(proxy: Segue) -> aiohttp.ClientSession:
    """A client that keeps cookies, and knows what it asks by path alone."""
    return aiohttp.ClientSession(
        f"http://127.0.0.1:{proxy.port}", cookie_jar=aiohttp.CookieJar(unsafe=True)
    )
