"""The tokens of an answer as they are kept: sealed, with the times of this machine's clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.sessions.issued import sealed
from proxy.sessions.rules import Tokens
from proxy.tokens.bodies import Pair
from proxy.tokens.sealing import Sealer, new_key, read_key
from tests.support.authority import token
from tests.support.records import record

NOW = 1_700_000_000.0
SEALER = Sealer([read_key(new_key())])
REFRESH = token("r", 1, NOW, NOW + 86400)


def kept(pair: Pair, presented: str | None = None, ends: float | None = None) -> Tokens | None:
    known = None if ends is None else replace(record(), refresh_expires=ends)
    return sealed(SEALER, pair, NOW, presented, known)


def access(begins: float = NOW, lives: float = 3600) -> str:
    return token("a", 1, begins, begins + lives)


def test_a_pair_is_sealed_with_its_times() -> None:
    pair = Pair(access(), REFRESH)
    tokens = kept(pair)
    assert tokens is not None
    assert (SEALER.unseal(tokens.access), SEALER.unseal(tokens.refresh)) == (
        pair.access,
        pair.refresh,
    )
    assert (tokens.access_validity.issued, tokens.access_validity.expires) == (NOW, NOW + 3600)
    assert tokens.refresh_expires == NOW + 86400


@pytest.mark.parametrize(
    ("pair", "presented"),
    [
        (Pair("opaque", REFRESH), None),
        (Pair(access(), "opaque"), None),
        (Pair(access(), None), None),
        (Pair(access(), None), "opaque"),
    ],
)
def test_what_cannot_be_read_is_none(pair: Pair, presented: str | None) -> None:
    assert kept(pair, presented) is None


@pytest.mark.parametrize("refresh", [None, REFRESH])
def test_a_refresh_token_that_stays_keeps_its_end(refresh: str | None) -> None:
    tokens = kept(Pair(access(), refresh), REFRESH, ends=NOW + 500)
    assert tokens is not None
    assert SEALER.unseal(tokens.refresh) == REFRESH
    assert tokens.refresh_expires == NOW + 500
    # Of a token of no session nothing else is known than what it says.
    tokens = kept(Pair(access(), refresh), REFRESH)
    assert tokens is not None
    assert tokens.refresh_expires == NOW + 86400


def test_a_clock_that_is_off_is_told_by_when_tokens_were_issued() -> None:
    ahead = NOW + 7200
    tokens = kept(Pair(access(ahead), token("r", 2, ahead, ahead + 86400)))
    assert tokens is not None
    # To the second, in which tokens are issued.
    assert tokens.access_validity.expires == pytest.approx(NOW + 3600, abs=1)
    assert tokens.refresh_expires == pytest.approx(NOW + 86400, abs=1)


@pytest.mark.parametrize("ends", [None, NOW + 80000])
def test_a_time_that_was_copied_says_nothing_of_the_clock(ends: float | None) -> None:
    """`iat` of the login, an hour ago, in an access token that was made now."""
    login = NOW - 3600
    presented = token("r", 1, login, login + 86400)
    tokens = kept(Pair(token("a", 2, login, NOW + 3600), None), presented, ends)
    assert tokens is not None
    # The clocks differ as they did when the session was noted: by 2,800 seconds.
    assert tokens.access_validity.expires == NOW + 3600 + (0 if ends is None else -2800)
