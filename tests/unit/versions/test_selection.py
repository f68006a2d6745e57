"""Which source decides on the client's version, and what is taken out of what is forwarded."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration.sections import Versions
from proxy.http.headers import shape_of
from proxy.versions.cohorts import Cohort, Cohorts
from proxy.versions.selection import (
    CACHE_SIZE,
    MAX_NAMES,
    MAX_OUTLINES,
    Selection,
    VersionRules,
    answered_subprotocol,
)
from proxy.versions.sources import (
    SOURCES,
    Outline,
    Received,
    RequestParts,
    Source,
    SourceSettings,
    VersionSource,
    make_sources,
)
from proxy.versions.version import MAX_LENGTH, Version, parse_range
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
        sources=make_sources(sources, Versions()),
    )


RULES = rules()
WITH_DEFAULT = rules(default="1.5")


def received(
    header: bytes | None = None,
    subprotocols: Sequence[bytes] = (),
    query: bytes = b"",
    cookies: Sequence[bytes] = (),
    session: Version | None = None,
) -> Received:
    fields = [(b"Host", b"x"), *((b"Cookie", value) for value in cookies)]
    if header is not None:
        fields.append((b"X-Client-Version", header))
    return Received(fields, shape_of(fields), b"/?" + query, subprotocols, session)


def choose(
    rules: VersionRules = RULES,
    *,
    header: bytes | None = None,
    subprotocols: Sequence[bytes] = (),
    query: bytes = b"",
    cookies: Sequence[bytes] = (),
    session: Version | None = None,
) -> Selection:
    return rules.choose(received(header, subprotocols, query, cookies, session))[0]


def forwarded(
    rules: VersionRules, target: bytes = b"/", subprotocols: Sequence[bytes] = ()
) -> RequestParts:
    """What goes on of a request, as the gateway does it."""
    _, stripping = rules.choose(Received([], shape_of([]), target, subprotocols, None))
    parts = RequestParts(target, [], subprotocols)
    for source in stripping:
        parts = source.strip(parts)
    return parts


def forwarded_target(target: bytes, rules: VersionRules = RULES) -> bytes:
    return forwarded(rules, target).target


def forwarded_subprotocols(offered: Sequence[bytes], rules: VersionRules = RULES) -> list[bytes]:
    return list(forwarded(rules, subprotocols=offered).subprotocols)


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
        found = choose(rules(sources=SOURCES[index:]), **present)  # type: ignore[arg-type]
        assert (found.source, found.version) == (source, read(f"5.{index + 1}"))
    backwards = rules(sources=SOURCES[::-1])
    assert choose(backwards, **present).source is VersionSource.SESSION  # type: ignore[arg-type]


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
    assert forwarded_target(b"/?" + query) == b"/?" + query


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
    assert forwarded_target(target, only_header) == target
    assert forwarded_subprotocols([b"client-version.2"], only_header) == [b"client-version.2"]
    assert only_header.header == b"X-Client-Version"
    disabled = [VersionSource.SUBPROTOCOL, VersionSource.QUERY]
    assert choose(rules(sources=disabled), header=b"2").source is VersionSource.NONE
    assert rules(sources=disabled).header == b""


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
    assert forwarded_target(target) == forwarded


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
    left = forwarded_target(b"/path?" + b"&".join(query))
    rest = b"&".join(parts)
    if not inserted:
        assert left == b"/path?" + rest
    else:
        assert left == (b"/path?" + rest if rest else b"/path")
    assert choose(query=left.partition(b"?")[2]).source is VersionSource.NONE


@given(st.text(max_size=8), st.text(max_size=8))
def test_what_a_server_would_read_as_the_parameter_is_removed(before: str, value: str) -> None:
    query = f"{quote(before)}=1&client_version={quote(value)}&z"
    left = forwarded_target(f"/?{query}".encode())
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
    assert forwarded_subprotocols(offered) == [b"chat", b"Client-Version.2"]


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
    assert answered_subprotocol(offered, forwarded_subprotocols(offered), chosen) == answered


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


def test_nobody_is_asked_about_a_request_that_cannot_have_its_part() -> None:
    # A duplicate's name is remembered once, and what a stranger chose is not remembered at length.
    fresh = rules()
    for number in range(MAX_OUTLINES * 2):
        fields = [(b"X-%d" % number, b""), (b"X-%d" % number, b"")]
        request = Received(fields, shape_of(fields), b"/", (), None)
        assert fresh.choose(request) == (Selection(None, VersionSource.NONE, None), ())
    assert fresh._remembered.cache_info().currsize == MAX_OUTLINES
    before = fresh._remembered.cache_info()
    fields = [(b"x" * MAX_NAMES, b""), (b"X-Client-Version", b"2")]
    request = Received(fields, shape_of(fields), b"/", (), None)
    assert fresh.choose(request)[0].source is VersionSource.HEADER
    assert fresh._remembered.cache_info() == before


def test_only_sources_that_strip_and_may_be_present_are_named_for_it() -> None:
    def stripping(**parts: object) -> list[VersionSource]:
        request = received(**parts)  # type: ignore[arg-type]
        if not parts.get("query"):
            request.target = b"/"
        return [source.label for source in RULES.choose(request)[1]]

    assert stripping(header=b"2", cookies=[b"client_version=1"], session=read("1")) == []
    assert stripping(header=b"2", query=b"a=b") == [VersionSource.QUERY]
    assert stripping(header=b"", query=b"a", subprotocols=[b"chat"]) == [
        VersionSource.SUBPROTOCOL,
        VersionSource.QUERY,
    ]


class FirstSegment(Source):
    """A source that nothing but the rules knows, and that reads what every request has."""

    label = VersionSource.HEADER
    words = "from the path"

    @classmethod
    def of(cls, _: SourceSettings) -> FirstSegment:
        return cls()

    def may_read(self, _: Outline) -> bool:
        return True

    def read(self, request: Received) -> bytes | None:
        segment = request.target.split(b"/")[1]
        return segment[1:] if segment.startswith(b"v") else None

    def strip(self, parts: RequestParts) -> RequestParts:
        segment = parts.target.split(b"/")[1]
        gone = len(segment) + 1 if segment.startswith(b"v") else 0
        return parts._replace(target=parts.target[gone:])


def test_a_source_of_another_part_needs_nothing_but_itself() -> None:
    own = VersionRules(COHORTS, default=None, sources=[FirstSegment()])
    found, _ = own.choose(Received([], shape_of([]), b"/v2.1/jobs", (), None))
    assert (found.version, found.cohort) == (read("2.1"), "modern")
    assert forwarded(own, b"/v2.1/jobs").target == b"/jobs"
    assert forwarded(own, b"/jobs/v2").target == b"/jobs/v2"
    assert own.header == b""
