"""The third act as it is played: three things that the first does not show, each judged.

Its old server shares users, jobs and the signing key with the one of the first act, so that it
takes the tokens of both; those that it gives live two seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp

from demo import report
from demo.clients import Client
from demo.programs import ROOT
from demo.rest import Answer, Rest, message_counts, renewals
from demo.screen import Screen, Span, Style, harmless, value_text
from demo.stage import Plan, Where, on_stage
from demo.third.judgement import (
    EXPECTED_COUNTS,
    changed_fields,
    job_faults,
    refusal_faults,
    renewal_faults,
    saying_faults,
)
from demo.verdict import Dialect, Frame, count_faults, json_text, read

VERSION: Final = "3.0"
"""Of the client."""

_ACCESS_LIFETIME: Final = 2
_TEXT: Final = "And a shopping list, please"
_SOON: Final = 10.0
_TOKEN_TIMEOUT: Final = 30.0
_BETWEEN_TRIES: Final = 0.1
_ME: Final = "/api/auth/me/"


class ThirdAct:
    """One run of it.

    Attributes:
        found: how many findings there are.
    """

    def __init__(self, screen: Screen, http: aiohttp.ClientSession, job: str, access: str) -> None:
        """Nothing is started yet.

        Args:
            screen: where it is shown.
            http: makes the calls.
            job: the id of a job that is done.
            access: a token of its owner, from the first server, good for an hour.
        """
        self.found = 0
        self._screen = screen
        self._http = http
        self._job = job
        self._access = access
        self._claims: list[tuple[str, list[str]]] = []

    async def run(self, state: Path, logs: Path, account: Mapping[str, str]) -> None:
        """Start both programs, show the three things, say what differs, end the programs.

        Raises:
            ShowFailed: something did not start, ended early, or did not answer.
        """
        screen = self._screen
        screen.heading(f"Third act: a client {VERSION}, demo/third/config.yaml")
        screen.line("Starting the old server and the proxy once more ...")
        plan = Plan(
            prefix="third",
            config=ROOT / "demo" / "third" / "config.yaml",
            settings={},
            flags=("--access-lifetime", str(_ACCESS_LIFETIME)),
            server_state=state,
            proxy_state=state / "third-proxy",
            logs=logs,
        )
        async with on_stage(self._http, plan) as stage:
            await stage.play(self._play(stage.where, account))

    async def _play(self, where: Where, account: Mapping[str, str]) -> None:
        server = Rest(self._http, f"http://{where.backend}")
        server.access = self._access
        client = Rest(self._http, f"http://{where.proxy}", version=VERSION)
        login = await client.call("POST", "/api/auth/login/", dict(account))
        client.access = str(login.json()["access"])

        self._screen.heading("A rule towards the server: say-to-chat")
        await self._say(where, client.access)
        self._screen.heading("The body of an HTTP route: job-bodies")
        await self._read_the_job(server, client)
        self._screen.heading(f"A renewal: access tokens live {_ACCESS_LIFETIME} seconds here")
        admin = Rest(self._http, f"http://{where.admin}")
        await self._outlive_the_token(server, client, admin)

        self._screen.heading("Verdict of the third act")
        wrong = count_faults(await message_counts(admin), EXPECTED_COUNTS)
        self._claims.append(("the proxy's metrics count the same messages", wrong))
        for claim, faults in self._claims:
            report.finding(self._screen, claim, faults)
            self.found += len(faults)

    async def _say(self, where: Where, access: str) -> None:
        news = asyncio.Event()
        direct = Client("direct", "", Dialect.OLD)
        client = Client(f"client {VERSION}", "", Dialect.NEW, query=f"client_version={VERSION}")

        async def until(condition: Callable[[], bool]) -> None:
            """Wait until it holds, but not for ever: what is missing then is a finding."""
            try:
                async with asyncio.timeout(_SOON):
                    while not condition():
                        news.clear()
                        await news.wait()
            except TimeoutError:
                return

        async with AsyncExitStack() as sockets:
            for one, origin, token in (
                (direct, where.backend, self._access),
                (client, where.proxy, access),
            ):
                await sockets.enter_async_context(
                    one.connected(self._http, f"http://{origin}", self._job, token, news.set)
                )
            await direct.say(kind="say", text=_TEXT)
            await until(lambda: bool(direct.frames) or not direct.is_open)
            answered = len(direct.frames)
            await client.say(kind="say", text=_TEXT)
            await until(
                lambda: (
                    (len(direct.frames) > answered or not direct.is_open)
                    and (bool(client.frames) or not client.is_open)
                )
            )
        refused, heard = direct.frames[:answered], direct.frames[answered:]
        said = json_text((("kind", "say"), ("text", _TEXT)))
        self._screen.line(f"  client {VERSION} says    ", Span(said, Style.NEW))
        self._told("said to the server", refused, "message", Style.BAD)
        self._told("said through Segue", heard, "content", Style.GOOD)
        self._claims += [
            ('the old server does not know "say"', refusal_faults(refused)),
            ("through Segue it hears the same words as a chat", saying_faults(_TEXT, heard)),
        ]

    def _told(self, who: str, frames: list[Frame], field: str, style: Style) -> None:
        """Write what the server sent, and one field of it."""
        for frame in frames:
            head = f"  {who:<19}"
            value = json_text(dict(frame.content or ()).get(field))
            room = self._screen.room - len(head) - len(harmless(frame.kind)) - 2
            self._screen.line(
                head, Span(harmless(frame.kind), style), f"  {value_text(value, room)}"
            )

    async def _read_the_job(self, server: Rest, client: Rest) -> None:
        path = f"/api/jobs/{self._job}/"
        answers: list[Answer] = [await one.call("GET", path) for one in (server, client)]
        sent, got = (read(answer.body) for answer in answers)
        self._screen.line(f"  GET {path}")
        width = (self._screen.room - 5) // 2
        self._screen.beside(
            [
                (width, [(Span("  the server answers", Style.DIM),)]),
                (width, [(Span(f"client {VERSION} reads", Style.DIM),)]),
            ]
        )
        for before, after in changed_fields(sent, got):
            cells = []
            for (name, value), style, indent in (
                (before, Style.OLD, "  "),
                (after, Style.NEW, ""),
            ):
                shown = value_text(json_text(value), width - len(indent) - len(name) - 1)
                line = (indent, Span(harmless(name), style), f" {shown}")
                cells.append((width, [line]))
            self._screen.beside(cells)
        self._claims.append(
            ("the job has the fields of the newer client, all values equal", job_faults(sent, got))
        )

    async def _outlive_the_token(self, server: Rest, client: Rest, admin: Rest) -> None:
        server.access = client.access
        answer = await server.call("GET", _ME)
        try:
            async with asyncio.timeout(_TOKEN_TIMEOUT):
                while answer.status == 200:
                    await asyncio.sleep(_BETWEEN_TRIES)
                    answer = await server.call("GET", _ME)
        except TimeoutError:
            # A token that does not end is a finding.
            pass
        same = await client.call("GET", _ME)
        self._screen.line("  The client's token has ended; it goes on with it.")
        for status, who in ((answer.status, "the server itself"), (same.status, "through Segue")):
            style = Style.GOOD if status == 200 else Style.BAD
            self._screen.line(f"  GET {_ME}  ", Span(str(status), style), f"  {who}")
        wrong = renewal_faults(answer.status, same.status, await renewals(admin))
        self._claims.append(
            ("a token that has ended: 401 from the server, 200 through Segue, renewed", wrong)
        )
