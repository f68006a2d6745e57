"""Answers what is asked of switches and revisions.

What is shown are the programs in force in the process that answers. The answer to a change waits,
for a while, until it has been brought to the open WebSockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import pydantic
from aiohttp import web

from proxy.admin.access import author
from proxy.admin.endpoints import Served
from proxy.admin.orders import NO_STORE, BadRequest, refusal
from proxy.admin.roles import BeyondLimits
from proxy.admin.switch_endpoints import (
    ALL_OFF,
    DROP,
    LIST,
    RESTORE,
    RESTORE_SWITCH,
    REVISION,
    REVISION_TAG,
    REVISIONS,
    SET,
    SHOW,
    UNDO,
    AllOffRequest,
    ChangeRequest,
    DropQuery,
    RevisionsQuery,
    SetRequest,
    UndoRequest,
)
from proxy.admin.switch_views import Changed, RevisionPage
from proxy.admin.switches_shown import (
    dry_run_view,
    not_kept_view,
    revision_view,
    sockets_on_revisions,
    switch_view,
    switches_view,
)
from proxy.control.switchboard import Author, Made, Switchboard
from proxy.errors import StoreAway
from proxy.gateway.flow import Flow
from proxy.gateway.rollover import Rollover
from proxy.gateway.shadow import Shadows
from proxy.switching.changes import (
    AllOff,
    Change,
    Restore,
)
from proxy.switching.history import Revision
from proxy.switching.limits import Limits
from proxy.switching.refusal import ChangeRefused, Why
from proxy.switching.setting import Mode, Setting, share_of
from proxy.switching.switch_changes import (
    DropException,
    RestoreSwitch,
    SetSwitch,
)
from proxy.switching.table import OpenSockets, SwitchName, Term
from proxy.versions.version import parse_range

_PATIENCE: Final = 5.0
"""Seconds for which an answer waits until a change has been brought to all open sockets."""

_STATUS: Final = {
    Why.UNKNOWN: 404,
    Why.INVALID: 400,
    Why.CONFLICT: 409,
    Why.CHANGED: 412,
    Why.UNCONDITIONAL: 428,
    Why.AUTHORITY: 409,
    Why.CLOSED: 409,
}

_PROBLEMS: Final = {Why.AUTHORITY: "configuration-authority"}
"""What the `type` of the problem document ends with; see `proxy.cli.exit_codes`."""


Answer = web.Response | pydantic.BaseModel


class SwitchOrders:
    """Answers the requests."""

    def __init__(
        self, board: Switchboard, rollover: Rollover, flow: Flow, shadows: Shadows
    ) -> None:
        """Construct.

        Args:
            board: takes the changes.
            rollover: knows what is brought to open sockets.
            flow: knows how much flows.
            shadows: know what switches in shadow would do.
        """
        self._board = board
        self._rollover = rollover
        self._flow = flow
        self._shadows = shadows

    def endpoints(self) -> tuple[Served, ...]:
        """What operators may ask, and what carries it out."""
        return (
            (LIST, self.show_all),
            (SHOW, self.show),
            (SET, self.set),
            (DROP, self.drop),
            (RESTORE_SWITCH, self.restore_switch),
            (ALL_OFF, self.all_off),
            (RESTORE, self.restore),
            (REVISIONS, self.revisions),
            (REVISION, self.revision),
            (UNDO, self.undo),
        )

    async def show_all(self, _: web.Request) -> Answer:
        """Show all switches."""
        return switches_view(self._board.current, self._rollover)

    async def show(self, request: web.Request) -> Answer:
        """Show one switch."""
        switch = switch_of(request)
        if switch not in self._board.current.in_force.first:
            return refusal(404, f"there is no switch `{switch}`; GET /switches lists them")
        view = switch_view(self._board.current, self._rollover, switch)
        tag = {"ETag": f'"{view.revision}"', **NO_STORE}
        return web.Response(
            text=view.model_dump_json(), content_type="application/json", headers=tag
        )

    async def set(self, request: web.Request, order: SetRequest) -> Answer:
        """Turn a switch, or make an exception for some versions; or say what that would touch."""
        try:
            setting = _setting(order)
            change = SetSwitch(
                switch_of(request),
                setting,
                None if order.versions is None else parse_range(order.versions),
                order.name or "",
                self._term(request, order, setting),
                expected_of(request),
            )
        except ValueError as error:
            return refusal(400, str(error))
        if change.versions is not None:
            cohorts = self._board.current.cohorts
            wrong = cohorts.never_met(change.switch.cohort, change.versions)
            if wrong:
                return refusal(422, f"versions: {wrong}")
        if order.dry_run:
            return await self._dry(change, author(request).limits, order.owner)
        return await self.made(request, change, order.reason, order.open_sockets, order.owner)

    async def drop(self, request: web.Request, order: DropQuery) -> Answer:
        """Take an exception of a switch away."""
        name = request.match_info["name"]
        change = DropException(switch_of(request), name, expected_of(request))
        return await self.made(request, change, order.reason, order.open_sockets)

    async def restore_switch(self, request: web.Request, order: ChangeRequest) -> Answer:
        """End what was set of a switch: it is as the configuration says again."""
        change = RestoreSwitch(switch_of(request), expected_of(request))
        return await self.made(request, change, order.reason, order.open_sockets)

    async def all_off(self, request: web.Request, order: AllOffRequest) -> Answer:
        """Have everything pass as it is, on open WebSockets from the next message on."""
        return await self.made(request, AllOff(), order.reason, None)

    async def restore(self, request: web.Request, order: ChangeRequest) -> Answer:
        """End that everything passes as it is: switches are what they are set to again."""
        change = Restore(expected_of(request))
        return await self.made(request, change, order.reason, order.open_sockets)

    async def undo(self, request: web.Request, order: UndoRequest) -> Answer:
        """Take back the newest change, or all since an earlier revision: by a new revision."""
        expected = expected_of(request)
        return await self._answered(
            lambda: self._board.undo(
                order.to, expected, _author(request), order.reason, order.open_sockets
            ),
            None,
            expected,
        )

    async def revisions(self, _: web.Request, query: RevisionsQuery) -> Answer:
        """Show what was done to the switches, the newest first."""
        try:
            found = await self._board.current.history.page(query.before, query.limit)
        except StoreAway as error:
            return self._away(error)
        return RevisionPage(revisions=[revision_view(each) for each in found])

    async def revision(self, request: web.Request) -> Answer:
        """Show one revision."""
        number = request.match_info["number"]
        try:
            found = None
            if number.isascii() and number.isdecimal() and 0 < len(number) <= 15:
                found = await self._board.current.history.revision(int(number))
        except StoreAway as error:
            return self._away(error)
        if found is None:
            return refusal(404, "there is no such revision, or it is not kept any more")
        return revision_view(found[0])

    def name_of(self, request: web.Request) -> str:
        """Who asks."""
        return author(request).name

    async def _dry(self, change: SetSwitch, limits: Limits, owner: str) -> Answer:
        try:
            after = self._board.preview(change, limits)
        except ChangeRefused as refused:
            return await self._refused(refused, change.switch, change.expected)
        return await dry_run_view(
            self._board.current,
            self._rollover,
            change,
            after,
            owner,
            await self._flow.rates(),
            self._shadows.account(str(change.switch)),
            is_dropped=self._shadows.was_dropped(str(change.switch)),
        )

    async def made(
        self,
        request: web.Request,
        change: Change,
        reason: str,
        open_sockets: OpenSockets | None,
        owner: str = "",
    ) -> Answer:
        """Make a change, and say what came of it.

        Args:
            request: of whoever asks.
            change: to be made.
            reason: why.
            open_sockets: what open WebSockets do; None: as the configuration says.
            owner: who is named for it; empty for nobody.
        """
        switch = getattr(change, "switch", None)
        return await self._answered(
            lambda: self._board.change(change, _author(request), reason, open_sockets),
            switch,
            getattr(change, "expected", None),
            owner,
        )

    async def _answered(
        self,
        make: Callable[[], Awaitable[Made]],
        switch: SwitchName | None,
        expected: int | None,
        owner: str = "",
    ) -> Answer:
        try:
            made = await make()
        except ChangeRefused as refused:
            return await self._refused(refused, switch, expected)
        except StoreAway as error:
            return self._away(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._rollover.finished()
        return Changed(
            revision=None if made.revision is None else revision_view(made.revision),
            changed=made.changed,
            sockets=sockets_on_revisions(self._rollover),
            not_kept=not_kept_view(made.not_kept, owner),
        )

    async def _refused(
        self, refused: ChangeRefused, switch: SwitchName | None, expected: int | None
    ) -> web.Response:
        text = str(refused)
        if refused.why is Why.LIMITED:
            raise BeyondLimits(text)
        if refused.why is Why.CHANGED and expected is not None:
            with suppress(StoreAway):
                text += _meanwhile(
                    await self._board.current.history.page(None, 100), switch, expected
                )
        return refusal(_STATUS[refused.why], text, kind=_PROBLEMS.get(refused.why))

    def _away(self, error: StoreAway) -> web.Response:
        since = self._board.current.away_since
        told = "" if since is None else f", for {time.time() - since:.0f} seconds now"
        text = (
            f"the store of switches is away{told}: {error.detail}. What is in force stays. When it"
            " is back, look at `segue history` first (GET /revisions): a change that was being"
            " written may have been made. To have nothing rewritten without the store, take the"
            " mappings from the cohorts in the configuration, and `segue reload`"
        )
        return refusal(503, text, {"Retry-After": "5"})

    def _term(self, request: web.Request, order: SetRequest, setting: Setting) -> Term:
        is_temporary = setting.mode in (Mode.CANARY, Mode.SHADOW) or order.versions is not None
        until = None if order.seconds is None else time.time() + order.seconds
        if order.restore and until is None:
            raise ValueError("restore: say after how many seconds")
        if not (is_temporary or until is not None or order.owner):
            return Term()
        return Term(order.owner or author(request).name, until, restore=order.restore)


def _setting(order: SetRequest) -> Setting:
    if (order.percent is None) is (order.state is Mode.CANARY):
        raise ValueError("percent: a canary has one, and nothing else does")
    if (order.versions is None) is not (order.name is None):
        raise ValueError("an exception has both versions and a name")
    return Setting(order.state, 0 if order.percent is None else share_of(order.percent))


def switch_of(request: web.Request) -> SwitchName:
    """The switch that the path names."""
    return SwitchName(request.match_info["cohort"], request.match_info["mapping"])


def _author(request: web.Request) -> Author:
    principal = author(request)
    return Author(str(principal), principal.role.value, principal.limits)


def expected_of(request: web.Request) -> int | None:
    """The revision that `If-Match` names.

    Raises:
        BadRequest: it names none.
    """
    values = request.headers.getall("If-Match", [])
    if not values:
        return None
    found = REVISION_TAG.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None:
        text = 'If-Match: expected the number of one revision, as "7" with its quotes'
        raise BadRequest(refusal(400, text))
    return int(found[1])


def _meanwhile(revisions: Iterable[Revision], switch: SwitchName | None, expected: int) -> str:
    """What was done since, for whoever built on an older revision."""
    told = [
        f"revision {each.number} by {each.author} ({each.kind}: {each.reason})"
        for each in revisions
        if each.number > expected and (switch is None or str(switch) in each.scope)
    ]
    return f"; meanwhile: {'; '.join(told[:3])}" if told else ""
