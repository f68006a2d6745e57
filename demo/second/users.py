"""The users of the second act: their logins, their jobs, their WebSockets, what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import aiohttp

from demo.clients import Client
from demo.rest import ACCOUNT, Rest
from demo.second.judgement import Cut, Seen
from demo.stage import Where
from demo.verdict import Dialect

SWITCHED: Final = 8
"""Users whose clients are of the cohort whose switch is turned. One of them has logged in twice,
and one user more has an older client."""

_Result = TypeVar("_Result")

_NEW: Final = "2.1.0"
_OLD: Final = "1.4.0"
_PROMPT: Final = "A recipe box"
_AGENT: Final = {"role": "assistant", "sender": "Clock"}
_SAYING: Final = "What do we get now?"


class Seat:
    """One WebSocket through Segue, and one of the same job straight to the server.

    Attributes:
        user: whose it is.
        version: that the client tells.
        is_switched: whether it is of the cohort whose switch is turned.
        client: the one through Segue.
        direct: the other one, which says what the server sent.
        cuts: the steps of the act, as the client saw them.
    """

    def __init__(self, user: str, again: str = "", version: str = _NEW) -> None:
        self.user = user
        self.version = version
        self.is_switched = version == _NEW
        dialect = Dialect.NEW if self.is_switched else Dialect.OLD
        query = f"client_version={version}"
        self.client = Client(f"{user}{again}", "", dialect, query=query)
        self.direct = Client(f"{user}, at the server", "", Dialect.OLD)
        self.cuts: list[Cut] = []

    @property
    def seen(self) -> Seen:
        """What came over it."""
        client, direct = self.client, self.direct
        return Seen(
            client.name, self.user, self.is_switched, direct.frames, client.frames, self.cuts
        )

    def heard(self, text: str) -> int | None:
        """The index of what the server said with these words; None: it did not yet say so."""
        return next(
            (
                index
                for index, frame in enumerate(self.direct.frames)
                if ("content", text) in (frame.content or ())
            ),
            None,
        )

    def has_heard(self, text: str) -> bool:
        """Whether that has come to the client too."""
        index = self.heard(text)
        return index is not None and len(self.client.frames) > index

    @property
    def is_open(self) -> bool:
        """Whether more can come on both."""
        return self.client.is_open and self.direct.is_open


class Users:
    """Everybody of the act.

    Attributes:
        seats: their WebSockets.
    """

    def __init__(self, http: aiohttp.ClientSession, where: Where) -> None:
        self.seats: list[Seat] = []
        self._http = http
        self._where = where
        self._jobs: list[tuple[Seat, str, str]] = []

    @property
    def seen(self) -> list[Seen]:
        """What each of them has got."""
        return [seat.seen for seat in self.seats]

    @asynccontextmanager
    async def seated(self, news: Callable[[], None]) -> AsyncIterator[None]:
        """Registered, each with a job, and connected.

        Raises:
            ShowFailed: something of it was refused, or there was no answer.
        """
        seats = [Seat(f"user {number}") for number in range(1, SWITCHED + 1)]
        seats.append(Seat("old client", version=_OLD))
        self._jobs = await _all(map(self._registered, seats))
        again = Seat(seats[0].user, ", again")
        _, job, _ = self._jobs[0]
        places = [*self._jobs[:1], (again, job, await self._login(again)), *self._jobs[1:]]
        async with AsyncExitStack() as sockets:
            await _all(self._connect(sockets, *place, news) for place in places)
            self.seats = [seat for seat, _, _ in places]
            yield

    async def _connect(
        self,
        sockets: AsyncExitStack,
        seat: Seat,
        job: str,
        access: str,
        news: Callable[[], None],
    ) -> None:
        for client, origin in (
            (seat.direct, self._where.backend),
            (seat.client, self._where.proxy),
        ):
            await sockets.enter_async_context(
                client.connected(self._http, f"http://{origin}", job, access, news)
            )

    async def _registered(self, seat: Seat) -> tuple[Seat, str, str]:
        rest = Rest(self._http, f"http://{self._where.proxy}", seat.version)
        body = _account(seat)
        rest.access = (await rest.expected("POST", "/api/auth/register/", 201, body)).text("access")
        answer = await rest.expected("POST", "/api/jobs/", 201, {"prompt": _PROMPT})
        return seat, answer.text("id"), rest.access

    async def _login(self, seat: Seat) -> str:
        rest = Rest(self._http, f"http://{self._where.proxy}", seat.version)
        answer = await rest.expected("POST", "/api/auth/login/", 200, _account(seat))
        return answer.text("access")

    async def told(self, text: str) -> None:
        """Have the server say something to each of them, which wakes no agents.

        Raises:
            ShowFailed: it did not take it.
        """
        await _all(self._told(job, access, text) for _, job, access in self._jobs)

    async def _told(self, job: str, access: str, text: str) -> None:
        server = Rest(self._http, f"http://{self._where.backend}")
        server.access = access
        body = {"job_id": job, **_AGENT, "content": text}
        await server.expected("POST", "/api/job-messages/", 201, body)

    async def speak(self, step: int, steps: int) -> None:
        """Have some of them speak to their agents, so that a script is played at every step.

        Args:
            step: which.
            steps: how many there are; at the last one nobody speaks, so that it ends soon.

        Raises:
            ShowFailed: a connection is closed.
        """
        for number, (seat, _, _) in enumerate(self._jobs):
            if number * (steps - 1) // len(self._jobs) == step:
                await seat.client.say(kind="chat", content=_SAYING)

    @property
    def scripts_are_through(self) -> bool:
        """Whether everybody has got the end of their script, and all that the server sent."""
        return all(
            seat.direct.saw_the_end and len(seat.client.frames) >= len(seat.direct.frames)
            for seat in self.seats
        )


async def _all(works: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Do all at the same time; where one fails the others still end before that is told."""
    done = await asyncio.gather(*works, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if not isinstance(each, BaseException)]


def _account(seat: Seat) -> dict[str, str]:
    name = seat.user.replace(" ", "-")
    return {"email": f"{name}@example.org", "password": ACCOUNT["password"]}
