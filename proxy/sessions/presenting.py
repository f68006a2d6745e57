"""Presenting a session's refresh token under its lease, and what follows from the answer.

Whoever holds the lease looks whether somebody else was faster, writes down which token is about to
be presented, presents it, and writes down what came of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import OutOfResources, StoreAway, UpstreamError
from proxy.http.headers import RawFields
from proxy.http.responses import PASSING
from proxy.sessions import rules
from proxy.sessions.cache import CachedSession, RenewalOutcome
from proxy.sessions.carried_fields import picked
from proxy.sessions.client_refresh import ClientRefresh, RefreshAnswer, RefreshRequest
from proxy.sessions.issued import sealed
from proxy.sessions.metrics import Trigger
from proxy.sessions.pace import Sign
from proxy.sessions.record import HandleKind, Record
from proxy.sessions.refresh_call import Connect, present
from proxy.sessions.repository import SessionRepository, handle_in
from proxy.sessions.rules import Presenting, Tokens, Verdict
from proxy.tokens.bodies import JSON, error_codes, own_refresh, read_pair
from proxy.tokens.credentials import for_host
from proxy.tokens.sealing import Unsealable
from proxy.upstream.health import SignsOfLife

_FIRST_PAUSE: Final = 1.0
_UNKNOWN_PAUSE: Final = 5.0
"""Seconds until a refresh is tried again: after a failure, doubling; after an answer was lost."""

_ASKED_FOR: Final = frozenset({Trigger.CLIENT, Trigger.LOGOUT})
"""What a client does by itself."""

_REFUSED: Final = "refused"
_LOST: Final = "lost"
"""Why a session is closed that nobody has ended, for log and metrics."""

_SECOND_LOOKS: Final = (0.0, 0.5, 1.5, 3.0)
"""Seconds between looks for a newer generation, where a token is refused that somebody may have
presented before. One is enough, unless the one who got its answer may still be writing it down, or
putting it back into a store that lost it; that takes until that process notices the loss."""


class Wish(NamedTuple):
    """Why tokens are to be renewed, and for whom.

    Attributes:
        seen: the generation whose access token will not do.
        trigger: why not.
        context: the fields that a refresh of Segue's own goes with.
        asked: the refresh that a client asks for by itself; None for one of Segue's own.
    """

    seen: int
    trigger: Trigger
    context: RawFields
    asked: ClientRefresh | None = None


class Presenter:
    """Does it, for whoever holds the lease."""

    def __init__(
        self,
        repository: SessionRepository,
        connect: Connect,
        settings: Callable[[], SessionSettings],
        log: FilteringBoundLogger,
        signs: SignsOfLife,
    ) -> None:
        self._repository = repository
        self._signs = signs
        self._connect = connect
        self._settings = settings
        self._log = log
        self._told: set[int] = set()

    def is_over(self, cached: CachedSession, trigger: Trigger) -> bool:
        """Whether a session is not renewed because of its age or idleness, or was refused.

        It has not ended by that: what its client asks for by itself is for the server to judge. But
        what Segue asks for a logout is as what the server has refused already.
        """
        if trigger is Trigger.LOGOUT:
            return cached.record.refused is not None
        return trigger not in _ASKED_FOR and self._repository.clock.now() >= cached.over

    async def renew(self, cached: CachedSession, wish: Wish, fence: int) -> RenewalOutcome:
        """Do what is wished for, under the session's lease and just after reading it.

        Raises:
            StoreAway: it is not known, or not written down, how things stand.
        """
        repository, trigger = self._repository, wish.trigger
        record, now = cached.record, repository.clock.now()
        if record.ended is not None:
            return RenewalOutcome.ENDED
        # Who asks by itself is to get the server's own answer, whoever was faster.
        if record.generation > wish.seen and wish.asked is None:
            return RenewalOutcome.RENEWED
        if self.is_over(cached, trigger):
            return RenewalOutcome.ENDED
        try:
            token = repository.sealer.unseal(record.refresh)
        except Unsealable:
            return self.failed(cached, trigger, "unavailable")
        digests = repository.sealer.digests(token)
        if cached.condemned in digests and wish.asked is None:
            return await self._close(cached, record, trigger, _REFUSED, fence)
        may = rules.presenting(record, digests)
        if may is Presenting.NEVER:
            if now < cached.expires and trigger is not Trigger.REJECTED:
                return self.failed(cached, trigger, "unavailable")
            return await self._close(cached, record, trigger, _LOST, fence)
        tries = 1 if may is Presenting.FIRST else 2
        before = record.attempt
        if tries > 1 and before is not None and 0 <= now - before.begun < _UNKNOWN_PAUSE:
            # The answer was lost a moment ago, perhaps by another process: so the pause is for all.
            return self.failed(cached, trigger, "unavailable", Sign.ANSWER)
        if not await repository.update(
            cached,
            lambda current: _attempting(current, record.generation, digests[0], tries, now),
            fence,
        ):
            return _moved_on(cached, record.generation)
        try:
            answer = await present(
                self._connect, self._request(cached, wish, token), self._settings().timeout
            )
        except (UpstreamError, OutOfResources):
            # Nothing was sent: the token is as it was before.
            await self._write(cached, lambda current: replace(current, attempt=before), fence)
            return self.failed(cached, trigger, "unavailable", Sign.ANSWER)
        return await self._conclude(cached, record, wish, answer, token, tries, fence)

    def failed(
        self, cached: CachedSession, trigger: Trigger, result: str, after: Sign | None = None
    ) -> RenewalOutcome:
        """Count what did not succeed, and let a moment pass before it is tried again.

        Args:
            cached: the session.
            trigger: why its tokens were to be renewed.
            result: what came of it.
            after: the sign of life after which it may be tried again soon; None for none.
        """
        repository = self._repository
        repository.counts.refreshes[trigger.value, result] += 1
        pause = _UNKNOWN_PAUSE if result == "unknown" else _FIRST_PAUSE
        cached.pace.fail(repository.clock.steady(), pause, after, self._signs)
        repository.cache.failing(cached)
        return RenewalOutcome.UNAVAILABLE

    def _request(self, cached: CachedSession, wish: Wish, token: str) -> RefreshRequest:
        """What is sent to have a refresh token exchanged."""
        asked, settings = wish.asked, self._settings()
        if asked is None:
            own = own_refresh(token, settings.tokens.places)
            kinds = (b"Accept", JSON), (b"Content-Type", own.kind)
            target = settings.paths.refresh.encode()
            remembered = picked(self._repository.carried(cached), settings.carry)
            names = {name.lower() for name, _ in remembered}
            context = for_host(wish.context, cached.record.host.encode())
            context = [item for item in context if item[0].lower() not in names]
            fields = (*context, *remembered, *own.fields, *kinds)
            return RefreshRequest(target, fields, own.body)
        older = [each for each in asked.access_tokens if self._leads_to(cached, each)]
        return asked.request(token, older, cached.access)

    def _leads_to(self, cached: CachedSession, access: str) -> bool:
        token = self._repository.read_token(access)
        return token is not None and handle_in(cached, token, HandleKind.ACCESS) is not None

    async def _conclude(
        self,
        cached: CachedSession,
        record: Record,
        wish: Wish,
        answer: RefreshAnswer,
        token: str,
        tries: int,
        fence: int,
    ) -> RenewalOutcome:
        """Write down what the server's answer means.

        Args:
            record: as it was when its refresh token was presented.
        """
        repository, settings = self._repository, self._settings()
        trigger, asked = wish.trigger, wish.asked if answer.is_whole else None
        now, said = repository.clock.now(), answer.plain_body
        pair = None
        if 200 <= answer.status < 300:
            pair = read_pair(said, settings.tokens.places, answer.fields)
        issued = None if pair is None else sealed(repository.sealer, pair, now, token, record)
        verdict = rules.judge(
            answer.status,
            error_codes(said),
            readable=issued is not None,
            refusals=settings.refused,
        )
        if pair is not None and issued is not None:
            given = None
            if asked is not None:
                # One that gets no new refresh token goes on with its own, which leads here as ever.
                given = pair.access, asked.spelled if pair.refresh is None else pair.refresh
            rotated = pair.refresh not in (None, token)
            await self._succeed(cached, issued, token if rotated else None, given, fence, now)
            repository.counts.refreshes[trigger.value, "renewed"] += 1
            repository.counts.ages["renewed"].observe(now - record.created)
            if cached.record.ended is not None:
                return RenewalOutcome.ENDED  # Somebody has ended it meanwhile: they are for nobody.
            if asked is not None:
                until = repository.clock.steady() + settings.replay_window
                shared = asked.answer(answer, pair)
                repository.cache.answers.keep(
                    cached.record.session, shared, cached.record.generation, until
                )
            return RenewalOutcome.RENEWED
        if verdict is Verdict.REFUSED:
            cached.condemned = repository.sealer.digest(token)
            looks = (
                _SECOND_LOOKS if repository.in_doubt else _SECOND_LOOKS[: 1 if tries == 1 else 3]
            )
            outcome = await self._refused(cached, record, trigger, looks, fence)
            if asked is not None and outcome is RenewalOutcome.ENDED:
                asked.answer(answer)
            return outcome
        if asked is not None:
            asked.answer(answer)
        if verdict is Verdict.UNKNOWN:
            return self.failed(
                cached, trigger, "unknown", Sign.RECOVERY if answer.status else Sign.ANSWER
            )
        await self._write(cached, rules.unpresented, fence)
        if asked is not None and 400 <= answer.status < 500 and answer.status not in PASSING:
            # Perhaps it is what the client sent besides, of which Segue's own has nothing.
            repository.counts.refreshes[trigger.value, "unavailable"] += 1
            return RenewalOutcome.UNAVAILABLE
        self._ask_what_it_means(answer.status)
        return self.failed(cached, trigger, "unavailable", Sign.RECOVERY)

    async def _refused(
        self,
        cached: CachedSession,
        record: Record,
        trigger: Trigger,
        looks: Sequence[float],
        fence: int,
    ) -> RenewalOutcome:
        """Close a session whose refresh token was refused, unless somebody has newer ones."""
        for pause in looks:
            await asyncio.sleep(pause)
            await self._repository.reread(cached)
            if cached.record.generation > record.generation or cached.record.ended is not None:
                return _moved_on(cached, record.generation)
        return await self._close(cached, record, trigger, _REFUSED, fence)

    def _ask_what_it_means(self, status: int) -> None:
        """Tell an operator, once for each status, of an answer that may well be a refusal."""
        if 400 <= status <= 499 and status not in PASSING | self._told:
            self._told.add(status)
            self._log.warning(
                "a refresh was answered with an error that does not end the session;"
                " if the server refuses tokens by it, add it to sessions.refused",
                status=status,
            )

    async def _succeed(
        self,
        cached: CachedSession,
        issued: Tokens,
        taken: str | None,
        given: tuple[str, str] | None,
        fence: int,
        now: float,
    ) -> None:
        """Write down new tokens: they are all that is left of the session.

        Where another holder has taken the lease meanwhile, they are written without it: nobody
        else can have got newer ones for the token that was taken.

        Args:
            cached: the session.
            issued: the new tokens, sealed.
            taken: the refresh token that is good no more; None where it stays.
            given: the access and the refresh token that the client has by the answer; None where
                it is not given to one.
            fence: that of the lease.
            now: when they came.
        """
        repository = self._repository
        generation, life = cached.record.generation, repository.rules()
        was_closed = cached.record.closed is not None
        digest = repository.sealer.digest
        spent = None if taken is None else digest(taken)
        handles = None if given is None else (digest(given[0]), digest(given[1]))

        def change(current: Record) -> Record | None:
            if current.ended is not None:
                late = repository.current_digests(
                    replace(current, access=issued.access, refresh=issued.refresh)
                )
                return rules.issued_too_late(current, issued, late, now)
            if current.generation > generation:
                return None
            record = rules.renewed(rules.resumed(current, now, life), issued, spent, now)
            return record if handles is None else rules.delivered(record, *handles, now, life)

        try:
            if not await repository.update(cached, change, fence):
                await repository.update(cached, change)
        except StoreAway:
            wanted = change(cached.record)
            if wanted is not None:
                repository.keep(cached, wanted)
        if was_closed or cached.record.ended is not None:
            repository.cache.forget_misses()  # They lead somewhere again, or to an end.

    async def _close(
        self, cached: CachedSession, record: Record, trigger: Trigger, result: str, fence: int
    ) -> RenewalOutcome:
        """Close a session for what became of this record; a newer generation still wins.

        Nobody has ended it: a refresh that its client asks for goes to the server all the same.
        """
        repository = self._repository
        generation, now = record.generation, repository.clock.now()
        was_open = record.closed is None

        def change(current: Record) -> Record | None:
            if current.generation > generation:
                return None
            return rules.refused(current, now, is_lost=result == _LOST)

        if not await repository.update(cached, change, fence):
            return _moved_on(cached, generation)
        if was_open or result == _REFUSED:
            repository.counts.refreshes[trigger.value, result] += 1
        if was_open:
            repository.counts.ages["ended"].observe(now - cached.record.created)
            self._log.info("session ended", session=cached.record.session, reason=result)
        return RenewalOutcome.ENDED

    async def _write(
        self, cached: CachedSession, change: Callable[[Record], Record | None], fence: int
    ) -> None:
        """Write down what may be lost: without it the token only counts as presented."""
        with suppress(StoreAway):
            await self._repository.update(cached, change, fence)


def _moved_on(cached: CachedSession, seen: int) -> RenewalOutcome:
    """What it is now that somebody else has written."""
    if cached.record.ended is not None:
        return RenewalOutcome.ENDED
    return RenewalOutcome.RENEWED if cached.record.generation > seen else RenewalOutcome.UNAVAILABLE


def _attempting(current: Record, seen: int, digest: bytes, tries: int, now: float) -> Record | None:
    if current.ended is not None or current.generation > seen:
        return None
    return rules.attempted(current, digest, tries, now)
