"""The token in a request's body: read for certain, or refused."""

from __future__ import annotations

import codecs
import gzip
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientError, UnsupportedMediaType
from proxy.tokens.request_bodies import is_in_query, read_token, with_current

NESTED = b"[" * 100_000
FIELD = ("refresh",)
WITHIN = ("session", "refresh_token")
JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"


def typed(kind: bytes | None) -> list[tuple[bytes, bytes]]:
    return [(b"Host", b"h")] if kind is None else [(b"Host", b"h"), (b"content-type", kind)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b'{"refresh": "r"}'),
        (b"application/json; charset=UTF-8", b'{"refresh": "r"}'),
        (b'application/json ; charset="utf-8";', b'{"refresh": "r"}'),
        (b"application/json; version=1; charset=us-ascii", b'{"refresh": "r"}'),
        (b"application/vnd.api+json", b'{"refresh": "r"}'),
        (b"text/json", b'{"refresh": "r"}'),
        (None, b'{"refresh": "r"}'),
        (b"", b'{"refresh": "r"}'),
        (b"text/plain;charset=UTF-8", b'{"refresh": "r", "note": "a&b"}'),
        (JSON, rb'{"refr\u0065sh": "\u0072"}'),
        (JSON, b'{"refresh": " r\\n", "s": "\\ud800", "n": 1.10}'),
        (JSON, b'\r\n {"refresh": "r", "note": "&refresh=x"} '),
        (FORM, b"a=1&refresh=r"),
        (FORM, b"refresh=r&"),
        (b"Application/X-WWW-Form-URLEncoded; charset=utf-8", b"b=c&refr%65sh=+%72+"),
    ],
)
def test_a_token_is_read_as_servers_read_it(kind: bytes | None, body: bytes) -> None:
    assert read_token(body, FIELD, typed(kind)) == "r"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (None, b""),
        (b"application/octet-stream", b""),
        (JSON, b" \r\n"),
        (JSON, b"{}"),
        (JSON, b'{"refresh": null}'),
        (JSON, b'{"refresh": "  "}'),
        (JSON, b'{"all": true, "refresher": "x"}'),
        (None, b'{"all": true}'),
        (FORM, b"refresh="),
        (FORM, b"refresh"),
        (FORM, b"a=1;b=2"),
        (FORM, b"a={"),
    ],
)
def test_a_body_may_hold_none(kind: bytes | None, body: bytes) -> None:
    assert read_token(body, FIELD, typed(kind)) is None


def test_a_token_is_read_from_where_the_configuration_says() -> None:
    body = b'{"session": {"refresh_token": "r"}, "refresh": "x"}'
    assert read_token(body, WITHIN, typed(JSON)) == "r"
    assert read_token(b"session[refresh_token]=r&refresh=x", WITHIN, typed(FORM)) == "r"
    assert read_token(b'{"session": null}', WITHIN, typed(JSON)) is None
    assert read_token(b'{"refresh_token": "r"}', WITHIN, typed(JSON)) is None


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json; charset=utf-16",
        b"application/json; charset=utf-8; charset=utf-16",
        b"application/json; charset=utf-16; charset=utf-8",
        b"application/json; charset*=ascii''utf-7",
        b"application/json; charset",
        b'application/json; charset="utf-\\8"',
        b"application/json, application/x-www-form-urlencoded",
        b"application/json charset=utf-8",
        b"application/json\xa0",
        b'application/x-www-form-urlencoded; charset="latin-1"',
        b"multipart/form-data; boundary=x",
        b"application/octet-stream",
        b"application/xml",
        b"application/jsonp",
        b"image/svg+xml",
        b"text/x-form+json",
        b"json",
        b";",
        b"; charset=utf-8",
    ],
)
def test_a_type_that_only_the_server_could_read_is_refused(kind: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        read_token(b'{"refresh": "r"}', FIELD, typed(kind))


def test_two_types_are_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        read_token(b'{"refresh": "r"}', FIELD, [*typed(JSON), *typed(FORM)])


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity, gzip", b"x"])
def test_a_content_coding_is_refused(coding: bytes) -> None:
    body = gzip.compress(b'{"refresh": "r"}')
    with pytest.raises(UnsupportedMediaType):
        read_token(body, FIELD, [*typed(JSON), (b"Content-Encoding", coding)])
    plain = [*typed(JSON), (b"Content-Encoding", b"Identity")]
    assert read_token(b'{"refresh": "r"}', FIELD, plain) == "r"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"{"),
        (JSON, b"refresh=r"),
        (JSON, codecs.BOM_UTF8 + b'{"refresh": "r"}'),
        (JSON, '{"refresh": "r"}'.encode("utf-16")),
        (JSON, '{"refresh": "r"}'.encode("utf-16-le")),
        (JSON, '{"refresh": "r"}'.encode("utf-32")),
        (JSON, b'{"refresh": "r", "s": "\xe9"}'),
        (JSON, b'{"refresh": "r", "n": NaN}'),
        (JSON, b'{"refresh": "r", "n": -Infinity}'),
        (JSON, b'{"refresh": "r",}'),
        (JSON, b'{"refresh": "r"} x'),
        (JSON, b'{"refresh": "x", "refresh": "r"}'),
        (JSON, rb'{"refresh": "x", "refr\u0065sh": "r"}'),
        (JSON, b'{"refresh": "r", "a": {"b": 1, "b": 2}}'),
        (JSON, b'{"Refresh": "r"}'),
        (JSON, b'{"refresh": "x", "REFRESH": "r"}'),
        (JSON, b'{"refresh_": "r"}'),
        (JSON, b'{"refre\xc5\xbfh": "r"}'),
        (JSON, b'{"refresh": 1}'),
        (JSON, b'{"refresh": false}'),
        (JSON, b'{"refresh": ["r"]}'),
        (JSON, b'{"refresh": {"refresh": "r"}}'),
        (JSON, b'{"refresh": "r r"}'),
        (JSON, b'{"refresh": "\\ufeffr"}'),
        (JSON, b'{"refresh": "r\\u0000"}'),
        (JSON, b'{"refresh": "\\ud800"}'),
        (JSON, b'["refresh"]'),
        (JSON, b'"refresh"'),
        (JSON, b'{"n": ' + b"1" * 5000 + b"}"),
        (JSON, NESTED),
        (JSON, b'{"refresh":' * 20_000 + b"1" + b"}" * 20_000),
        (None, b"refresh=r"),
        (b"text/plain", b'{"a": "&refresh=r&"}'),
        (None, b'{"refresh": "x", "a": "&refresh=r&"}'),
        (FORM, b'{"refresh": "r"}'),
        (FORM, b' \n["refresh"]'),
        (FORM, b'"r"'),
        (FORM, codecs.BOM_UTF8 + b'{"refresh": "r"}'),
        (FORM, '{"refresh": "r"}'.encode("utf-16")),
        (FORM, '{"refresh": "r"}'.encode("utf-32-be")),
        (FORM, b"refresh=x&refresh=r"),
        (FORM, b"refresh=x;refresh=r"),
        (FORM, b"a=1;refresh=r"),
        (FORM, b"refresh=r;a=1"),
        (FORM, b"Refresh=r"),
        (FORM, b"refresh%00x=r"),
        (FORM, b"re.fresh=r"),
        (FORM, b"+refresh=r"),
        (FORM, b"refresh%00=r"),
        (FORM, b"refresh[]=r"),
        (FORM, b"refresh%5B0%5D=r"),
        (FORM, b"refresh=r+r"),
        (FORM, b"refresh=%ff"),
        (FORM, b"a=1&" * 1001 + b"refresh=r"),
    ],
)
def test_what_could_be_read_in_another_way_is_refused(kind: bytes | None, body: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        read_token(body, FIELD, typed(kind))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b'{"session": ["r"]}'),
        (JSON, b'{"session": "r"}'),
        (JSON, b'{"Session": {"refresh_token": "r"}}'),
        (JSON, b'{"session": {"refreshToken": "r"}}'),
        (FORM, b"session.refresh_token=r"),
        (FORM, b"session[refreshToken]=r"),
    ],
)
def test_so_is_what_stands_near_a_place_within_others(kind: bytes, body: bytes) -> None:
    with pytest.raises(ClientError):
        read_token(body, WITHIN, typed(kind))


@pytest.mark.parametrize(
    ("target", "is_there"),
    [
        (b"/refresh", False),
        (b"/refresh?refresh=true", False),
        (b"/refresh?next=a.b.c", False),
        (b"/refresh?refresh=a.b.c", True),
        (b"/refresh?x=1;Refr%65sh[]=a%2eb.c", True),
    ],
)
def test_a_token_in_the_query_is_seen(target: bytes, is_there: bool) -> None:
    assert is_in_query(target, FIELD) is is_there
    assert is_in_query(b"/?refresh_token=a.b.c", WITHIN)


@given(
    st.binary(max_size=60),
    st.binary(max_size=100) | st.text(alphabet='{}[]":,refresh=&;%20', max_size=60).map(str.encode),
    st.sampled_from([FIELD, WITHIN]),
)
def test_whatever_comes_is_read_or_refused(kind: bytes, body: bytes, path: tuple[str, ...]) -> None:
    for fields in (typed(None), typed(kind), typed(JSON), typed(FORM)):
        with suppress(ClientError):
            read_token(body, path, fields)
            told, changed = with_current(body, path, "new", fields)
            assert read_token(changed, path, typed(told)) == "new"


@pytest.mark.parametrize("separator", [b"; ", b" ;", b";a=b", b'; a="b" '])
def test_a_hostile_type_is_refused_in_linear_time(separator: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        read_token(b"x", FIELD, typed(b"a/b" + separator * 2000 + b"@"))


def test_another_token_is_put_into_a_body_and_the_rest_of_it_stays() -> None:
    body = b'{"refresh": "r", "n": 1.10}'
    kind = b"application/vnd.api+json; charset=utf-8"
    assert with_current(body, FIELD, 'x"y', typed(kind)) == (kind, b'{"refresh":"x\\"y","n":1.10}')
    assert with_current(body, FIELD, "x", typed(None)) == (JSON, b'{"refresh":"x","n":1.10}')
    for empty in (b"", b" \n"):
        assert with_current(empty, FIELD, "x", typed(FORM)) == (JSON, b'{"refresh":"x"}')
    nested = with_current(b'{"all": true}', WITHIN, "x", typed(JSON))[1]
    assert json.loads(nested) == {"all": True, "session": {"refresh_token": "x"}}


def test_a_form_stays_a_form() -> None:
    assert with_current(b"a=%41&refresh=r&b", FIELD, "x+/=", typed(FORM)) == (
        FORM,
        b"a=%41&b&refresh=x%2B/%3D",
    )
    assert with_current(b"all=1", WITHIN, "x", typed(FORM))[1] == (
        b"all=1&session%5Brefresh_token%5D=x"
    )
