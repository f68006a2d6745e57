"""The rules of sessions, and a machine that plays server, client and crashing proxies with them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from proxy.configuration.sessions import RefusalSettings
from proxy.sessions import past_tokens
from proxy.sessions import rules as session_rules
from proxy.sessions.record import MAX_PAST, MAX_SPENT, Eviction, HandleKind, Record, encode
from proxy.sessions.rules import Presenting, SessionRules, Standing, Tokens, Verdict
from proxy.tokens.jwt import Validity

NOW = 1_700_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR
RULES = SessionRules(refresh_before=300, lifetime=7 * DAY, idle=DAY, replay_window=30)


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def issued(name: str, now: float, access: float = HOUR, refresh: float = DAY) -> Tokens:
    return Tokens(
        f"a{name}".encode(), f"r{name}".encode(), Validity(now, now + access), now + refresh
    )


def session(access: float = HOUR, refresh: float = DAY, cookie: bytes | None = None) -> Record:
    """Opened at `NOW`, with the tokens a1 and r1."""
    handles = (digest_of("a1"), digest_of("r1"))
    tokens = issued("1", NOW, access, refresh)
    return session_rules.opened("0" * 32, "ada", tokens, handles, cookie, NOW, RULES)


def renewed(record: Record, name: str, now: float) -> Record:
    """The record with the tokens a<name> and r<name> of the next generation."""
    spent = digest_of(record.refresh.decode())
    return session_rules.renewed(record, issued(name, now), spent, now)


def delivered(record: Record, name: str, now: float) -> Record:
    return session_rules.delivered(record, digest_of(f"a{name}"), digest_of(f"r{name}"), now, RULES)


def standing(record: Record, token: str, now: float) -> Standing | None:
    handle = session_rules.handle_of(record, (digest_of(token),))
    return None if handle is None else session_rules.standing(handle, now, RULES)


# Times.


@pytest.mark.parametrize(
    ("lifetime", "before"), [(HOUR, 300), (1500, 300), (600, 120), (2, 0.4), (DAY, 300)]
)
def test_a_token_is_renewed_before_its_end_but_never_in_its_first_four_fifths(
    lifetime: float, before: float
) -> None:
    due = session_rules.due(session(access=lifetime), RULES)
    assert due == pytest.approx(NOW + lifetime - before)


def test_a_token_whose_times_make_no_sense_is_only_renewed_when_it_is_refused() -> None:
    assert session_rules.due(session(access=-7200), RULES) == float("inf")
    assert session_rules.may_force(session(access=-7200), NOW)
    again = session_rules.renewed(session(), issued("2", NOW, access=-7200), None, NOW)
    assert not session_rules.may_force(again, NOW + 59)
    assert session_rules.may_force(again, NOW + 60)


def test_a_session_with_an_open_socket_is_renewed_in_the_last_fifth_of_its_refresh_token() -> None:
    assert session_rules.socket_due(session(refresh=DAY)) == NOW + 0.8 * DAY
    later = renewed(session(), "2", NOW + HOUR)
    assert session_rules.socket_due(later) == NOW + HOUR + 0.8 * DAY


def test_a_session_ends_by_its_age_and_by_its_idleness() -> None:
    record = session()
    assert session_rules.over(record, RULES) == NOW + DAY
    assert session_rules.over(replace(record, used=NOW + 6.5 * DAY), RULES) == NOW + 7 * DAY


def test_a_session_that_is_over_by_age_begins_anew_where_its_client_goes_on_with_it() -> None:
    record = replace(session(cookie=digest_of("c")), used=NOW + 6.5 * DAY)
    assert session_rules.resumed(record, NOW + 7 * DAY - 1, RULES) is record
    now = NOW + 8 * DAY
    resumed = session_rules.resumed(record, now, RULES)
    again = delivered(renewed(resumed, "2", now), "2", now)
    assert session_rules.over(again, RULES) == now + DAY
    assert standing(again, "a2", now + 6.9 * DAY) is Standing.GOOD
    assert standing(again, "c", now + 6.9 * DAY) is Standing.GOOD
    # What the client got before is good for as long as it was.
    assert standing(again, "a1", now) is None
    assert standing(again, "r1", now) is None


def test_a_refused_token_is_worth_a_refresh_unless_it_was_renewed_a_moment_ago() -> None:
    record = session()
    assert session_rules.may_force(record, NOW)
    record = renewed(record, "2", NOW + 10)
    assert not session_rules.may_force(record, NOW + 10)
    assert not session_rules.may_force(record, NOW + 69)
    assert session_rules.may_force(record, NOW + 70)
    # Written by a replica whose clock is ahead of this one.
    assert session_rules.may_force(record, NOW + 9)


# Handles.


def test_an_undelivered_token_is_no_handle_and_the_first_one_stays_good() -> None:
    record = session()
    for generation in range(2, 30):
        record = renewed(record, str(generation), NOW + generation * HOUR)
    assert standing(record, "a1", NOW + 6.9 * DAY) is Standing.GOOD
    assert standing(record, "a29", NOW + 30 * HOUR) is None


def test_a_newer_delivery_changes_nothing_until_the_client_presents_it() -> None:
    record = delivered(renewed(session(), "2", NOW + 10), "2", NOW + 10)
    assert standing(record, "a1", NOW + 20) is Standing.GOOD
    assert standing(record, "r1", NOW + 20) is Standing.GOOD
    assert session_rules.superseding(record, 1, NOW + 20) is record

    record = session_rules.superseding(record, 2, NOW + 20)
    assert standing(record, "a1", NOW + 20) is Standing.SUPERSEDED
    assert standing(record, "r1", NOW + 49.9) is Standing.GOOD
    assert standing(record, "r1", NOW + 50) is Standing.SUPERSEDED
    assert standing(record, "a2", NOW + 6 * DAY) is Standing.GOOD
    # The window runs from the first time.
    assert session_rules.superseding(record, 2, NOW + 40) is record


def test_a_superseded_access_token_is_remembered_to_its_own_end_and_no_longer() -> None:
    record = delivered(renewed(session(), "2", NOW + 10), "2", NOW + 10)
    record = session_rules.superseding(record, 2, NOW + 20)
    handle = session_rules.handle_of(record, (digest_of("a1"),))
    assert handle is not None
    assert handle.expires == NOW + HOUR


def test_an_older_access_token_that_lives_longer_than_the_current_one_is_known_to_its_own_end() -> (
    None
):
    record = session(access=2 * DAY)
    for number in (2, 3):
        now = NOW + 10 * number
        record = session_rules.renewed(record, issued(f"{number}", now, 60), None, now)
        record = delivered(record, str(number), now)
        record = session_rules.superseding(record, 2 * number, now)
    # Others are, too.
    assert standing(record, "a2", NOW + 80) is Standing.DEAD
    record = delivered(renewed(record, "4", NOW + HOUR), "4", NOW + HOUR)
    assert standing(record, "a2", NOW + HOUR) is None
    assert standing(record, "a1", NOW + 2 * DAY - 1) is Standing.SUPERSEDED
    gone = session_rules.ended(record, NOW + HOUR)
    assert gone.purge_after == NOW + 2 * DAY
    assert session_rules.handle_of(gone, (digest_of("a1"),)) is not None
    # Also where it is none of the newest, and where another replica has superseded it.
    many = refreshed(record, 5, 60)
    assert standing(many, "a1", NOW + 2 * DAY - 1) is Standing.SUPERSEDED
    both = session_rules.merged(many, record, NOW + 2 * HOUR)
    assert standing(both, "a1", NOW + 2 * DAY - 1) is Standing.SUPERSEDED


def test_an_access_token_that_outlives_its_session_is_known_at_the_end_of_the_next() -> None:
    record = session(access=30 * DAY, refresh=30 * DAY)
    now = NOW + 8 * DAY
    resumed = session_rules.resumed(record, now, RULES)
    again = delivered(session_rules.renewed(resumed, issued("2", now), None, now), "2", now)
    gone = session_rules.ended(session_rules.superseding(again, 2, now), now + 1)
    handle = session_rules.handle_of(gone, (digest_of("a1"),))
    assert handle is not None
    assert handle.expires == NOW + 30 * DAY


def test_the_end_of_a_token_that_was_delivered_before_it_was_noted_is_the_current_ones() -> None:
    record = delivered(renewed(session(), "2", NOW + 10), "2", NOW + 10)
    record = replace(record, handles=tuple(replace(each, ends=0.0) for each in record.handles))
    handle = session_rules.handle_of(
        session_rules.superseding(record, 2, NOW + 20), (digest_of("a1"),)
    )
    assert handle is not None
    assert handle.expires == NOW + 10 + HOUR


def test_a_refresh_token_is_dead_at_its_own_end() -> None:
    record = session()
    assert standing(record, "r1", NOW + DAY - 1) is Standing.GOOD
    assert standing(record, "r1", NOW + DAY) is Standing.DEAD


def test_what_is_delivered_twice_is_one_delivery() -> None:
    record = session()
    assert delivered(record, "1", NOW + 5) is record
    # A server that does not rotate: a new access token with the old refresh token.
    kept = session_rules.renewed(record, issued("2", NOW + 5), None, NOW + 5)
    kept = session_rules.delivered(kept, digest_of("a2"), digest_of("r1"), NOW + 5, RULES)
    orders = {handle.digest: handle.order for handle in kept.handles}
    assert orders == {digest_of("a1"): 1, digest_of("a2"): 2, digest_of("r1"): 2}
    assert kept.spent == ()


def test_the_handles_of_a_session_are_bounded_and_its_cookie_stays() -> None:
    record = session(cookie=digest_of("c"))
    for number in range(2, 100):
        record = delivered(renewed(record, str(number), NOW + number), str(number), NOW + number)
        assert len(record.handles) <= session_rules.MAX_KEPT
    assert standing(record, "c", NOW + 6 * DAY) is Standing.GOOD
    assert standing(record, "a99", NOW + 100) is Standing.GOOD
    assert standing(record, "a1", NOW + 100) is Standing.GOOD, "the client has used none since"
    record = session_rules.superseding(record, 99, NOW + 100)
    assert standing(record, "c", NOW + 6 * DAY) is Standing.GOOD
    assert len(record.spent) == MAX_SPENT


def refreshed(record: Record, first: int, last: int, every: float = 60) -> Record:
    """The record of a client that refreshes by itself, again and again."""
    for number in range(first, last + 1):
        now = NOW + every * number
        newest = session_rules.handle_of(record, (digest_of(f"r{number - 1}"),))
        assert newest is not None
        record = session_rules.superseding(record, newest.order, now)
        record = delivered(renewed(record, str(number), now), str(number), now)
    return record


def test_every_token_that_was_delivered_is_known_to_its_own_end() -> None:
    record = refreshed(session(cookie=digest_of("c")), 2, 200)
    assert len(record.handles) <= session_rules.MAX_KEPT
    now = NOW + 60 * 200
    for number in range(1, 199):
        assert standing(record, f"r{number}", now + 31) is Standing.SUPERSEDED, number
    # Access tokens live for an hour here, and are known for that long.
    assert standing(record, "a1", now) is None
    assert standing(record, "a140", now) is None
    for number in (141, 150, 198):
        assert standing(record, f"a{number}", now) is Standing.SUPERSEDED, number
    gone = session_rules.ended(record, now)
    assert gone.purge_after == now + DAY
    for token in ("r1", "r100", "r200", "a190", "a200", "c"):
        assert session_rules.handle_of(gone, (digest_of(token),)) is not None, token
    # The ends of tokens that are over are no reason to keep them.
    later = refreshed(record, 201, 201, every=(DAY + 600) / 201)
    assert standing(later, "r1", NOW) is None
    assert standing(later, "r11", NOW + DAY + 600) is Standing.SUPERSEDED


def test_a_session_that_has_no_room_for_what_is_superseded_is_full() -> None:
    record, number = session(refresh=30 * DAY), 1
    while not session_rules.is_full(record, NOW + number):
        number += 1
        now = NOW + number
        record = session_rules.superseding(record, 2 * number, now)
        tokens = issued(str(number), now, DAY, 30 * DAY)
        record = session_rules.renewed(record, tokens, None, now)
        record = delivered(record, str(number), now)
        assert number < MAX_PAST
    assert 2 * number > MAX_PAST - 8
    assert past_tokens.count(record.past) <= MAX_PAST
    assert standing(record, "r1", NOW + number) is Standing.SUPERSEDED
    assert not session_rules.is_full(record, NOW + 2 * DAY), "there is room where some have ended"
    # What others have written at the same moment is not one too many for a record.
    more = delivered(replace(record, generation=record.generation + 1), "x", NOW + number)
    assert past_tokens.count(session_rules.merged(record, more, NOW + number).past) <= MAX_PAST
    for _ in range(100):
        number += 1
        record = delivered(record, str(number), NOW + number)
    assert past_tokens.count(record.past) == MAX_PAST
    encode(record)


# Presenting.


def test_a_token_is_presented_once_more_where_its_fate_is_unknown_and_never_when_known() -> None:
    record = session()
    first = (digest_of("r1"),)
    assert session_rules.presenting(record, first) is Presenting.FIRST
    record = session_rules.attempted(record, first[0], 1, NOW)
    assert session_rules.presenting(record, first) is Presenting.AGAIN
    assert session_rules.presenting(record, (digest_of("r2"),)) is Presenting.FIRST
    assert session_rules.presenting(session_rules.unpresented(record), first) is Presenting.FIRST
    record = session_rules.attempted(record, first[0], 2, NOW)
    assert session_rules.presenting(record, first) is Presenting.NEVER
    record = renewed(record, "2", NOW)
    assert record.attempt is None
    # By any of its keyed hashes: keys may have been rotated since.
    assert session_rules.presenting(record, (digest_of("other key"), *first)) is Presenting.NEVER


@pytest.mark.parametrize(
    ("status", "codes", "readable", "verdict"),
    [
        (200, (), True, Verdict.RENEWED),
        (201, (), True, Verdict.RENEWED),
        (200, (), False, Verdict.UNKNOWN),
        (0, (), False, Verdict.UNKNOWN),
        (401, (), False, Verdict.REFUSED),
        (401, ("odd",), False, Verdict.REFUSED),
        *(
            (status, (code,), False, Verdict.REFUSED)
            for status in (400, 403, 404, 499)
            for code in ("token_not_valid", "invalid_grant")
        ),
        *((status, ("odd",), False, Verdict.UNAVAILABLE) for status in (400, 403, 404)),
        *(
            (status, ("invalid_grant",), True, Verdict.UNAVAILABLE)
            for status in (302, 408, 425, 429, 500, 503)
        ),
    ],
)
def test_a_401_and_any_4xx_with_a_known_code_are_refusals(
    status: int, codes: tuple[str, ...], readable: bool, verdict: Verdict
) -> None:
    judged = session_rules.judge(status, codes, readable=readable, refusals=RefusalSettings())
    assert judged is verdict


def test_what_a_refusal_is_can_be_set() -> None:
    refusals = RefusalSettings.model_construct(statuses=(403, 404), codes=("gone",))

    def verdict(status: int, *codes: str) -> Verdict:
        return session_rules.judge(status, codes, readable=False, refusals=refusals)

    assert verdict(403) is verdict(404) is verdict(400, "odd", "gone") is Verdict.REFUSED
    assert verdict(401) is verdict(400, "invalid_grant") is Verdict.UNAVAILABLE


# Ends.


def test_a_logout_is_known_to_the_tokens_own_end_and_holds_no_token() -> None:
    record = delivered(renewed(session(), "2", NOW + 10), "2", NOW + 10)
    record = replace(record, carried=b"x")
    gone = session_rules.ended(session_rules.superseding(record, 2, NOW + 20), NOW + 30)
    assert (gone.access, gone.refresh, gone.carried, gone.ended) == (b"", b"", b"", NOW + 30)
    assert gone.purge_after == NOW + 10 + DAY
    assert {handle.digest for handle in gone.handles} == {
        digest_of(token) for token in ("a1", "r1", "a2", "r2")
    }
    assert all(handle.expires == gone.purge_after for handle in gone.handles)
    assert session_rules.ended(gone, NOW + 40).ended == NOW + 30


HELD = ((HandleKind.ACCESS, digest_of("a2")), (HandleKind.REFRESH, digest_of("r2")))


def test_an_end_covers_the_tokens_that_the_client_was_not_given() -> None:
    record = renewed(session(), "2", NOW + 10)
    assert standing(record, "a2", NOW + 10) is None
    gone = session_rules.ended(record, NOW + 30, HELD)
    known = {handle.digest: handle.kind for handle in gone.handles}
    assert [known[digest_of(token)] for token in ("a1", "r1", "a2", "r2")] == [
        HandleKind.ACCESS,
        HandleKind.REFRESH,
    ] * 2
    assert all(handle.expires == gone.purge_after for handle in gone.handles)
    # Those that it was given are known already.
    given = delivered(record, "2", NOW + 10)
    assert session_rules.ended(given, NOW + 30, HELD).handles == tuple(
        replace(handle, expires=gone.purge_after) for handle in given.handles
    )


def test_an_end_covers_the_tokens_that_the_server_issued_at_the_same_moment() -> None:
    gone = session_rules.ended(session(), NOW + 30)
    late = session_rules.issued_too_late(gone, issued("2", NOW + HOUR), HELD, NOW + HOUR)
    assert (late.ended, late.access, late.refresh) == (NOW + 30, b"", b"")
    assert late.generation == gone.generation
    assert late.purge_after == NOW + HOUR + DAY
    for token in ("a1", "r1", "a2", "r2"):
        assert standing(late, token, late.purge_after - 1) is Standing.GOOD
    # Tokens that end before the others take nothing from them.
    short = session_rules.issued_too_late(gone, issued("2", NOW, 1, 2), HELD, NOW)
    assert short.purge_after == gone.purge_after


def test_what_the_server_refuses_is_closed_and_no_end() -> None:
    record = session_rules.attempted(session(), digest_of("r1"), 1, NOW)
    closed = session_rules.refused(record, NOW + 30)
    assert (closed.ended, closed.refused, closed.closed) == (None, NOW + 30, NOW + 30)
    assert (closed.refresh, closed.handles, closed.attempt) == (
        record.refresh,
        record.handles,
        None,
    )
    assert session_rules.over(closed, RULES) == NOW + 30
    assert session_rules.refused(closed, NOW + 40) is closed
    assert session_rules.succeeds(closed, record)
    # What its client got by itself is open again; and it is another thing to have ended it.
    again = renewed(closed, "2", NOW + 50)
    assert (again.closed, again.eviction) == (None, Eviction.NEVER)
    assert session_rules.succeeds(again, closed)
    assert session_rules.merged(closed, again, NOW + 60).refused is None
    gone = session_rules.ended(closed, NOW + 40)
    assert (gone.ended, gone.closed, gone.refused) == (NOW + 40, NOW + 40, None)
    assert session_rules.refused(gone, NOW + 50) is gone


def test_a_token_whose_answers_were_lost_is_presented_by_nobody_again() -> None:
    record = session_rules.attempted(session(), digest_of("r1"), 2, NOW)
    closed = session_rules.refused(record, NOW + 30, is_lost=True)
    assert session_rules.presenting(closed, (digest_of("r1"),)) is Presenting.NEVER


def test_what_somebody_means_to_keep_out_never_gives_way() -> None:
    record = session()
    kept = session_rules.ended(record, NOW)
    last = session_rules.ended(record, NOW, eviction=Eviction.LAST)
    assert kept.eviction is Eviction.NEVER
    assert session_rules.refused(record, NOW).eviction is Eviction.FIRST
    assert session_rules.refused(kept, NOW).eviction is Eviction.NEVER
    assert session_rules.ended(last, NOW, eviction=Eviction.FIRST).eviction is Eviction.LAST
    for one, other, wanted in (
        (last, record, Eviction.LAST),
        (last, kept, Eviction.NEVER),
        (kept, last, Eviction.NEVER),
        (record, last, Eviction.LAST),
    ):
        assert session_rules.merged(one, other, NOW + 40).eviction is wanted


def test_the_end_is_newer_than_any_tokens_and_a_higher_generation_than_a_lower() -> None:
    record = session()
    newer = renewed(record, "2", NOW)
    gone = session_rules.ended(record, NOW)
    assert session_rules.succeeds(newer, record)
    assert not session_rules.succeeds(record, newer)
    assert not session_rules.succeeds(record, record)
    assert session_rules.succeeds(gone, newer)
    assert not session_rules.succeeds(newer, gone)


@given(st.floats(0.1, 30 * DAY), st.floats(0.1, 90 * DAY), st.floats(1, 10 * DAY))
def test_renewal_always_falls_within_a_tokens_life(
    access: float, refresh: float, before: float
) -> None:
    record = session(access=access, refresh=refresh)
    rules = replace(RULES, refresh_before=before)
    assert NOW + 0.79 * access <= session_rules.due(record, rules) < record.access_expires
    assert NOW < session_rules.socket_due(record) < record.refresh_expires


class Sessions(RuleBasedStateMachine):
    """One session between a rotating server, a client, and proxies that crash in the middle.

    The server takes each refresh token once. Proxies see the stored record only, and may die
    before they present a token, before the answer comes, or before they have written it down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.record = session()
        self.issued = 1
        self.taken: set[str] = set()
        self.tries: dict[str, int] = {}
        self.known_fate: set[str] = set()
        self.lost = False
        self.held: list[tuple[str, str]] = [("a1", "r1")]
        self.newest_used = 0

    @initialize()
    def login(self) -> None:
        self.now += 1

    @rule(seconds=st.floats(0.1, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        crash=st.sampled_from(["before", "in between", "after", "never"]),
        status=st.sampled_from([200, 200, 200, 429, 500]),
    )
    def refresh(self, crash: str, status: int) -> None:
        record = self.record
        if record.closed is not None:
            return
        token = record.refresh.decode()
        assert token not in self.known_fate
        may = session_rules.presenting(record, (digest_of(token),))
        if may is Presenting.NEVER:
            assert record.attempt is not None
            assert record.attempt.tries == 2
            self.record = session_rules.refused(record, self.now)
            return
        tries = 1 if may is Presenting.FIRST else 2
        record = session_rules.attempted(record, digest_of(token), tries, self.now)
        self.record = record
        if crash == "before":
            return
        self.tries[token] = self.tries.get(token, 0) + 1
        if status == 200 and token in self.taken:
            status = 401
        if status == 200:
            self.taken.add(token)
            self.issued += 1
        if crash == "in between":
            self.lost |= status == 200
            return
        name = str(self.issued)
        verdict = session_rules.judge(
            status, (), readable=status == 200, refusals=RefusalSettings()
        )
        if crash == "after":
            self.lost |= verdict is Verdict.RENEWED
            return
        if verdict is Verdict.RENEWED:
            self.known_fate.add(token)
            self.record = renewed(record, name, self.now)
        elif verdict is Verdict.REFUSED:
            assert self.lost, "a session ended although the server had lost nothing"
            self.known_fate.add(token)
            self.record = session_rules.refused(record, self.now)
        else:
            assert verdict is Verdict.UNAVAILABLE
            self.tries[token] = 0
            self.record = session_rules.unpresented(record)

    @precondition(lambda self: self.record.ended is None)
    @rule()
    def deliver(self) -> None:
        access, refresh = self.record.access.decode(), self.record.refresh.decode()
        self.record = session_rules.delivered(
            self.record, digest_of(access), digest_of(refresh), self.now, RULES
        )
        if (access, refresh) not in self.held:
            self.held.append((access, refresh))

    @precondition(lambda self: self.record.ended is None)
    @rule(data=st.data(), refresh=st.booleans())
    def present(self, data: st.DataObject, refresh: bool) -> None:
        at = data.draw(st.integers(0, len(self.held) - 1))
        handle = session_rules.handle_of(self.record, (digest_of(self.held[at][refresh]),))
        worth = None if handle is None else session_rules.standing(handle, self.now, RULES)
        if handle is not None and worth is Standing.GOOD:
            self.record = session_rules.superseding(self.record, handle.order, self.now)
            self.newest_used = max(self.newest_used, at)
        if at == len(self.held) - 1:
            assert worth is Standing.GOOD or self.now >= self.record.refresh_expires

    @rule()
    def log_out(self) -> None:
        self.record = session_rules.ended(self.record, self.now)

    @invariant()
    def no_token_is_presented_more_than_once_and_once_more(self) -> None:
        assert all(tries <= 2 for tries in self.tries.values())

    @invariant()
    def an_open_session_holds_the_newest_pair_and_never_a_spent_token(self) -> None:
        if self.record.ended is None:
            current = self.record.refresh.decode()
            assert digest_of(current) not in self.record.spent
            assert self.record.access.decode()[1:] == current[1:]

    @invariant()
    def older_access_tokens_lead_nowhere_once_a_newer_one_was_used(self) -> None:
        for access, _ in self.held[: self.newest_used]:
            handle = session_rules.handle_of(self.record, (digest_of(access),))
            if handle is not None and self.record.ended is None:
                assert session_rules.standing(handle, self.now, RULES) is not Standing.GOOD

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.record.handles) <= session_rules.MAX_KEPT
        assert len(self.record.spent) <= MAX_SPENT


TestSessions = Sessions.TestCase


# Two records of one session.


def test_records_of_one_session_are_merged_with_the_handles_and_the_spent_tokens_of_both() -> None:
    stored = replace(renewed(session(), "2", NOW + 10), revision=7)
    ours = delivered(stored, "2", NOW + 20)
    theirs = session_rules.superseding(delivered(stored, "3", NOW + 20), 2, NOW + 21)
    both = session_rules.merged(ours, replace(theirs, revision=8), NOW + 40)
    assert both.revision == 8
    assert {handle.digest for handle in both.handles} == {
        digest_of(token) for token in ("a1", "r1", "a2", "r2", "a3", "r3")
    }
    # What one of them knows to be superseded is.
    for token in ("a1", "r1"):
        (handle,) = (each for each in both.handles if each.digest == digest_of(token))
        assert handle.superseded == NOW + 21
    assert both.spent == stored.spent
    newer = renewed(theirs, "4", NOW + 30)
    assert session_rules.merged(ours, newer, NOW + 40).access == newer.access
    assert session_rules.merged(newer, ours, NOW + 40).access == newer.access
    assert set(session_rules.merged(newer, ours, NOW + 40).spent) == set(newer.spent) | set(
        ours.spent
    )


def test_merging_what_says_the_same_changes_nothing() -> None:
    record = delivered(renewed(session(cookie=digest_of("c")), "2", NOW + 10), "2", NOW + 10)
    assert session_rules.merged(record, replace(record, revision=5), NOW + 40) == replace(
        record, revision=5
    )


def test_a_refresh_token_that_was_delivered_again_stays_the_newer_delivery() -> None:
    record = session()
    kept = replace(renewed(record, "2", NOW + 10), refresh=record.refresh)
    again = session_rules.delivered(kept, digest_of("a2"), digest_of("r1"), NOW + 10, RULES)
    for both in (
        session_rules.merged(again, record, NOW + 40),
        session_rules.merged(record, again, NOW + 40),
    ):
        (handle,) = (each for each in both.handles if each.digest == digest_of("r1"))
        assert handle.order == 2


def test_an_end_is_one_for_what_somebody_else_has_delivered_meanwhile() -> None:
    record = session()
    gone = session_rules.ended(record, NOW + 5)
    elsewhere = delivered(renewed(record, "2", NOW + 3), "2", NOW + 3)
    for both in (
        session_rules.merged(gone, elsewhere, NOW + 40),
        session_rules.merged(elsewhere, gone, NOW + 40),
    ):
        assert both.ended == NOW + 5
        assert both.access == b""
        assert both.purge_after == NOW + 3 + DAY
        for token in ("a1", "r1", "a2", "r2"):
            handle = session_rules.handle_of(both, (digest_of(token),))
            assert handle is not None
            assert handle.expires == both.purge_after
