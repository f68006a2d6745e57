"""What a proxy does to header fields, and what it refuses to write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientError
from proxy.http.headers import (
    HOP_BY_HOP,
    Downstream,
    end_to_end,
    forwardable,
    forwarding_fields,
    hops_left,
    is_authority,
    is_forwarding,
    kept_for,
    origin_form,
    reason_of,
    serialize,
    shape_of,
    tokens,
    values_of,
)

Fields = list[tuple[bytes, bytes]]

STRANGER = Downstream("192.0.2.7", "http", trusted=False)
PROXY = Downstream("10.0.0.2", "https", trusted=True)


def test_lists_are_split_into_lower_case_members_without_empty_ones() -> None:
    assert tokens([b"Keep-Alive,\tX-A ,, ", b"", b"UPGRADE"]) == [b"keep-alive", b"x-a", b"upgrade"]


def test_values_are_found_in_any_spelling_of_the_name_in_order() -> None:
    fields = [(b"X-A", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"X-A-B", b"4")]
    assert values_of(fields, b"x-a") == [b"1", b"3"]


# Hop-by-hop fields.


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
@pytest.mark.parametrize("spell", [bytes.lower, bytes.upper, bytes.title])
def test_a_hop_by_hop_field_does_not_go_on(name: bytes, spell: Callable[[bytes], bytes]) -> None:
    kept = (b"Accept", b"*/*")
    assert end_to_end([(spell(name), b"value"), kept]) == [kept]


def test_the_hop_by_hop_fields_are_those_of_the_rfc_and_two_of_custom() -> None:
    assert {
        *(b"connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade", b"trailer"),
        *(b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
    } == HOP_BY_HOP


def test_fields_that_connection_names_do_not_go_on_whatever_the_spelling_and_place() -> None:
    fields = [
        (b"X-First", b"named behind it"),
        (b"Connection", b"close, x-FIRST"),
        (b"X-Kept", b"1"),
        (b"cOnNeCtIoN", b"Keep-Alive ,\tX-Second"),
        (b"x-second", b"2"),
        (b"X-SECOND", b"3"),
        (b"X-First-And-More", b"4"),
    ]
    assert end_to_end(fields) == [(b"X-Kept", b"1"), (b"X-First-And-More", b"4")]


@pytest.mark.parametrize("name", [b"Host", b"Content-Length"])
def test_connection_does_not_remove_what_decides_routing_or_framing(name: bytes) -> None:
    fields = [(name, b"5"), (b"Connection", name.upper() + b", x-gone"), (b"X-Gone", b"")]
    assert end_to_end(fields) == [(name, b"5")]


def test_further_fields_are_left_out_in_any_spelling() -> None:
    fields = [(b"VIA", b"1.1 a"), (b"Accept", b"*/*"), (b"via", b"1.1 b")]
    assert end_to_end(fields, frozenset({b"via"})) == [(b"Accept", b"*/*")]


_names = st.sampled_from([b"Accept", b"X-A", b"x-a", b"X-B", b"Host", b"TE", b"Set-Cookie"])
_listed = st.lists(st.sampled_from([b"x-A", b"X-b", b"close", b"host", b"Keep-Alive", b""]))
_connections = _listed.map(lambda members: (b"Connection", b", ".join(members)))


@given(fields=st.lists(st.one_of(st.tuples(_names, st.binary(max_size=3)), _connections)))
def test_what_goes_on_keeps_order_spelling_and_bytes(fields: Fields) -> None:
    listed = b",".join(value for name, value in fields if name == b"Connection").lower()
    named = {member.strip() for member in listed.split(b",")} - {b"host"}
    gone = named | {b"connection", b"te"}
    assert end_to_end(fields) == [field for field in fields if field[0].lower() not in gone]


# Forwarding fields.


@pytest.mark.parametrize(
    "name",
    [
        *(b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"),
        *(b"x-forwarded-port", b"x-forwarded-prefix", b"x-real-ip", b"x-request-id"),
        *(b"x_forwarded_for", b"x-forwarded_for", b"x_real-ip", b"x_request_id"),
    ],
)
def test_forwarding_fields_and_their_look_alikes_are_known(name: bytes) -> None:
    assert is_forwarding(name)


@pytest.mark.parametrize("name", [b"host", b"via", b"x-forward", b"x-requested-with", b"x_forward"])
def test_other_fields_are_no_forwarding_fields(name: bytes) -> None:
    assert not is_forwarding(name)


HOSTILE: Fields = [
    (b"Host", b"api.example"),
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"admin.example"),
    (b"X-Forwarded-Port", b"1"),
    (b"X_Forwarded_For", b"127.0.0.2"),
    (b"Forwarded", b"for=127.0.0.3"),
    (b"X-Real-Ip", b"127.0.0.4"),
    (b"X-Request-Id", b"id-1"),
]


def test_whatever_a_stranger_claims_the_chain_starts_with_its_address() -> None:
    assert forwarding_fields(HOSTILE, STRANGER, "id-1", b"api.example") == [
        (b"X-Forwarded-For", b"192.0.2.7"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"api.example"),
        (b"X-Request-Id", b"id-1"),
        (b"Via", b"1.1 segue"),
    ]


def test_a_trusted_proxys_chain_is_continued_but_not_its_look_alikes() -> None:
    added = forwarding_fields(
        [*HOSTILE, (b"x-forwarded-for", b"10.0.0.1")], PROXY, "id-1", b"api.example"
    )
    assert added == [
        (b"X-Forwarded-For", b"127.0.0.1, 10.0.0.1, 10.0.0.2"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"admin.example"),
        (b"X-Request-Id", b"id-1"),
        (b"Via", b"1.1 segue"),
        (b"x-forwarded-port", b"1"),
        (b"forwarded", b"for=127.0.0.3"),
        (b"x-real-ip", b"127.0.0.4"),
    ]


def test_what_a_trusted_proxy_leaves_open_is_filled_in() -> None:
    assert forwarding_fields([(b"Host", b"h")], PROXY, "id-1", b"api.example") == [
        (b"X-Forwarded-For", b"10.0.0.2"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"api.example"),
        (b"X-Request-Id", b"id-1"),
        (b"Via", b"1.1 segue"),
    ]


def test_without_a_host_none_is_forwarded() -> None:
    names = [name for name, _ in forwarding_fields([], STRANGER, "id-1", b"")]
    assert b"X-Forwarded-Host" not in names


@pytest.mark.parametrize(
    ("downstream", "via"),
    [(STRANGER, b"1.1 segue"), (PROXY, b"1.0 fred, 1.1 wilma, 1.1 segue")],
)
def test_via_is_continued_for_a_trusted_proxy_and_begins_here_for_others(
    downstream: Downstream, via: bytes
) -> None:
    fields = [(b"Via", b"1.0 fred"), (b"VIA", b"1.1 wilma")]
    assert (b"Via", via) in forwarding_fields(fields, downstream, "i", b"h")


# Request targets.


@pytest.mark.parametrize(
    ("target", "origin", "authority"),
    [
        (b"/", b"/", None),
        (b"*", b"*", None),
        (b"/a%2Fb/../c;d?e=%00&f==/?", b"/a%2Fb/../c;d?e=%00&f==/?", None),
        (b"//elsewhere.example/x", b"//elsewhere.example/x", None),
        (b"/http://elsewhere.example/", b"/http://elsewhere.example/", None),
        (b"/%C3%A9?%FF", b"/%C3%A9?%FF", None),
        (b"http://api.example", b"/", b"api.example"),
        (b"HTTPS://api.example:8443/x?y", b"/x?y", b"api.example:8443"),
        (b"http://api.example?q=/a", b"/?q=/a", b"api.example"),
        (b"http://[2001:db8::1]:80/x", b"/x", b"[2001:db8::1]:80"),
        (b"http://api.example/?@", b"/?@", b"api.example"),
    ],
)
def test_a_target_keeps_the_bytes_of_its_path_and_query(
    target: bytes, origin: bytes, authority: bytes | None
) -> None:
    assert origin_form(target) == (origin, authority)


@pytest.mark.parametrize(
    "target",
    [
        *(b"", b"x", b"api.example:443", b"?a=b", b"**"),
        *(b"ftp://api.example/", b"file:///etc/passwd", b"javascript:alert(1)", b"://x/"),
        *(b"http:/x", b"http:///x", b"http://", b"http://?x", b"ws://api.example/"),
        *(b"http://alice:s3cret@api.example/", b"http://@api.example/"),
        *(b"http://a,b/", b"http://a%2fb/", b"http://a:x/", b"http://[::1/", b"http://a\\b/"),
        *(b"/\xc3\xa9", b"/?\xff", b"/\x7f", b"/\0"),
        *(b"/a#b", b"/a b", b"/a\tb", b"http://api.example/#", b"* "),
    ],
)
def test_a_target_of_another_form_is_refused_without_being_quoted(target: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        origin_form(target)
    assert "s3cret" not in refused.value.detail
    assert "example" not in refused.value.detail


@given(target=st.binary(max_size=40))
def test_any_target_is_either_in_origin_form_or_refused(target: bytes) -> None:
    try:
        origin, authority = origin_form(target)
    except ClientError:
        return
    assert origin.startswith(b"/") or origin == b"*"
    assert target.endswith(origin.removeprefix(b"/"))
    assert authority is None or (authority in target and b"@" not in authority)


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"h",
            b"api.example",
            b"API.example.",
            b"a_b.c-d",
            b"192.0.2.7",
            b"[::1]",
            b"[2001:db8::1]",
        ),
        *(b"h:1", b"h:65535", b"h:", b"[::1]:8080"),
    ],
)
def test_a_name_or_an_address_with_or_without_a_port_is_an_authority(value: bytes) -> None:
    assert is_authority(value)


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"",
            b":80",
            b"h:65536",
            b"h:x",
            b"h:-1",
            b"h:1:2",
            b"h ",
            b"a b",
            b"a/b",
            b"a?b",
            b"a#b",
        ),
        *(
            b"a@b",
            b"a,b",
            b"a\\b",
            b"a%2fb",
            b"\xc3\xa4",
            b"http://a",
            b"[::1",
            b"::1",
            b"[]",
            b"[g]",
        ),
        *(b"a<b", b"a;b", b"a" * 256, b"h\n"),
    ],
)
def test_anything_else_is_no_authority(value: bytes) -> None:
    assert not is_authority(value)


# Writing a head.


def test_a_head_is_written_as_it_came() -> None:
    fields = [(b"Host", b"api.example"), (b"x-A", b""), (b"X-a", b"\xff, b")]
    assert serialize(b"GET /?q HTTP/1.1", fields) == (
        b"GET /?q HTTP/1.1\r\nHost: api.example\r\nx-A: \r\nX-a: \xff, b\r\n\r\n"
    )
    assert serialize(b"HTTP/1.1 204 No Content", []) == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize("evil", [b"\r\n", b"\r", b"\n", b"\0", b"\n\r", b"\r\n\r\n"])
@pytest.mark.parametrize("place", ["start line", "name", "value", "end of a value"])
def test_a_line_break_or_nul_is_never_written(evil: bytes, place: str) -> None:
    parts = {"start line": b"GET / HTTP/1.1", "name": b"X-A", "value": b"one two"}
    if place == "end of a value":
        parts["value"] += evil
    else:
        parts[place] = parts[place][:2] + evil + parts[place][2:]
    with pytest.raises(ValueError, match="line break"):
        serialize(parts["start line"], [(b"Host", b"h"), (parts["name"], parts["value"])])


_text = st.binary(max_size=6).map(lambda text: text.replace(b":", b""))


@given(start=_text, fields=st.lists(st.tuples(_text, _text), max_size=4))
def test_a_head_has_exactly_the_fields_that_were_given(start: bytes, fields: Fields) -> None:
    broken = any(byte in b"".join([start, *map(b"".join, fields)]) for byte in b"\r\n\0")
    if broken:
        with pytest.raises(ValueError, match="line break"):
            serialize(start, fields)
        return
    lines = serialize(start, fields).split(b"\r\n")
    assert lines[0] == start
    assert lines[-2:] == [b"", b""]
    assert [tuple(line.split(b": ", 1)) for line in lines[1:-2]] == fields


def test_reason_phrases_of_registered_codes_and_none_of_others() -> None:
    assert reason_of(404) == b"Not Found"
    assert reason_of(101) == b"Switching Protocols"
    assert reason_of(499) == b""


# Shapes.

_shaped_names = st.sampled_from(
    [
        b"Host",
        b"Connection",
        b"connection",
        b"TE",
        b"Via",
        b"X_Forwarded_For",
        b"X-A",
        b"x-a",
        b"Upgrade",
    ]
) | st.binary(min_size=1, max_size=3).filter(lambda name: b":" not in name)
_shaped_values = st.sampled_from([b"", b"a", b"close", b"Keep-Alive", b"x-a, upgrade", b"host"])


@given(st.lists(st.tuples(_shaped_names, _shaped_values), max_size=8))
def test_a_shape_says_of_fields_what_going_through_them_says(
    fields: list[tuple[bytes, bytes]],
) -> None:
    shape = shape_of(fields)
    for name in (b"host", b"connection", b"x-a", b"via", b"absent"):
        assert shape.values(fields, name) == values_of(fields, name)
        assert (name in shape) == bool(values_of(fields, name))
    named = set(tokens(values_of(fields, b"connection"))) - {b"host"}
    gone = HOP_BY_HOP | named
    onward = [field for field in fields if field[0].lower() not in gone]
    assert end_to_end(fields) == onward
    assert forwardable(fields, shape) == [
        (name, value)
        for name, value in onward
        if name.lower() != b"via" and not is_forwarding(name.lower())
    ]


def test_shapes_are_remembered_for_names_of_bounded_length_only() -> None:
    short, long = [(b"X-Short", b"1"), (b"B", b"2")], [(b"X-" + b"a" * 3000, b"1")]
    assert shape_of(short) is shape_of([(b"X-Short", b"other"), (b"B", b"")])
    assert shape_of(long) is not shape_of(long)
    assert end_to_end(long) == long


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b'max=100, Timeout = "75"', 74.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"timeout=60, max=0", 0.0),
        (b"max=100", None),
        (b"", None),
        (b"timeout=-5", None),
        (b"timeout=1e9", 0.5),
        (b"timeout=12345678901234567890", None),
        (b"xtimeout=5", None),
    ],
)
def test_a_server_says_how_long_it_keeps_a_connection(value: bytes, seconds: float | None) -> None:
    assert kept_for(value) == seconds


@pytest.mark.parametrize(
    ("method", "told", "hops"),
    [
        ("OPTIONS", [], None),
        ("OPTIONS", [b"0"], 0),
        ("TRACE", [b"10"], 10),
        ("TRACE", [b"007"], 7),
        ("GET", [b"0"], None),
        ("GET", [b"x"], None),
    ],
)
def test_forwards_are_counted_where_they_mean_something(
    method: str, told: list[bytes], hops: int | None
) -> None:
    assert hops_left(method, [(b"MAX-FORWARDS", value) for value in told]) == hops


@pytest.mark.parametrize("told", [[b""], [b"-1"], [b"1.0"], [b"1", b"1"], [b"1" * 10]])
def test_a_count_that_is_no_number_is_refused(told: list[bytes]) -> None:
    with pytest.raises(ClientError):
        hops_left("OPTIONS", [(b"Max-Forwards", value) for value in told])


@pytest.mark.parametrize(
    ("method", "target", "origin"),
    [
        ("OPTIONS", b"http://h:81", b"*"),
        ("OPTIONS", b"http://h/", b"/"),
        ("OPTIONS", b"http://h?q", b"/?q"),
        ("GET", b"http://h", b"/"),
    ],
)
def test_options_of_a_url_without_a_path_is_about_the_whole_server(
    method: str, target: bytes, origin: bytes
) -> None:
    assert origin_form(target, method)[0] == origin


def test_via_names_the_version_that_the_client_speaks() -> None:
    old = Downstream("192.0.2.1", "http", trusted=False, version=b"1.0")
    assert (b"Via", b"1.0 segue") in forwarding_fields([], old, "i", b"h")


@pytest.mark.parametrize(
    ("name", "rewrites", "overrides"),
    [
        (b"SCRIPT_NAME", True, False),
        (b"X-Original_URL", True, False),
        (b"x_http_method-override", False, True),
        (b"X-Scripts-Name", False, False),
        (b"Accept", False, False),
    ],
)
def test_a_field_that_stands_for_path_or_method_is_known_in_each_spelling(
    name: bytes, rewrites: bool, overrides: bool
) -> None:
    shape = shape_of([(b"Host", b"h"), (name, b"x")])
    assert (shape.rewrites_path, shape.overrides_method) == (rewrites, overrides)
