"""Renewing a session: once for all who wait, over all processes.

A renewal is a task of its own, a flight. No request's end cancels it, and whoever waits for it
gives up alone. It holds the session's lease, looks whether somebody else was faster, writes down
which token it is about to present, presents it, and writes down what came of it.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from proxy.configuration.sessions import SessionSettings
from proxy.errors import OutOfResources, SessionUnavailable, StoreAway, UpstreamError
from proxy.http.headers import RawFields
from proxy.http.responses import PASSING
from proxy.sessions import rules
from proxy.sessions.cache import CachedSession, Refusal, RenewalOutcome
from proxy.sessions.lease import held
from proxy.sessions.metrics import Trigger
from proxy.sessions.record import Record
from proxy.sessions.refresh_call import Connect, RefreshAnswer, present
from proxy.sessions.repository import SessionRepository
from proxy.sessions.rules import Presenting, Tokens, Verdict
from proxy.tokens import jwt
from proxy.tokens.bodies import Pair, error_codes, own_refresh, read_pair
from proxy.tokens.credentials import carried
from proxy.tokens.jwt import Validity
from proxy.tokens.sealing import Unsealable

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_UNKNOWN_PAUSE: Final = 5.0
"""Seconds until a refresh is tried again: after a failure, doubling; after an answer was lost."""

_ASKED_FOR: Final = frozenset({Trigger.CLIENT, Trigger.LOGOUT})
"""What a client does by itself."""

_SECOND_LOOKS: Final = (0.0, 0.5, 1.5, 3.0)
"""Seconds between looks for a newer generation, where a token is refused that somebody may have
presented before. One is enough, unless the one who got its answer may still be writing it down, or
putting it back into a store that lost it; that takes until that process notices the loss."""


class Renewals:
    """Makes sessions have newer tokens."""

    def __init__(
        self,
        repository: SessionRepository,
        connect: Connect,
        settings: Callable[[], SessionSettings],
        log: FilteringBoundLogger,
    ) -> None:
        self._repository = repository
        self._connect = connect
        self._settings = settings
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self._told: set[int] = set()
        self._owners = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())

    @property
    def under_way(self) -> set[asyncio.Task[Any]]:
        """The flights that have not landed, and what else is to be done to its end."""
        return set(self._tasks)

    def next_owner(self) -> str:
        """A name for the holder of a lease."""
        return next(self._owners)

    async def renew(
        self, cached: CachedSession, seen: int, trigger: Trigger, fields: RawFields
    ) -> RenewalOutcome:
        """Wait until a session has a newer generation of tokens than the one that was seen.

        Args:
            cached: the session.
            seen: the generation whose access token will not do.
            trigger: why not.
            fields: those of the request, as they are forwarded.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings().wait
        while True:
            if cached.record.ended is not None:
                return RenewalOutcome.ENDED
            if cached.record.generation > seen:
                return RenewalOutcome.RENEWED
            if self._is_over(cached, trigger):
                return RenewalOutcome.ENDED
            if self._repository.clock.steady() < cached.pace.resume and cached.call is None:
                return RenewalOutcome.UNAVAILABLE
            call = cached.call
            if call is None:
                call = self._take_off(cached, seen, trigger, carried(fields))
            else:
                self._repository.counts.waiters += 1
            done, _ = await asyncio.wait((call,), timeout=max(deadline - loop.time(), 0))
            if not done or call.cancelled():
                return RenewalOutcome.UNAVAILABLE
            if call.result() is not RenewalOutcome.RENEWED:
                return call.result()

    async def current(
        self, cached: CachedSession, trigger: Trigger, fields: RawFields
    ) -> str | None:
        """The access token of a session, renewed; None where the session has ended.

        Raises:
            SessionUnavailable: the one there is has ended, and cannot be renewed at the moment.
        """
        generation = cached.record.generation
        outcome = await self.renew(cached, generation, trigger, fields)
        if outcome is RenewalOutcome.RENEWED or (
            outcome is RenewalOutcome.UNAVAILABLE and self._repository.clock.now() < cached.expires
        ):
            return cached.access or None
        if outcome is RenewalOutcome.ENDED:
            return None
        raise SessionUnavailable("the session cannot be renewed at the moment")

    def soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that no request's end cancels, and that the drain waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _is_over(self, cached: CachedSession, trigger: Trigger) -> bool:
        """Whether a session is not renewed because of its age or idleness.

        It has not ended by that: what its client asks for by itself is for the server to judge.
        """
        return trigger not in _ASKED_FOR and self._repository.clock.now() >= cached.over

    def _take_off(
        self, cached: CachedSession, seen: int, trigger: Trigger, context: RawFields
    ) -> asyncio.Task[RenewalOutcome]:
        def landed(task: asyncio.Task[RenewalOutcome]) -> None:
            self._tasks.discard(task)
            cached.call = None

        call = asyncio.create_task(self._ask(cached, seen, trigger, context))
        cached.call = call
        self._tasks.add(call)
        call.add_done_callback(landed)
        return call

    async def _ask(
        self, cached: CachedSession, seen: int, trigger: Trigger, context: RawFields
    ) -> RenewalOutcome:
        try:
            async with held(self._repository, cached, self.next_owner()) as fence:
                return await self.renew_held(cached, seen, trigger, context, fence)
        except StoreAway:
            # Without a record of what is presented nothing is presented.
            return self._failed(cached, trigger, "store_away")
        except Exception as error:  # noqa: BLE001 (waiters get an answer whatever happens)
            self._log.error("a refresh failed", kind=type(error).__name__)
            return self._failed(cached, trigger, "unavailable")

    async def renew_held(
        self, cached: CachedSession, seen: int, trigger: Trigger, context: RawFields, fence: int
    ) -> RenewalOutcome:
        """Do what `renew` waits for, under the session's lease and just after reading it.

        Raises:
            StoreAway: it is not known, or not written down, how things stand.
        """
        repository = self._repository
        record, now = cached.record, repository.clock.now()
        if record.ended is not None:
            return RenewalOutcome.ENDED
        if record.generation > seen:
            return RenewalOutcome.RENEWED
        if self._is_over(cached, trigger):
            return RenewalOutcome.ENDED
        try:
            token = repository.sealer.unseal(record.refresh)
        except Unsealable:
            return self._failed(cached, trigger, "unavailable")
        digests = repository.sealer.digests(token)
        if cached.condemned in digests:
            return await self._end(cached, record, trigger, "refused", fence)
        may = rules.presenting(record, digests)
        if may is Presenting.NEVER:
            if now < cached.expires and trigger is not Trigger.REJECTED:
                return self._failed(cached, trigger, "unavailable")
            return await self._end(cached, record, trigger, "lost", fence)
        tries = 1 if may is Presenting.FIRST else 2
        before = record.attempt
        if tries > 1 and before is not None and 0 <= now - before.begun < _UNKNOWN_PAUSE:
            # The answer was lost a moment ago, perhaps by another process: so the pause is for all.
            return self._failed(cached, trigger, "unavailable")
        if not await repository.update(
            cached, lambda current: _attempting(current, seen, digests[0], tries, now), fence
        ):
            return self._moved_on(cached, seen)
        settings = self._settings()
        try:
            answer = await present(
                self._connect,
                settings.paths.refresh,
                own_refresh(token, settings.tokens.places),
                context,
                settings.timeout,
            )
        except (UpstreamError, OutOfResources):
            # Nothing was sent: the token is as it was before.
            await self._write(cached, lambda current: replace(current, attempt=before), fence)
            return self._failed(cached, trigger, "unavailable")
        return await self._conclude(cached, record, trigger, answer, token, tries, fence)

    async def _conclude(
        self,
        cached: CachedSession,
        record: Record,
        trigger: Trigger,
        answer: RefreshAnswer,
        token: str,
        tries: int,
        fence: int,
    ) -> RenewalOutcome:
        """Write down what the server's answer means.

        Args:
            record: as it was when its refresh token was presented.
        """
        repository = self._repository
        now = repository.clock.now()
        pair = None
        if 200 <= answer.status < 300:
            pair = read_pair(answer.body, self._settings().tokens.places, answer.fields)
        issued = None if pair is None else self.seal(pair, now, token, record)
        verdict = rules.judge(
            answer.status,
            error_codes(answer.body),
            readable=issued is not None,
            refusals=self._settings().refused,
        )
        if issued is not None:
            assert pair is not None
            rotated = pair.refresh not in (None, token)
            digest = repository.sealer.digest(token)
            await self._succeed(cached, issued, digest if rotated else None, now, fence)
            repository.counts.refreshes[trigger.value, "renewed"] += 1
            repository.counts.ages["renewed"].observe(now - record.created)
            return RenewalOutcome.RENEWED
        if verdict is Verdict.REFUSED:
            cached.condemned = repository.sealer.digest(token)
            cached.refusal = Refusal(answer.status, answer.fields, answer.body)
            for pause in (
                _SECOND_LOOKS if repository.in_doubt else _SECOND_LOOKS[: 1 if tries == 1 else 3]
            ):
                await asyncio.sleep(pause)
                await repository.reread(cached)
                if cached.record.generation > record.generation or cached.record.ended is not None:
                    return self._moved_on(cached, record.generation)
            return await self._end(cached, record, trigger, "refused", fence)
        if verdict is Verdict.UNAVAILABLE:
            self._ask_what_it_means(answer.status)
            await self._write(cached, rules.unpresented, fence)
            return self._failed(cached, trigger, "unavailable")
        return self._failed(cached, trigger, "unknown")

    def _ask_what_it_means(self, status: int) -> None:
        """Tell an operator, once for each status, of an answer that may well be a refusal."""
        if 400 <= status <= 499 and status not in PASSING | self._told:
            self._told.add(status)
            self._log.warning(
                "a refresh was answered with an error that does not end the session;"
                " if the server refuses tokens by it, add it to sessions.refused",
                status=status,
            )

    def seal(
        self, pair: Pair, now: float, presented: str | None = None, record: Record | None = None
    ) -> Tokens | None:
        """The tokens of the server's answer as they are kept; None where they cannot be read.

        Args:
            pair: what the server issued.
            now: when the answer came.
            presented: the refresh token that it was issued for, which stays where there is no new
                one; None where it was a login.
            record: what was known of its session; None for a token of none.
        """
        refresh = pair.refresh if pair.refresh is not None else presented
        if refresh is None:
            return None
        access_claims, refresh_claims = jwt.read(pair.access), jwt.read(refresh)
        if access_claims is None or refresh_claims is None:
            return None
        kept = refresh == presented
        before = None if presented is None else jwt.read(presented)
        issued = [access_claims] if kept else [access_claims, refresh_claims]
        skew = jwt.clock_skew(issued, now, before)
        if skew is None:
            skew = 0.0
            if record is not None and before is not None:
                skew = record.refresh_expires - before.exp  # The clocks differ as they did.
        sealer = self._repository.sealer
        return Tokens(
            sealer.seal(pair.access),
            sealer.seal(refresh),
            Validity(now, access_claims.exp + skew),
            record.refresh_expires if kept and record is not None else refresh_claims.exp + skew,
        )

    async def _succeed(
        self, cached: CachedSession, issued: Tokens, spent: bytes | None, now: float, fence: int
    ) -> None:
        """Write down new tokens: they are all that is left of the session.

        Where another holder has taken the lease meanwhile, they are written without it: nobody
        else can have got newer ones for the token that was taken.
        """
        repository = self._repository
        generation, life = cached.record.generation, repository.rules()

        def change(current: Record) -> Record | None:
            if rules.is_logged_out(current):
                held = repository.held(
                    replace(current, access=issued.access, refresh=issued.refresh)
                )
                return rules.issued_too_late(current, issued, held, now)
            if current.ended is not None or current.generation > generation:
                return None
            return rules.renewed(rules.resumed(current, now, life), issued, spent, now)

        try:
            if not await repository.update(cached, change, fence):
                await repository.update(cached, change)
        except StoreAway:
            wanted = change(cached.record)
            if wanted is not None:
                repository.keep(cached, wanted)
        if cached.record.ended is not None:
            repository.cache.forget_misses()

    async def _end(
        self, cached: CachedSession, record: Record, trigger: Trigger, result: str, fence: int
    ) -> RenewalOutcome:
        """End a session for what became of this record; a newer generation still wins."""
        repository = self._repository
        generation, now = record.generation, repository.clock.now()

        def change(current: Record) -> Record | None:
            return None if current.generation > generation else rules.refused(current, now)

        if not await repository.update(cached, change, fence):
            return self._moved_on(cached, generation)
        repository.counts.refreshes[trigger.value, result] += 1
        repository.counts.ages["ended"].observe(now - cached.record.created)
        self._log.info("session ended", session=cached.record.session, reason=result)
        return RenewalOutcome.ENDED

    async def _write(
        self, cached: CachedSession, change: Callable[[Record], Record | None], fence: int
    ) -> None:
        """Write down what may be lost: without it the token only counts as presented."""
        with suppress(StoreAway):
            await self._repository.update(cached, change, fence)

    def _failed(self, cached: CachedSession, trigger: Trigger, result: str) -> RenewalOutcome:
        repository = self._repository
        repository.counts.refreshes[trigger.value, result] += 1
        pause = _UNKNOWN_PAUSE if result == "unknown" else _FIRST_PAUSE
        wait = min(pause * 2**cached.pace.failures, _LONGEST_PAUSE)
        cached.pace.failures = min(cached.pace.failures + 1, 10)
        cached.pace.resume = self._repository.clock.steady() + wait
        repository.cache.failing(cached)
        return RenewalOutcome.UNAVAILABLE

    @staticmethod
    def _moved_on(cached: CachedSession, seen: int) -> RenewalOutcome:
        """What it is now that somebody else has written."""
        if cached.record.ended is not None:
            return RenewalOutcome.ENDED
        return (
            RenewalOutcome.RENEWED
            if cached.record.generation > seen
            else RenewalOutcome.UNAVAILABLE
        )


def _attempting(current: Record, seen: int, digest: bytes, tries: int, now: float) -> Record | None:
    if current.ended is not None or current.generation > seen:
        return None
    return rules.attempted(current, digest, tries, now)
