"""Which source decides on the client's version, and what is taken out of what is forwarded."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration.fields import SOURCES
from proxy.versions.cohorts import Cohort, Cohorts
from proxy.versions.selection import CACHE_SIZE, Selection, VersionRules
from proxy.versions.version import MAX_LENGTH, Version, VersionSource, parse_range
from proxy.websocket.handshake import offered_subprotocols

COHORTS = Cohorts([Cohort("modern", parse_range(">=2")), Cohort("legacy", parse_range(">=1,<2"))])


def read(text: str) -> Version:
    version = Version.parse(text)
    assert version is not None
    return version


def rules(
    *, default: str | None = None, sources: Sequence[VersionSource] = SOURCES
) -> VersionRules:
    return VersionRules(
        COHORTS,
        default=None if default is None else read(default),
        sources=sources,
        subprotocol_prefix="client-version.",
        query="client_version",
        cookie="client_version",
    )


RULES = rules()
WITH_DEFAULT = rules(default="1.5")


def choose(
    rules: VersionRules = RULES,
    *,
    header: bytes | None = None,
    subprotocols: Sequence[bytes] = (),
    query: bytes = b"",
    cookies: Sequence[bytes] = (),
    session: Version | None = None,
) -> Selection:
    return rules.choose(
        header=header, subprotocols=subprotocols, query=query, cookies=cookies, session=session
    )


def test_each_source_is_read_and_named() -> None:
    assert choose(header=b"2.1.0") == Selection(read("2.1"), VersionSource.HEADER, "modern")
    assert choose(subprotocols=[b"chat", b"client-version.1.10"]) == Selection(
        read("1.10"), VersionSource.SUBPROTOCOL, "legacy"
    )
    assert choose(query=b"a=1&client_version=2.0.0-rc.1&b") == Selection(
        read("2"), VersionSource.QUERY, "modern"
    )
    assert choose(cookies=[b"a=1", b"b=2; client_version=0.9"]) == Selection(
        read("0.9"), VersionSource.COOKIE, None
    )
    assert choose(session=read("3")) == Selection(read("3"), VersionSource.SESSION, "modern")


def test_the_first_source_present_decides_in_the_order_of_the_setting() -> None:
    present = {
        "header": b"5.1",
        "subprotocols": [b"client-version.5.2"],
        "query": b"client_version=5.3",
        "cookies": [b"client_version=5.4"],
        "session": read("5.5"),
    }
    for index, source in enumerate(SOURCES):
        found = rules(sources=SOURCES[index:]).choose(**present)  # type: ignore[arg-type]
        assert (found.source, found.version) == (source, read(f"5.{index + 1}"))
    backwards = rules(sources=SOURCES[::-1])
    assert backwards.choose(**present).source is VersionSource.SESSION  # type: ignore[arg-type]


def test_without_any_source_the_default_decides() -> None:
    nothing = {"query": b"page=2&x=%20", "cookies": [b"a=b"], "subprotocols": [b"chat"]}
    assert choose(**nothing) == Selection(None, VersionSource.NONE, None)  # type: ignore[arg-type]
    assert choose(WITH_DEFAULT, **nothing) == Selection(  # type: ignore[arg-type]
        read("1.5"), VersionSource.DEFAULT, "legacy"
    )


@pytest.mark.parametrize(
    "pieces",
    [
        {"header": b""},
        {"header": b"latest"},
        {"header": b"1.0, 2.0"},
        {"header": b"2" * 100_000},
        {"header": b"\xff\xfe"},
        {"subprotocols": [b"client-version."]},
        {"query": b"client_version"},
        {"query": b"client_version="},
        {"query": b"client_version=%FF"},
        {"query": b"client_version=" + b"%32" * 100_000},
        {"cookies": [b"client_version="]},
        {"cookies": [b'client_version="']},
        {"header": b"latest", "cookies": [b"client_version=2"]},
    ],
)
def test_an_unreadable_source_decides_for_the_default(pieces: dict[str, object]) -> None:
    assert choose(**pieces) == Selection(None, VersionSource.UNREADABLE, None)  # type: ignore[arg-type]
    assert choose(WITH_DEFAULT, **pieces) == Selection(  # type: ignore[arg-type]
        read("1.5"), VersionSource.UNREADABLE, "legacy"
    )


@pytest.mark.parametrize(
    "query",
    [
        b"client_version=2.0.0+build",
        b"client_version=2.0.0%2Bbuild",
        b"client%5Fversion=2.0",
        b"client%5fversion=2.0",
        b"%63lient_version=%32%2E0",
        b"a=1&=&&client_version=2&client_version=1",
        b"client_version=" + "".join(f"%{ord(c):02X}" for c in "2." + "0" * 16).encode(),
    ],
)
def test_the_query_parameter_is_read_in_every_spelling(query: bytes) -> None:
    found = choose(query=query)
    assert (found.version, found.source) == (read("2"), VersionSource.QUERY)


@pytest.mark.parametrize(
    "query",
    [
        b"Client_Version=2",
        b"xclient_version=2",
        b"client_versions=2",
        b"a=client_version=2",
        b"a=client_version",
        b"client%255Fversion=2",
        b"client_version%3D2",
        b"%" * 20_000 + b"=2",
        b"client_%version=2",
    ],
)
def test_other_parameters_are_not_the_version(query: bytes) -> None:
    assert choose(query=query).source is VersionSource.NONE
    assert RULES.without_query_parameter(b"/?" + query) == b"/?" + query


@pytest.mark.parametrize(
    "cookie",
    [
        b"client_version=2.0",
        b"a=1;client_version=2.0;b=2",
        b'a=1; \tclient_version = "2.0" ; b',
        b"client_version=2%2E0",
        b"client_version=2; client_version=1",
    ],
)
def test_the_cookie_is_read_in_every_spelling(cookie: bytes) -> None:
    assert choose(cookies=[b"x=y", cookie]).version == read("2")


@pytest.mark.parametrize("cookie", [b"xclient_version=2", b"a=client_version=2", b"client_version"])
def test_other_cookies_are_not_the_version(cookie: bytes) -> None:
    assert choose(cookies=[cookie]).source is VersionSource.NONE


def test_a_source_that_is_not_listed_is_no_selector() -> None:
    only_header = rules(sources=[VersionSource.HEADER])
    found = choose(
        only_header,
        subprotocols=[b"client-version.2"],
        query=b"client_version=2",
        cookies=[b"client_version=2"],
        session=read("2"),
    )
    assert found.source is VersionSource.NONE
    target = b"/?client_version=2"
    assert only_header.without_query_parameter(target) == target
    assert only_header.forwarded_subprotocols([b"client-version.2"]) == [b"client-version.2"]
    assert only_header.answered_subprotocol([b"client-version.2"], None) is None
    disabled = [VersionSource.SUBPROTOCOL, VersionSource.QUERY]
    assert choose(rules(sources=disabled), header=b"2").source is VersionSource.NONE


def test_many_spellings_from_clients_are_all_read_and_do_not_pile_up() -> None:
    fresh = rules()
    for number in range(CACHE_SIZE * 2):
        assert choose(fresh, header=b"2.%d" % number).version == read(f"2.{number}")
    assert fresh._read.cache_info().currsize == CACHE_SIZE
    assert choose(fresh, header=b"2" * (MAX_LENGTH + 1)).source is VersionSource.UNREADABLE


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"/p?a=1&client_version=2.1.0&b=%20+", b"/p?a=1&b=%20+"),
        (b"/p?client_version=2.1.0", b"/p"),
        (b"/p?client_version", b"/p"),
        (b"/p?client_version=1&client%5Fversion=2", b"/p"),
        (b"/p?client%5Fversion=2&token=x", b"/p?token=x"),
        (b"/p?a&&client_version=2&&b=?", b"/p?a&&&b=?"),
        (b"/p", b"/p"),
        (b"/p?", b"/p?"),
        (b"/client_version=2?a=%zz&\xff", b"/client_version=2?a=%zz&\xff"),
    ],
)
def test_the_parameter_goes_and_no_other_byte_changes(target: bytes, forwarded: bytes) -> None:
    assert RULES.without_query_parameter(target) == forwarded


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    letters = [
        draw(st.sampled_from([c, f"%{ord(c):02x}", f"%{ord(c):02X}"])) for c in "client_version"
    ]
    return "".join(letters).encode() + draw(st.sampled_from([b"", b"=", b"=2.1", b"=%20+=="]))


others = st.binary(max_size=12).map(lambda raw: raw.replace(b"&", b"").replace(b"?", b""))


@given(st.lists(others), st.lists(st.tuples(st.integers(0, 20), spelled())))
def test_removal_leaves_all_other_parameters_as_they_were(
    parts: list[bytes], inserted: list[tuple[int, bytes]]
) -> None:
    query = list(parts)
    for place, parameter in inserted:
        query.insert(place, parameter)
    left = RULES.without_query_parameter(b"/path?" + b"&".join(query))
    rest = b"&".join(parts)
    if not inserted:
        assert left == b"/path?" + rest
    else:
        assert left == (b"/path?" + rest if rest else b"/path")
    assert choose(query=left.partition(b"?")[2]).source is VersionSource.NONE


@given(st.text(max_size=8), st.text(max_size=8))
def test_what_a_server_would_read_as_the_parameter_is_removed(before: str, value: str) -> None:
    query = f"{quote(before)}=1&client_version={quote(value)}&z"
    left = RULES.without_query_parameter(f"/?{query}".encode())
    names = [name for name, _ in parse_qsl(left[2:].decode(), keep_blank_values=True)]
    assert "client_version" not in names
    assert names[-1] == "z"


def test_offered_subprotocols_keep_order_and_case() -> None:
    assert offered_subprotocols([b" Chat,chat ,, client-version.2.1.0", b"", b"\tx"]) == [
        b"Chat",
        b"chat",
        b"client-version.2.1.0",
        b"x",
    ]


def test_version_tokens_are_not_offered_to_the_server() -> None:
    offered = [b"chat", b"client-version.2.1.0", b"Client-Version.2", b"client-version.x"]
    assert RULES.forwarded_subprotocols(offered) == [b"chat", b"Client-Version.2"]


@pytest.mark.parametrize(
    ("offered", "chosen", "answered"),
    [
        ([b"chat", b"client-version.2"], b"chat", b"chat"),
        ([b"chat", b"client-version.2"], None, b"client-version.2"),
        ([b"client-version.x", b"client-version.2"], None, b"client-version.x"),
        ([b"chat"], None, None),
        ([], None, None),
        ([], b"odd", b"odd"),
    ],
)
def test_the_version_token_is_echoed_only_where_the_server_chose_none(
    offered: list[bytes], chosen: bytes | None, answered: bytes | None
) -> None:
    assert RULES.answered_subprotocol(offered, chosen) == answered


@given(
    st.one_of(st.none(), st.binary()),
    st.lists(st.binary()),
    st.binary(),
    st.lists(st.binary()),
)
def test_no_bytes_break_the_choice(
    header: bytes | None, subprotocols: list[bytes], query: bytes, cookies: list[bytes]
) -> None:
    found = choose(header=header, subprotocols=subprotocols, query=query, cookies=cookies)
    assert found.source in VersionSource
