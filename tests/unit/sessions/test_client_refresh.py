"""A client's own refresh: what goes on of it, and who may have the answer."""

from __future__ import annotations

import gzip

import pytest

from proxy.sessions import client_refresh
from proxy.sessions.client_refresh import (
    ClientRefresh,
    KeptAnswers,
    RefreshAnswer,
    SharedAnswer,
)
from proxy.tokens.bodies import MAX_BODY, Pair
from proxy.tokens.places import TokenPlaces

FIELDS = (
    (b"Host", b"h"),
    (b"authorization", b"JWT mine"),
    (b"Content-Length", b"99"),
    (b"Digest", b"x"),
    (b"X-Tenant-Id", b"acme"),
)
PLACES = TokenPlaces(schemes=frozenset({b"jwt"}), scheme=b"JWT")
COOKIES = (
    (b"Set-Cookie", b"auth=a"),
    (b"Set-Cookie", b"refresh=r; HttpOnly"),
    (b"Set-Cookie", b"seen=1"),
)
ANSWER = RefreshAnswer(200, b"OK", COOKIES, b"{}")


def asked(fields: tuple[tuple[bytes, bytes], ...] = FIELDS) -> ClientRefresh:
    body = b'{ "refresh": "mine" }'
    return ClientRefresh(b"/r/?a=1", fields, body, "mine", PLACES)


def shared(origin: bytes = b"", size: int = 0) -> SharedAnswer:
    answer = RefreshAnswer(200, b"OK", COOKIES, b" " * size)
    return SharedAnswer(answer, frozenset({b"a", b"r"}), origin)


def test_a_request_with_the_current_token_goes_on_byte_for_byte() -> None:
    request = asked().request("mine", [], "newest")
    assert (request.target, request.body) == (b"/r/?a=1", b'{ "refresh": "mine" }')
    assert tuple(request.fields) == FIELDS


def test_another_token_is_put_in_with_what_describes_the_body() -> None:
    request = asked().request("current", ["mine"], "newest")
    assert request.body == b'{"refresh":"current"}'
    assert request.fields == [
        (b"Host", b"h"),
        (b"authorization", b"JWT newest"),
        (b"X-Tenant-Id", b"acme"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(request.body)),
    ]
    assert "mine" not in repr(asked())
    assert "current" not in repr(request)


def test_what_comes_along_is_read_from_its_fields() -> None:
    assert (asked().access_tokens, asked().origin) == (["mine"], b"")
    assert asked(()).access_tokens == []
    assert asked(((b"Origin", b"http://a"), (b"origin", b"b"))).origin == b"http://a,b"


def test_an_answer_is_for_who_asks_for_the_same_but_for_the_token() -> None:
    def likeness(
        target: bytes = b"/r/",
        body: bytes = b'{"refresh":"%b"}',
        token: str = "mine",
        origin: bytes = b"https://a",
        *,
        in_body: bool = True,
        method: str = "POST",
    ) -> bytes:
        body = body.replace(b"%b", token.encode())
        fields = ((b"Origin", origin), (b"X-Request-Id", token.encode()))
        return ClientRefresh(
            target, fields, body, token, PLACES, in_body=in_body, method=method
        ).likeness

    assert likeness() == likeness(token="older")
    others = {
        likeness(),
        likeness(target=b"/r/?tenant=b"),
        likeness(body=b'{"refresh":"%b","tenant":"b"}'),
        likeness(origin=b"https://b"),
        likeness(origin=b"https:", target=b"//a/r/"),
        likeness(in_body=False),
        likeness(method="PUT"),
    }
    assert len(others) == 7
    # One that stands in a cookie is no part of the body.
    assert likeness(in_body=False) != likeness(token="older", in_body=False)
    assert likeness(body=b"{}", in_body=False) == likeness(b"/r/", b"{}", "older", in_body=False)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (RefreshAnswer(200, b"", (), b"{}"), b"{}"),
        (RefreshAnswer(200, b"", (), b" " * MAX_BODY), b" " * MAX_BODY),
        (RefreshAnswer(200, b"", (), b" " * (MAX_BODY + 1)), b""),
        (RefreshAnswer(200, b"", ((b"Content-Encoding", b"gzip"),), gzip.compress(b"{}")), b"{}"),
        (RefreshAnswer(200, b"", ((b"Content-Encoding", b"br"),), b"{}"), b""),
    ],
)
def test_an_answer_is_read_within_bounds(answer: RefreshAnswer, says: bytes) -> None:
    assert answer.plain_body == says


def test_a_cookie_that_is_no_token_goes_to_one() -> None:
    leading = asked()
    given = leading.answer(ANSWER, Pair("a", "r"))
    assert leading.answered is given
    assert given.answer.fields == COOKIES
    for _ in range(2):
        assert tuple(given.for_another().fields) == COOKIES[:2]


@pytest.mark.parametrize("before", [True, False])
def test_where_the_one_who_asked_has_gone_the_next_gets_all(before: bool) -> None:
    leading = asked()
    if before:
        leading.give_up()
    given = leading.answer(ANSWER, Pair("a", None))
    if not before:
        leading.give_up()
    assert given.for_another().fields == COOKIES
    assert tuple(given.for_another().fields) == COOKIES[:1]


def test_an_answer_without_tokens_shares_no_cookie() -> None:
    assert asked().answer(ANSWER).for_another().fields == []


def test_an_answer_is_kept_for_its_session_generation_origin_and_time() -> None:
    kept = KeptAnswers()
    kept.keep("s", shared(b"http://a"), 2, 30.0)
    assert kept.find("s", 2, b"http://a", 29.9) is not None
    assert kept.find("s", 2, b"http://b", 29.9) is None
    assert kept.find("t", 2, b"http://a", 29.9) is None
    assert kept.find("s", 2, b"http://a", 29.9) is not None
    # What is not right any more is gone for good.
    assert kept.find("s", 3, b"http://a", 29.9) is None
    assert kept.find("s", 2, b"http://a", 29.9) is None
    kept.keep("s", shared(), 2, 30.0)
    assert kept.find("s", 2, b"", 30.0) is None


def test_the_newest_answer_of_a_session_counts_and_is_forgotten_in_time() -> None:
    kept = KeptAnswers()
    kept.keep("s", shared(), 2, 30.0)
    kept.keep("s", shared(), 3, 40.0)
    kept.keep("t", shared(), 3, 35.0)
    kept.remove(35.0)
    assert kept.find("t", 3, b"", 0.0) is None
    assert kept.find("s", 3, b"", 0.0) is not None


def test_what_is_kept_is_bounded_and_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_refresh, "_MOST", 10_000)
    kept = KeptAnswers()
    for number in range(5):
        kept.keep(str(number), shared(size=2_000), 1, 30.0)
    found = [number for number in range(5) if kept.find(str(number), 1, b"", 0.0) is not None]
    assert found == [2, 3, 4]
    kept.keep("large", shared(size=20_000), 1, 30.0)
    assert kept.find("large", 1, b"", 0.0) is None
    assert kept.find("4", 1, b"", 0.0) is None
    for number in range(3):
        kept.keep(str(number), shared(size=2_000), 1, 30.0)
    assert kept.find("0", 1, b"", 0.0) is not None


def test_tokens_in_cookies_are_replaced_where_they_stand() -> None:
    places = TokenPlaces(access_cookie=b"at", refresh_cookie=b"rt")
    fields = ((b"Cookie", b"at=a; rt=mine; b=1"), (b"Authorization", b"Bearer b"))
    own = ClientRefresh(b"/r/", fields, b"", "mine", places, in_body=False)
    assert own.access_tokens == ["b", "a"]
    request = own.request("current", ["a"], "newest")
    assert request.body == b""
    assert request.fields == [(b"Cookie", b"at=newest; rt=current; b=1"), fields[1]]
    both = ClientRefresh(b"/r/", fields, b'{"refresh":"mine"}', "mine", places)
    request = both.request("current", ["b"], "newest")
    assert request.body == b'{"refresh":"current"}'
    assert request.fields[:2] == [
        (b"Cookie", b"at=a; rt=current; b=1"),
        (b"Authorization", b"Bearer newest"),
    ]
