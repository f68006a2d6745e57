"""The fourth act as it is played: a broken mapping, a tenth of the users, and no operator.

Its old server shares users and the signing key with that of the first act. Users register until two
are in the canary; these, and three who are not, say what the server does not understand. On each of
its answers the mapping fails, for those who are in the canary alone.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from demo import report
from demo.clients import Client
from demo.faults import ShowFailed
from demo.fourth.judgement import (
    AFTER,
    BEFORE,
    SWITCH,
    answer_faults,
    exposure_faults,
    revision_faults,
)
from demo.programs import ROOT
from demo.rest import Rest, message_counts
from demo.screen import Screen, Span, Style
from demo.second.board import board_of
from demo.stage import Plan, Where, on_stage
from demo.verdict import Dialect

VERSION: Final = "3.0"
"""Of all clients here."""

_INSIDE: Final = 2
_OUTSIDE: Final = 3
_MOST: Final = 200
"""Users who register at most: fewer than two of them are in 10 % once in ten million times."""

_AT_ONCE: Final = 10
_PROMPT: Final = "A recipe box"
_TIMEOUT: Final = 60.0
_BETWEEN: Final = 0.2
_API: Final = "/api/v1"


class FourthAct:
    """One run of it.

    Attributes:
        found: how many findings there are.
    """

    def __init__(self, screen: Screen, http: aiohttp.ClientSession) -> None:
        """Nothing is started yet.

        Args:
            screen: where it is shown.
            http: makes the calls.
        """
        self.found = 0
        self._screen = screen
        self._http = http
        self._news = asyncio.Event()

    async def run(self, state: Path, logs: Path) -> None:
        """Start both programs, wait for the guard, say what differs, end the programs.

        Raises:
            ShowFailed: something did not start, ended early, or did not answer.
        """
        screen = self._screen
        screen.heading("Fourth act: a broken mapping, and its guard, demo/fourth/config.yaml")
        screen.line("Starting the old server and the proxy once more ...")
        plan = Plan(
            prefix="fourth",
            config=ROOT / "demo" / "fourth" / "config.yaml",
            settings={},
            flags=(),
            server_state=state,
            proxy_state=state / "fourth-proxy",
            logs=logs,
        )
        async with on_stage(self._http, plan) as stage:
            await stage.play(self._play(stage.where))

    async def _play(self, where: Where) -> None:
        screen = self._screen
        async with board_of(where) as board, AsyncExitStack() as sockets:
            inside, outside, total = await self._users(where, board.admin)
            screen.line(f"  {SWITCH}: {BEFORE}; {total} users, and {len(inside)} of them are in it")
            clients = []
            for number, rest in enumerate([*inside, *outside], 1):
                clients.append(await self._connected(sockets, where, rest, f"user {number}"))
            revision = await self._until_taken_back(board.admin, clients)
            await self._answers(clients)
            counts = await message_counts(Rest(self._http, f"http://{where.admin}"))
        if revision is not None:
            screen.line(
                f"  revision {revision['number']}  ",
                Span(AFTER, Style.CANARY),
                f"  by {revision['author']}",
            )
            screen.line(f"    {revision['reason']}"[: screen.room])
        screen.heading("Verdict of the fourth act")
        seen = len(inside)
        said = sum(client.sent for client in clients[:seen])
        for claim, wrong in (
            ("the guard took the switch one state back, and says why", revision_faults(revision)),
            (
                f"{seen} of {total} users were in the canary, and nobody else saw it",
                exposure_faults(counts, said),
            ),
            (
                "every answer of the server came, as it was sent",
                [
                    f"{client.name}: {fault}"
                    for client in clients
                    for fault in answer_faults(client.sent, client.frames)
                ],
            ),
        ):
            report.finding(screen, claim, wrong)
            self.found += len(wrong)

    async def _users(self, where: Where, admin: Rest) -> tuple[list[Rest], list[Rest], int]:
        """Register users until enough are in the canary: those, some others, how many in all."""
        inside: list[Rest] = []
        outside: list[Rest] = []
        for total in range(1, _MOST + 1):
            rest = Rest(self._http, f"http://{where.proxy}", VERSION)
            account = {"email": f"fourth-{total}@example.org", "password": "correct horse"}
            answer = await rest.expected("POST", "/api/auth/register/", 201, account)
            rest.access = answer.text("access")
            asked = {"version": VERSION, "headers": [f"Authorization: Bearer {rest.access}"]}
            told = (await admin.expected("POST", f"{_API}/explain", 200, asked)).json()
            (inside if told["to_client"] else outside).append(rest)
            if len(inside) == _INSIDE and len(outside) >= _OUTSIDE:
                return inside, outside[:_OUTSIDE], total
        raise ShowFailed(f"of {_MOST} users fewer than {_INSIDE} are in the canary")

    async def _connected(
        self, sockets: AsyncExitStack, where: Where, rest: Rest, name: str
    ) -> Client:
        job = (await rest.expected("POST", "/api/jobs/", 201, {"prompt": _PROMPT})).text("id")
        client = Client(name, "", Dialect.NEW, query=f"client_version={VERSION}")
        origin = f"http://{where.proxy}"
        await sockets.enter_async_context(
            client.connected(self._http, origin, job, rest.access, self._news.set)
        )
        return client

    async def _until_taken_back(self, admin: Rest, clients: list[Client]) -> dict[str, Any] | None:
        """Have everybody talk until the switch is at another revision; that one."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                while True:
                    for client in clients:
                        # What a client keeps has an end.
                        if client.sent < _MOST:
                            for _ in range(_AT_ONCE):
                                await client.say(kind="goodbye")
                    await asyncio.sleep(_BETWEEN)
                    page = await admin.expected("GET", f"{_API}/revisions", 200)
                    revisions = page.json()["revisions"]
                    if revisions:
                        first: dict[str, Any] = revisions[-1]
                        return first
        except TimeoutError:
            return None

    async def _answers(self, clients: list[Client]) -> None:
        """Wait for what is on its way, but not for ever: what is missing then is a finding."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT):
                for client in clients:
                    while client.is_open and len(client.frames) < client.sent:
                        self._news.clear()
                        await self._news.wait()
