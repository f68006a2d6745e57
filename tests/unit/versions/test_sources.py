"""Each source by itself: what it reads, what it takes out, and how a client tells by it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration.sections import Versions
from proxy.http.headers import shape_of
from proxy.versions.sources import (
    KINDS,
    SOURCES,
    CookieSource,
    HeaderSource,
    Outline,
    QuerySource,
    Received,
    RequestParts,
    SessionSource,
    Source,
    SubprotocolSource,
    VersionSource,
    make_sources,
)
from proxy.versions.version import Version

HEADER = HeaderSource("X-App")
SUBPROTOCOL = SubprotocolSource("app.")
QUERY = QuerySource("app")
COOKIE = CookieSource("app")
SESSION = SessionSource()
ALL: Sequence[Source] = (HEADER, SUBPROTOCOL, QUERY, COOKIE, SESSION)
TELLABLE: Sequence[Source] = (HEADER, SUBPROTOCOL, QUERY, COOKIE)

SEEN = Version.parse("2.1")
BARE = RequestParts(b"/", [], [])
OTHERS = RequestParts(b"/p?a=1", [(b"Host", b"x"), (b"Cookie", b"a=1")], [b"chat"])


def received(parts: RequestParts, session: Version | None = None) -> Received:
    return Received(parts.fields, shape_of(parts.fields), parts.target, parts.subprotocols, session)


def outline(request: Received) -> Outline:
    return Outline(
        request.shape.names,
        b"?" in request.target,
        bool(request.subprotocols),
        request.session is not None,
    )


def told(source: Source, parts: RequestParts, version: bytes) -> RequestParts:
    telling = source.tell(parts, version)
    assert telling is not None
    return telling


def test_every_kind_has_a_label_of_its_own_and_words() -> None:
    assert SOURCES == ("header", "subprotocol", "query", "cookie", "session")
    assert {*VersionSource} - {*SOURCES} == {"default", "unreadable", "none"}
    assert len({kind.words for kind in KINDS}) == len(KINDS)


def test_sources_are_made_of_their_own_settings_in_the_order_that_is_asked_for() -> None:
    settings = Versions(header="X-App", subprotocol_prefix="app.", query="q", cookie="c")
    made = make_sources(SOURCES[::-1], settings)
    assert [source.label for source in made] == [*SOURCES[::-1]]
    parts = BARE
    for source in made:
        parts = source.tell(parts, b"2") or parts
    assert parts == RequestParts(b"/?q=2", [(b"cookie", b"c=2"), (b"x-app", b"2")], [b"app.2"])
    assert [source.read(received(parts, SEEN)) for source in made] == [SEEN, *[b"2"] * 4]


@pytest.mark.parametrize("source", ALL)
def test_a_source_finds_nothing_in_what_is_not_its_own(source: Source) -> None:
    for parts in (BARE, OTHERS):
        request = received(parts)
        assert source.read(request) is None
        assert source.strip(parts) == parts
    assert not source.may_read(outline(received(BARE)))


@pytest.mark.parametrize("source", TELLABLE)
@pytest.mark.parametrize("before", [BARE, OTHERS])
def test_what_is_told_is_read(source: Source, before: RequestParts) -> None:
    request = received(told(source, before, b"2.1"))
    assert source.may_read(outline(request))
    assert source.read(request) == b"2.1"
    for other in ALL:
        if other is not source:
            assert other.read(request) is None


@pytest.mark.parametrize("source", [SUBPROTOCOL, QUERY])
@pytest.mark.parametrize("before", [BARE, OTHERS])
def test_what_is_told_in_a_selector_of_segues_own_does_not_go_on(
    source: Source, before: RequestParts
) -> None:
    twice = told(source, told(source, before, b"2.1"), b"x")
    assert source.strip(twice) == before


@pytest.mark.parametrize("source", [HEADER, COOKIE])
def test_fields_that_tell_go_on_to_the_server(source: Source) -> None:
    parts = told(source, OTHERS, b"2.1")
    assert source.strip(parts) is parts


def test_the_header_is_read_in_any_case_and_joined_where_it_came_twice() -> None:
    fields = [(b"x-APP", b"1"), (b"X-Other", b"3"), (b"X-App", b"2")]
    assert HEADER.read(received(BARE._replace(fields=fields))) == b"1,2"
    assert HEADER.read(received(BARE._replace(fields=[(b"X-App", b"")]))) == b""


def test_only_the_header_is_a_field_for_versions_alone() -> None:
    assert [source.header for source in ALL] == [b"X-App", b"", b"", b"", b""]


def test_the_first_subprotocol_with_the_prefix_tells() -> None:
    parts = BARE._replace(subprotocols=[b"chat", b"app.", b"App.1", b"app.2"])
    assert SUBPROTOCOL.read(received(parts)) == b""
    assert SUBPROTOCOL.strip(parts).subprotocols == [b"chat", b"App.1"]


def test_the_first_parameter_of_the_name_tells_in_any_spelling_and_all_of_them_go() -> None:
    parts = BARE._replace(target=b"/app=9?b=%2&%61pp=%32&app=3&app")
    assert QUERY.read(received(parts)) == b"2"
    assert QUERY.strip(parts).target == b"/app=9?b=%2"
    assert QUERY.strip(BARE._replace(target=b"/?app=2")).target == b"/"


def test_the_first_cookie_of_the_name_tells() -> None:
    fields = [(b"Cookie", b"xapp=1; b"), (b"cookie", b'b=1; app="2%2E0"; app=3')]
    assert COOKIE.read(received(BARE._replace(fields=fields))) == b"2.0"


def test_a_part_of_a_field_or_of_a_query_in_which_the_name_only_occurs_tells_nothing() -> None:
    parts = RequestParts(b"/?xapp=1", [(b"Cookie", b"a=app; xapp=1")], [b"xapp."])
    assert [source.read(received(parts)) for source in ALL] == [None] * len(ALL)
    assert QUERY.strip(parts) is parts


def test_the_session_tells_what_was_seen_and_no_client_can() -> None:
    request = received(OTHERS, SEEN)
    assert SESSION.may_read(outline(request))
    assert SESSION.read(request) is SEEN
    assert SESSION.tell(OTHERS, b"2") is None


pieces = st.sampled_from(
    [b"app", b"app=", b"app.", b"%61pp=2", b"x-app", b"&", b"?", b"=", b";", b"%", b'"', b" ", b"2"]
)
texts = st.lists(pieces, max_size=8).map(b"".join) | st.binary(max_size=16)
requests = st.builds(
    RequestParts,
    texts.map(lambda raw: b"/" + raw),
    st.lists(st.tuples(st.sampled_from([b"X-App", b"Cookie", b"Accept"]), texts), max_size=3),
    st.lists(texts, max_size=3),
)


@given(requests)
def test_whatever_is_sent_a_source_strips_just_what_it_reads(parts: RequestParts) -> None:
    request = received(parts)
    for source in ALL:
        stripped = source.strip(parts)
        assert source.strip(stripped) == stripped
        if source.read(request) is None:
            assert stripped == parts
        else:
            assert source.may_read(outline(request))
            if type(source).strip is not Source.strip:
                assert source.read(received(stripped)) is None
