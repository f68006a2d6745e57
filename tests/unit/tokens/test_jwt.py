"""Reading the times of tokens, and keeping tokens out of logs."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens import jwt as tokens
from proxy.tokens.jwt import LAST_SECOND, MAX_LENGTH, Claims, read, user_of
from proxy.tokens.redaction import REDACTED, redact

NOW = 1_750_000_000.0
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

KEY = "a key of the server that this side never sees"


def issued(**claims: object) -> str:
    return jwt.encode(dict(claims), KEY, algorithm="HS256")


def assembled(payload: str | bytes, header: str = '{"alg":"HS256","typ":"JWT"}') -> str:
    def part(raw: str | bytes) -> str:
        raw = raw.encode() if isinstance(raw, str) else raw
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return f"{part(header)}.{part(payload)}.c2ln"


ACCESS = issued(token_type="access", exp=1_700_003_600, iat=1_700_000_000, jti="7f3a", user_id=12)


def test_the_claims_of_a_simplejwt_token_are_read() -> None:
    assert read(ACCESS) == Claims(exp=1_700_003_600, iat=1_700_000_000, user="12")


def test_optional_claims_may_be_missing() -> None:
    assert read(issued(exp=5)) == Claims(exp=5, iat=None, user=None)
    assert read(issued(exp=5.5, sub="u-1")) == Claims(exp=5.5, iat=None, user="u-1")
    assert read(issued(exp=0, user_id=0, sub="x")) == Claims(0, None, "0")


def test_an_identifier_is_of_any_type() -> None:
    """Only its issuer has use for it; with a number as its `jti` a login opened no session."""
    for jti in (7, None, [1], "7f3a"):
        assert read(issued(exp=5, jti=jti)) == Claims(exp=5, iat=None, user=None)


def test_a_user_is_named_without_times_too() -> None:
    assert user_of(ACCESS) == "12"
    for times in ({}, {"exp": -1}, {"exp": 1, "iat": -1}):
        assert user_of(issued(sub="u-1", **times)) == "u-1"
    assert user_of(issued(exp=5)) is None
    for token in ("", "opaque", issued(sub=1 << 64), issued(sub=["a"]), issued(exp="x", sub="a")):
        assert user_of(token) is None


def test_claims_are_read_whatever_the_signature() -> None:
    forged = ACCESS.rpartition(".")[0] + ".AAAA"
    assert read(forged) == read(ACCESS)


@given(st.integers(0, LAST_SECOND), st.text(max_size=40))
def test_claims_written_by_another_library_are_read_back(exp: int, user: str) -> None:
    claims = read(issued(exp=exp, user_id=user))
    assert claims is not None
    assert (claims.exp, claims.user) == (exp, user)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "opaque-token",
        ACCESS.rpartition(".")[0],
        ACCESS.rpartition(".")[0] + ".",
        ACCESS + ".x",
        ACCESS + "\n",
        "Bearer " + ACCESS,
        ACCESS.replace(".", "=."),
        "é" + ACCESS,
        assembled('{"exp":1}', '{"alg":"none"}'),
        assembled('{"exp":1}', '{"alg":"NonE"}'),
        assembled('{"exp":1}', '{"alg":1}'),
        assembled('{"exp":1}', "{}"),
        assembled('{"exp":1}', "[]"),
        assembled("{}"),
        assembled("[]"),
        assembled("not json"),
        assembled(b"\xff\xfe"),
        assembled('{"exp":1}{"exp":2}'),
        assembled('{"exp":null}'),
        assembled('{"exp":"1700000000"}'),
        assembled('{"exp":true}'),
        assembled('{"exp":[1]}'),
        assembled('{"exp":NaN}'),
        assembled('{"exp":Infinity}'),
        assembled('{"exp":-1}'),
        assembled('{"exp":1e400}'),
        assembled('{"exp":1e30}'),
        assembled(f'{{"exp":{"9" * 6000}}}'),
        assembled(f'{{"exp":{LAST_SECOND + 1}}}'),
        assembled('{"exp":1,"iat":"x"}'),
        assembled('{"exp":1,"iat":-1}'),
        assembled('{"exp":1,"user_id":{}}'),
        assembled('{"exp":1,"user_id":1.5}'),
        assembled('{"exp":1,"user_id":' + "9" * 21 + "}"),
        assembled('{"exp":1,"user_id":' + "9" * 5000 + "}"),
        assembled('{"exp":1,"x":' + "[" * 5000),
        assembled('{"exp":1,"x":' + '{"a":' * 1100 + "1" + "}" * 1101),
        assembled('{"exp":1,"x":"' + "a" * MAX_LENGTH + '"}'),
        "a" * 10_000_000,
        "A.A.A",
    ],
)
def test_what_is_no_sound_signed_token_is_none(token: str) -> None:
    assert read(token) is None


def test_the_bound_on_the_length_is_exact() -> None:
    token = assembled('{"exp":1}')
    assert read(token + "A" * (MAX_LENGTH - 1 - len(token))) is not None
    assert read(token + "A" * (MAX_LENGTH - len(token))) is None


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert read(text) is None or text.count(".") == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.dictionaries(
        st.sampled_from(["exp", "iat", "jti", "user_id", "sub", "x"]), json_values, max_size=6
    )
)
def test_claims_of_any_type_give_sound_times_or_nothing(payload: dict[str, object]) -> None:
    claims = read(assembled(json.dumps(payload)))
    if claims is not None:
        assert 0 <= claims.exp <= LAST_SECOND
        assert claims.iat is None or 0 <= claims.iat <= LAST_SECOND


SECRET = "s3cr3t-v4lue"


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        (f"/ws/jobs/1/?token={SECRET}", f"/ws/jobs/1/?token={REDACTED}"),
        (f"/a?x=1&access_token={SECRET}&y=2", f"/a?x=1&access_token={REDACTED}&y=2"),
        (f"/a?refresh={SECRET}/with/slashes==", f"/a?refresh={REDACTED}"),
        (f"/a?TOKEN={SECRET}", f"/a?TOKEN={REDACTED}"),
        (f"/a?%74oken={SECRET}", f"/a?%74oken={REDACTED}"),
        (f"/a?token[]={SECRET}", f"/a?token[]={REDACTED}"),
        (f"/a?q=1;token={SECRET}", f"/a?q={REDACTED}"),
        (f"/a?next={quote(f'/ws?token={SECRET}', safe='')}", f"/a?next={REDACTED}"),
        (
            f"/a?next={quote(quote(f'/ws?token={SECRET}', safe=''), safe='')}",
            f"/a?next={REDACTED}",
        ),
        (f'/a?filter={{"token":"{SECRET}"}}', f"/a?filter={REDACTED}"),
        (f"/a?h=Bearer%20{SECRET}", f"/a?h={REDACTED}"),
        (f"/a?h=x+bearer+{SECRET}", f"/a?h={REDACTED}"),
        (f"/reset/{ACCESS}/done", f"/reset/{REDACTED}/done"),
        (f"/reset/%65{ACCESS[1:]}/done", f"/reset/{REDACTED}/done"),
        (f"/a?{ACCESS}", f"/a?{REDACTED}"),
        (f"/a?{ACCESS}=x", f"/a?{REDACTED}"),
        (f"/a?anything={ACCESS}#frag", f"/a?anything={REDACTED}#frag"),
        ("/a?token=&b=1", "/a?token=&b=1"),
    ],
)
def test_tokens_do_not_reach_the_log(text: str, logged: str) -> None:
    assert redact(text) == logged


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/api/auth/token/refresh/",
        "/api/jobs/0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10/?page=2&order=-created",
        "/p%C3%A4th/x%20y?q=100%25&author=bob&keyboard=us",
        "/a?x=%&y=%zz&=&=1&&",
    ],
)
def test_everything_else_is_logged_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_what_is_encoded_too_often_to_be_looked_through_is_redacted() -> None:
    assert redact("/a?q=%252525252541") == f"/a?q={REDACTED}"


def test_header_lines_are_redacted_too() -> None:
    assert SECRET not in redact(f"Authorization: Bearer {SECRET}")


names = st.sampled_from(
    ["token", "access_token", "refresh", "refresh_token", "access", "id_token", "X-Api-Key"]
)
filler = st.text("abc123/?&=%;:. +", max_size=12)


@given(filler, names, filler, st.integers(0, 2))
def test_a_named_token_never_survives_wherever_it_stands(
    before: str, name: str, after: str, encodings: int
) -> None:
    pair = f"{name}={SECRET}"
    for _ in range(encodings):
        pair = "q=" + quote(pair, safe="")
    assert SECRET not in redact(f"/{before}?{pair}&{after}")


@given(filler, filler, st.booleans())
def test_a_jwt_never_survives_wherever_it_stands(before: str, after: str, encoded: bool) -> None:
    text = f"/{before}{ACCESS}{after}"
    payload = ACCESS.split(".")[1]
    assert payload not in redact("/?q=" + quote(text, safe="") if encoded else text)


@given(st.text())
def test_no_text_breaks_redaction(text: str) -> None:
    redact(text)


def at(iat: float | None) -> Claims:
    return Claims(exp=NOW, iat=iat, user=None)


@pytest.mark.parametrize("skew", [-7200.0, 7200.0, 0.0, -1.0, 300.0])
def test_a_token_that_was_just_issued_tells_how_the_clocks_differ(skew: float) -> None:
    measured = tokens.clock_skew([at(NOW - skew)], NOW)
    # A token never lives longer here; up to two seconds shorter, for what was rounded.
    assert measured is not None
    assert skew - 2 <= measured <= skew


def test_the_way_of_an_answer_is_not_taken_for_a_difference_of_clocks() -> None:
    assert tokens.clock_skew([at(NOW)], NOW + 1.9) == 0.0


def test_without_iat_nothing_tells() -> None:
    assert tokens.clock_skew([at(None)], NOW) is None
    assert tokens.clock_skew([], NOW) is None


def test_the_newest_of_the_tokens_tells() -> None:
    assert tokens.clock_skew([at(NOW - 500), at(NOW), at(None)], NOW) == 0.0


@pytest.mark.parametrize("copied", [NOW - 500, NOW - 501])
def test_a_time_that_is_not_newer_than_the_presented_tokens_tells_nothing(copied: float) -> None:
    presented = at(NOW - 500)
    assert tokens.clock_skew([at(copied)], NOW, presented) is None
    assert tokens.clock_skew([at(copied), at(NOW)], NOW, presented) == 0.0
    assert tokens.clock_skew([at(copied)], NOW, at(None)) is not None


def test_every_spelling_that_a_server_may_take_for_a_token_is_brought_to_the_one() -> None:
    token = issued(exp=NOW)
    signed, _, signature = token.rpartition(".")
    last = ALPHABET.index(signature[-1])
    for spelling in (
        *(f"{signed}.{signature[:-1]}{ALPHABET[last & ~3 | bits]}" for bits in range(4)),
        f"{signed}.{signature[:9]}!!!!{signature[9:]}",
        f"{signed}.{signature[:9]} \t\xff\n{signature[9:]}",
        f"{token}=",
    ):
        assert tokens.canonical(spelling) == token
    assert tokens.canonical(signed + "a." + signature) != token
    assert tokens.canonical(token[:-2]) != token


@given(st.text(max_size=60))
def test_no_text_breaks_the_spelling(text: str) -> None:
    assert tokens.canonical(tokens.canonical(text)) == tokens.canonical(text)
