"""The switch as the admin API shows it and turns it, by the Unix socket in the state directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp

from demo.faults import ShowFailed
from demo.rest import Answer, Rest, shadow_counts
from demo.second.script import CANARY, PERCENT, SWITCH, Step
from demo.stage import Where
from proxy.admin.unix_socket import SOCKET, short_name

_API: Final = "/api/v1"
_OPEN_SOCKETS: Final = "next_message"


class Sight(NamedTuple):
    """The switch now.

    Attributes:
        state: such as `canary 50%`.
        revision: that turned it last; 0 for none.
        behind: open WebSockets of its cohort that are on an earlier revision.
        inside, outside: about how many users a canary has seen on each side; None where it is none.
    """

    state: str
    revision: int
    behind: int
    inside: int | None
    outside: int | None


class Turned(NamedTuple):
    """A revision that was made.

    Attributes:
        number, author, role, reason: as the proxy keeps them.
        open_sockets: what open WebSockets do.
        behind: how many of them are on an earlier revision all the same.
    """

    number: int
    author: str
    role: str
    reason: str
    open_sockets: str
    behind: int


class Board:
    """The switch of the second act.

    Attributes:
        admin: makes other calls to the admin listener.
    """

    def __init__(self, admin: Rest) -> None:
        self.admin = admin

    async def look(self) -> Sight:
        """Read the switch.

        Raises:
            ShowFailed: there is none, or no answer.
        """
        answer = await self.admin.call("GET", f"{_API}/switches/{SWITCH}")
        _check(answer, f"the switch {SWITCH}")
        view = answer.json()
        percent = view["percent"]
        users = view["users"] or {}
        return Sight(
            view["state"] if percent is None else f"{view['state']} {percent:g}%",
            view["revision"],
            view["sockets_behind"],
            users.get("inside"),
            users.get("outside"),
        )

    async def shadowed(self) -> Mapping[str, int]:
        """Read what would have become of messages that came by in shadow, by outcome.

        Raises:
            ShowFailed: the metrics page could not be read.
        """
        return await shadow_counts(self.admin, SWITCH)

    async def newest(self) -> int:
        """Read the number of the newest revision, of whatever switch.

        Raises:
            ShowFailed: there was no answer.
        """
        answer = await self.admin.call("GET", f"{_API}/switches")
        _check(answer, "the switches")
        number: int = answer.json()["revision"]
        return number

    async def take(self, step: Step, start: int, newest: int) -> Turned:
        """Make the change of a step.

        Args:
            step: one that turns the switch.
            start: the revision before the first of them.
            newest: the revision before this one.

        Raises:
            ShowFailed: it was refused, or there was no answer.
        """
        order: dict[str, Any] = {"reason": step.reason, "open_sockets": _OPEN_SOCKETS}
        if step.undoes:
            method, path, built_on = "POST", f"{_API}/undo", newest
            if step.to_start:
                order["to"] = start
        else:
            method, path = "PUT", f"{_API}/switches/{SWITCH}"
            built_on = (await self.look()).revision
            order["state"] = step.state.partition(" ")[0]
            if step.state == CANARY:
                order["percent"] = PERCENT
        condition = {"If-Match": f'"{built_on}"'}
        answer = await self.admin.call(method, path, order, condition)
        _check(answer, f"{step.title}: the change")
        document = answer.json()
        revision = document["revision"]
        number = revision["number"]
        return Turned(
            number,
            revision["author"],
            revision["role"],
            revision["reason"],
            revision["open_sockets"],
            sum(each["websockets"] for each in document["sockets"] if each["revision"] != number),
        )


@asynccontextmanager
async def board_of(where: Where) -> AsyncIterator[Board]:
    """The board of the proxy that runs with this state directory."""
    # The name is short whatever TMPDIR is: an address has room for 107 bytes.
    with short_name(where.proxy_state / SOCKET) as path:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http:
            yield Board(Rest(http, "http://localhost"))


def _check(answer: Answer, what: str) -> None:
    if answer.status == 200:
        return
    detail = answer.json().get("detail")
    raise ShowFailed(f"{what}: the admin API answered {answer.status}: {detail}")
