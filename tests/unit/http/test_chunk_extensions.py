"""White space in extensions of chunks is taken out, and nothing else ever changes."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.http.chunk_extensions import ChunkExtensions, cut_behind_head, ends_with_head

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SPACE = st.text("\t ", max_size=3).map(str.encode)
NAMES = st.sampled_from([b"x", b"name", b"a-b"])
VALUES = st.sampled_from([b"y", b'"a ; b"', b'"\\" = "', b'""', b"~"])


class Parsed:
    """What llhttp makes of a chunked body: its bytes, and None where it refuses it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.body = b""
        self.is_whole = False
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(HEAD)
        self.is_refused = False
        try:
            for piece in pieces:
                parser.feed_data(piece)
        except httptools.HttpParserError:
            self.is_refused = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_whole = True

    @property
    def verdict(self) -> tuple[bytes, bool, bool]:
        return self.body, self.is_whole, self.is_refused


def stripped(data: bytes, *cuts: int) -> bytes:
    chunks = ChunkExtensions()
    edges = [0, *sorted(cuts), len(data)]
    return b"".join(chunks.strip(data[a:b]) for a, b in pairwise(edges))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunked body with white space in its extensions, and without."""
    spaced = plain = b""
    sizes = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    for chunk in [*sizes, b""]:
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(chunk)
        spaced += size
        plain += size
        for name, value in draw(st.lists(st.tuples(NAMES, st.none() | VALUES), max_size=3)):
            spaced += draw(SPACE) + b";" + draw(SPACE) + name
            plain += b";" + name
            if value is not None:
                spaced += draw(SPACE) + b"=" + draw(SPACE) + value
                plain += b"=" + value
        end = b"\r\n" + chunk + (b"\r\n" if chunk else b"Trailer: 1 ; x\r\n\r\n")
        spaced += end
        plain += end
    return spaced, plain


@given(bodies())
def test_what_is_left_is_the_body_without_its_white_space_at_every_cut(
    both: tuple[bytes, bytes],
) -> None:
    spaced, plain = both
    for cut in range(len(spaced) + 1):
        assert stripped(spaced, cut) == plain
        assert stripped(plain, min(cut, len(plain))) == plain
    assert stripped(spaced, *range(len(spaced))) == plain
    parsed = Parsed([plain])
    assert parsed.is_whole
    assert Parsed([stripped(spaced)]).verdict == parsed.verdict


@given(bodies(), st.data())
def test_what_is_broken_somewhere_is_taken_as_without_or_refused(
    both: tuple[bytes, bytes], data: st.DataObject
) -> None:
    spaced, _ = both
    place = data.draw(st.integers(0, len(spaced)))
    put = data.draw(st.sampled_from([b"", b"\n", b"\r", b"\0", b" ", b";", b'"', b"\r\n", b"g"]))
    broken = spaced[:place] + put + spaced[place + data.draw(st.integers(0, 2)) :]
    chunks = ChunkExtensions()
    given_on = chunks.strip(broken)
    # Nothing is missing but white space, and what waits for the end of its line.
    assert broken.translate(None, b" \t").startswith(given_on.translate(None, b" \t"))
    before, after = Parsed([broken]), Parsed([given_on])
    if before.is_whole or not before.is_refused:
        assert after.body == before.body
        assert after.is_whole == before.is_whole


LINES = st.sampled_from(
    b'5|0|f5| |\t|;|=|x|"|\\|\r\n|\r|\n|\0|hello|-5|+5|0x5|5_0|,|\xff|5\r\nhello\r\n'.split(b"|")
    + 2 * [b"f" * 16, b"f" * 17]
)


@given(st.lists(LINES, max_size=16).map(b"".join))
@example(b"5\r\nhello\r\n5 \r\nhello\r\n")
@example(b"+5;x ;y\r\nhello\r\n0\r\n\r\n")
@example(b"5\n ;x\r\nhello")
@example(b"5;x\n;y = 1\r\nhello\r\n0\r\n\r\n")
def test_what_llhttp_takes_it_takes_all_the_same(data: bytes) -> None:
    before = Parsed([data])
    after = Parsed([stripped(data)])
    if before.is_refused:
        assert before.body == after.body[: len(before.body)]
        assert not after.is_whole or b";" in data
    else:
        assert after.verdict == before.verdict


ODD = [
    *(b' 5|5 |5 x|5 ;|5 ; x =|5 ;=x|5 ; x="|5 ; x="a"b|5\n ; x|5 ; x\0|5 ;\vx').split(b"|"),
    *(b"0x5 ; x|+5 ; x|5_0 ; x||g ; x|5 ,; x").split(b"|"),
    b"f" * 17 + b" ; x",
    b"5" + 1024 * b" " + b";x",
]


@pytest.mark.parametrize("line", ODD)
def test_a_line_that_is_anything_else_goes_on_as_it_is_and_all_behind_it(line: bytes) -> None:
    data = b"2\r\nhi\r\n" + line + b"\r\nhello\r\n5 ; x\r\nhello\r\n0\r\n\r\n"
    for cut in range(len(data)):
        assert stripped(data, cut) == data


def test_a_line_waits_for_its_end_and_is_bounded() -> None:
    chunks = ChunkExtensions()
    assert chunks.strip(b"2 ;") == b""
    assert chunks.strip(b" x\r") == b""
    assert chunks.removed == 0
    assert chunks.strip(b"\nhi") == b"2;x\r\nhi"
    assert chunks.removed == 2
    assert chunks.strip(b"\r\n3;") == b"\r\n"
    assert chunks.strip(b"x" * 1021) == b""
    assert chunks.strip(b"x") == b"3;" + b"x" * 1022


def test_what_has_no_white_space_is_not_copied() -> None:
    data = b"5;x=y\r\nhello\r\n0\r\n\r\n"
    assert ChunkExtensions().strip(data) is data


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_the_end_of_a_head_is_found_at_every_cut(cut: int) -> None:
    rest = b"5\r\n\r\n\r\n\r\n"
    before = HEAD[:cut][-3:]
    piece = HEAD[cut:] + rest
    assert cut_behind_head(before, piece) == len(HEAD) - cut
    assert ends_with_head(before, HEAD[cut:])
    assert not ends_with_head(before, piece)
    assert not ends_with_head(before, HEAD[cut:-1])


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (HEAD, 0),
        (HEAD[:-1], 0),
        (HEAD + b"5", len(HEAD)),
        (HEAD.upper() + b"5", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nchunked", 0),
    ],
)
def test_a_piece_is_only_cut_where_chunks_may_follow(data: bytes, place: int) -> None:
    assert cut_behind_head(b"", data) == place


@pytest.mark.parametrize(
    ("before", "data"),
    [
        (b"", b"A: 1\n\r\n5\r\n\r\n"),
        (b"1\n\r", b"\n5\r\n\r\n"),
        (b": 1", b"\n\r\n5\r\n\r\n"),
        (b"", b"A: 1\n\n5\r\n\r\n"),
    ],
)
def test_a_head_that_may_end_earlier_is_not_said_to_end_there(before: bytes, data: bytes) -> None:
    assert not ends_with_head(before, data)
