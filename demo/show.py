"""The show: an old server, the proxy before it, three clients of different ages, a verdict.

That is the first act. The second one, in which a switch is turned, is in `demo.second`; the third,
with a client of yet another age, in `demo.third`; the fourth, with a mapping that is broken, in
`demo.fourth`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from demo import logs, report
from demo.clients import Client
from demo.faults import ShowFailed
from demo.fourth.play import FourthAct
from demo.invitation import invitation
from demo.rest import ACCOUNT, Rest, message_counts
from demo.rows import Rows
from demo.screen import Screen, Span, Style
from demo.second.play import SecondAct
from demo.stage import Plan, Where, on_stage
from demo.third.play import ThirdAct
from demo.verdict import Dialect, count_faults, expected_counts, faults, missing_kinds

DEFAULT_VERSION: Final = "2.0"
"""`versions.default` for the client that tells no version: it gets the new frames."""

_BACKEND_PORT: Final = 8000
_PROXY_PORT: Final = 8080
_ADMIN_PORT: Final = 9090
_SCRIPT_DELAY: Final = 0.4
_SCRIPT_TIMEOUT: Final = 60.0
_CATCH_UP_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        config: the proxy's configuration file.
        once: whether to end when the script is through.
        fast: whether the script plays without pauses.
        logs: the directory of the logs; None: `.demo/logs`.
    """

    config: Path
    once: bool = False
    fast: bool = False
    logs: Path | None = None


class Show:
    """One demonstration.

    Attributes:
        differences: how many findings the verdict has; None before it is reached.
    """

    def __init__(self, options: Options, screen: Screen) -> None:
        self.differences: int | None = None
        self._options = options
        self._screen = screen
        self._logs: Path | None = None
        self._news = asyncio.Event()
        self._server = Client(
            "direct", "straight to the server, beside the proxy: what the server sent", Dialect.OLD
        )
        self._clients = (
            Client(
                "new client",
                "2.1.0, told by the subprotocol client-version.2.1.0",
                Dialect.NEW,
                subprotocols=("client-version.2.1.0",),
            ),
            Client(
                "old client",
                "1.4.0, told by the query, ?client_version=1.4.0",
                Dialect.OLD,
                query="client_version=1.4.0",
            ),
            Client(
                "no version",
                f"tells none, as today's clients do; versions.default is {DEFAULT_VERSION} here",
                Dialect.NEW,
            ),
        )

    async def run(self) -> None:
        """Start everything, play the script, give the verdict; then stay, unless `once`.

        Raises:
            ShowFailed: something did not start, ended early, or did not answer in time.
        """
        screen = self._screen
        screen.line(Span("Segue: one old server, clients of every version", Style.HEADING))
        screen.line()
        with (
            logs.kept(self._options.logs) as self._logs,
            TemporaryDirectory(prefix="segue-demo-", ignore_cleanup_errors=True) as directory,
        ):
            async with aiohttp.ClientSession() as http:
                screen.line("Starting the old server (Django, Channels) and the proxy ...")
                plan = self._plan(Path(directory), self._logs)
                async with on_stage(http, plan) as stage:
                    await stage.play(self._play(http, stage.where, plan))

    def say_where_the_logs_are(self) -> None:
        """Write where what the programs said can be read; nothing where nothing was started."""
        if self._logs is not None:
            report.logs(self._screen, self._logs)

    def _plan(self, state: Path, directory: Path) -> Plan:
        return Plan(
            config=self._options.config,
            settings={
                "SEGUE_VERSIONS__DEFAULT": DEFAULT_VERSION,
                "SEGUE_RELOAD__WATCH": "true",
            },
            flags=("--script-delay", "0" if self._options.fast else str(_SCRIPT_DELAY)),
            server_state=state,
            proxy_state=state / "proxy",
            logs=directory,
            ports=(_BACKEND_PORT, _PROXY_PORT, _ADMIN_PORT),
        )

    async def _play(self, http: aiohttp.ClientSession, where: Where, plan: Plan) -> None:
        screen = self._screen
        report.places(screen, where)
        rest = Rest(http, f"http://{where.proxy}")
        direct = Rest(http, f"http://{where.backend}")
        account = ACCOUNT

        screen.heading("REST, through the proxy")
        answer = await rest.shown(screen, "POST", "/api/auth/register/", 201, account)
        rest.access = direct.access = str(answer.json()["access"])
        answer = await rest.shown(
            screen, "POST", "/api/jobs/", 201, {"prompt": "A recipe box for our café"}
        )
        job = str(answer.json()["id"])

        screen.heading("WebSockets, four on this job")
        report.clients(screen, (self._server, *self._clients))
        screen.line()
        complaints = await self._watch(http, where, job, account)

        screen.heading("REST, when the job is done")
        for path in (f"/api/jobs/{job}/", f"/api/apps/by-job/{job}/"):
            answer = await rest.shown(screen, "GET", path, 200)
            if answer != await direct.call("GET", path):
                complaints.append(f"GET {path}: not what the server answers")

        found = await self._judge(Rest(http, f"http://{where.admin}"), complaints)
        second = SecondAct(screen, http, where, fast=self._options.fast)
        await second.run()
        third = ThirdAct(screen, http, job, direct.access)
        await third.run(plan.server_state, plan.logs, account)
        fourth = FourthAct(screen, http)
        await fourth.run(plan.server_state, plan.logs)
        self.differences = found + second.found + third.found + fourth.found
        report.conclusion(screen, self.differences)
        if not self._options.once:
            invitation(screen, where, plan.config, plan.logs)
            await asyncio.Event().wait()

    async def _watch(
        self,
        http: aiohttp.ClientSession,
        where: Where,
        job: str,
        account: dict[str, str],
    ) -> list[str]:
        """Play the script before the four; return what took too long."""
        everybody = (self._server, *self._clients)
        complaints = []
        rows = Rows(self._screen, self._server, self._clients)
        rows.head()
        async with AsyncExitStack() as sockets:
            for client in everybody:
                origin = where.backend if client is self._server else where.proxy
                # Each with a login of its own: who shares a session shares the version seen in it.
                login = await Rest(http, f"http://{origin}").call(
                    "POST", "/api/auth/login/", account
                )
                token = str(login.json()["access"])
                await sockets.enter_async_context(
                    client.connected(http, f"http://{origin}", job, token, self._news.set)
                )
            await self._clients[0].say(kind="chat", content="Recipes, sorted by season, please")
            if not await self._until(rows, _SCRIPT_TIMEOUT, lambda: self._server.saw_the_end):
                raise ShowFailed(
                    f"the server's script did not end within {_SCRIPT_TIMEOUT:g} seconds"
                )
            sent = len(self._server.frames)
            if not await self._until(
                rows,
                _CATCH_UP_TIMEOUT,
                lambda: all(len(c.frames) >= sent or not c.is_open for c in everybody),
            ):
                complaints.append(f"not everybody had {sent} frames in time")
            for client in everybody:
                if client.is_open:
                    await client.say(kind="goodbye")
            if not await self._until(
                rows,
                _CATCH_UP_TIMEOUT,
                lambda: all(c.was_answered or not c.is_open for c in everybody),
            ):
                complaints.append("not everybody got an answer to the last message in time")
            complaints += [
                f"{client.name}: the connection was closed"
                for client in everybody
                if not client.is_open
            ]
        while any(rows.shown < len(client.frames) for client in everybody):
            rows.show()
        return complaints

    async def _until(self, rows: Rows, timeout: float, condition: Callable[[], bool]) -> bool:
        """Show what arrives until the condition holds; False if it does not in time (seconds)."""
        everybody = (self._server, *self._clients)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while all(rows.shown < len(client.frames) for client in everybody):
                        rows.show()
                    if condition():
                        return True
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False

    async def _judge(self, admin: Rest, complaints: list[str]) -> int:
        """Compare everything with what is expected and print it; return the number of findings."""
        sent = self._server.frames
        screen = self._screen
        screen.heading("What became of the kinds")
        report.kinds(screen, self._server, self._clients)
        screen.heading("Verdict")
        complaints += [f"the server never sent {kind}" for kind in missing_kinds(sent)]
        found = len(complaints)
        for client in self._clients:
            wrong = faults(client.dialect, sent, client.frames)
            found += len(wrong)
            report.finding(screen, report.summary(client, sent), wrong)
        counts = await message_counts(admin)
        expected = expected_counts(
            sent,
            old=sum(client.dialect is Dialect.OLD for client in self._clients),
            new=sum(client.dialect is Dialect.NEW for client in self._clients),
            from_clients=sum(client.sent for client in self._clients),
        )
        wrong = count_faults(counts, expected)
        found += len(wrong)
        report.finding(screen, "the proxy's metrics count the same messages", wrong)
        report.counts(screen, counts)
        if complaints:
            report.finding(screen, "everything else", complaints)
        return found
