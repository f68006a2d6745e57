"""What is remembered of tokens: bounded by number and size, and no token that led nowhere."""

from __future__ import annotations

import tracemalloc

import pytest

from proxy.configuration.sessions import SessionSettings
from proxy.sessions import cache as sessions_cache
from proxy.sessions.cache import MAX_MISSES, CachedSession, SessionCache, SessionToken
from proxy.sessions.rules import SessionRules
from tests.support.records import record

LONG = 8 * 1024
LARGEST = 4 * 1024 * 1024
"""Bytes for all tokens that led nowhere; they had 79 MiB when they were kept themselves."""


def remembered(token: str) -> SessionToken:
    rules = SessionRules(refresh_before=300, lifetime=86400, idle=3600, replay_window=30)
    return SessionToken(
        CachedSession(record(), "", rules, 0.0), token, 1, "", b"", SessionSettings()
    )


def test_what_is_remembered_of_tokens_that_lead_nowhere_is_as_small_of_long_ones() -> None:
    cache = SessionCache()
    tracemalloc.start()
    try:
        for number in range(MAX_MISSES):
            cache.miss(f"{number}".ljust(LONG, "."), 10.0)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < LARGEST
    assert cache.is_miss("7".ljust(LONG, "."), 9.9)
    assert not cache.is_miss("7".ljust(LONG, "."), 10.0)
    assert not cache.is_miss("7", 0.0)
    cache.miss("another", 10.0)
    assert not cache.is_miss("0".ljust(LONG, "."), 0.0), "the oldest gives way"
    cache.forget_misses()
    assert not cache.is_miss("another", 0.0)


def test_what_stands_for_a_token_differs_in_each_process() -> None:
    one, another = SessionCache(), SessionCache()
    one.miss("a", 1.0)
    another.miss("a", 1.0)
    assert one._misses.keys().isdisjoint(another._misses)


def test_any_text_can_be_looked_for() -> None:
    cache = SessionCache()
    for text in ("", "\ud800", "\xff\x00", "\U0001f600"):
        cache.miss(text, 1.0)
        assert cache.is_miss(text, 0.0)


def test_tokens_are_bounded_by_their_number_and_by_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions_cache, "MAX_TOKENS", 4)
    monkeypatch.setattr(sessions_cache, "MAX_TOKEN_CHARACTERS", 100)
    cache = SessionCache()
    for name in "abcde":
        cache.remember(remembered(name))
    assert list(cache.tokens) == ["b", "c", "d", "e"]
    cache.remember(remembered("b"))
    assert list(cache.tokens) == ["c", "d", "e", "b"], "what is seen again is the newest"
    cache.remember(remembered("x" * 98))
    assert list(cache.tokens) == ["e", "b", "x" * 98]
    cache.miss("x" * 98, 1.0)
    cache.forget("never seen")
    cache.remember(remembered("y" * 99))
    assert list(cache.tokens) == ["b", "y" * 99]
    cache.remember(remembered("z" * 200))
    assert list(cache.tokens) == ["z" * 200], "one is always remembered"
    cache.forget("z" * 200)
    assert cache._characters == 0
