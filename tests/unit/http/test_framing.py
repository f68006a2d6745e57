"""What the head of a request must be before a byte of it goes on."""

from __future__ import annotations

import pytest

from proxy.errors import (
    ClientError,
    CodingNotImplemented,
    HeadersTooLarge,
    MethodNotAllowed,
    UnsupportedVersion,
)
from proxy.http.framing import LONGEST_BODY, METHODS, check_head
from proxy.http.headers import shape_of

Fields = list[tuple[bytes, bytes]]

HOST = (b"Host", b"api.example")
V10, V11 = (1, 0), (1, 1)


def check(
    fields: Fields,
    *,
    method: str = "POST",
    version: tuple[int, int] = V11,
    max_size: int = 1000,
    max_fields: int = 10,
) -> None:
    check_head(method, version, fields, shape_of(fields), max_size=max_size, max_fields=max_fields)


@pytest.mark.parametrize("version", [(0, 9), (1, 2), (2, 0), (1, 10), (9, 9)])
def test_other_versions_than_1_0_and_1_1_are_505(version: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedVersion):
        check([HOST], version=version)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_that_somebody_knows_goes_on(method: str) -> None:
    check([HOST], method=method)


@pytest.mark.parametrize("method", ["PRI", "get", "STEAL", "", "GET "])
def test_a_method_that_nobody_knows_does_not(method: str) -> None:
    with pytest.raises(ClientError, match="unknown method"):
        check([HOST], method=method)


def test_connect_is_405() -> None:
    with pytest.raises(MethodNotAllowed):
        check([HOST], method="CONNECT")


def test_http_1_0_may_name_no_host() -> None:
    check([], version=V10)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [HOST, HOST],
        [HOST, (b"hOST", b"other.example")],
        [(b"Host", b"")],
        [(b"Host", b"user@api.example")],
    ],
    ids=["none", "twice", "two", "empty", "user"],
)
def test_http_1_1_names_one_host(fields: Fields) -> None:
    with pytest.raises(ClientError, match="Host"):
        check(fields)


def test_two_hosts_are_refused_in_http_1_0_too() -> None:
    with pytest.raises(ClientError, match="Host"):
        check([HOST, HOST], version=V10)


@pytest.mark.parametrize("length", [b"0", b"5", b"10", b"%d" % LONGEST_BODY])
@pytest.mark.parametrize("version", [V10, V11])
def test_a_length_of_digits_goes_on(length: bytes, version: tuple[int, int]) -> None:
    check([HOST, (b"Content-Length", length)], version=version)


@pytest.mark.parametrize(
    "length",
    [
        *(b"", b"+5", b"-5", b"5, 5", b"5,5", b"0x5", b"5.0", b"1_0", b"5 5", b"five"),
        *("\u0665".encode(), b"%d" % (LONGEST_BODY + 1), b"9" * 20, b"0" * 4000 + b"5"),
        *(b"05", b"00", b"010"),
    ],
)
def test_a_length_that_is_not_one_number_does_not(length: bytes) -> None:
    with pytest.raises(ClientError, match="Length"):
        check([HOST, (b"Content-Length", length)], max_size=5000)


@pytest.mark.parametrize("other", [b"5", b"6"])
def test_two_lengths_do_not_even_where_they_agree(other: bytes) -> None:
    with pytest.raises(ClientError, match="Length"):
        check([HOST, (b"Content-Length", b"5"), (b"content-length", other)])


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED"])
def test_chunked_goes_on_in_http_1_1(coding: bytes) -> None:
    check([HOST, (b"Transfer-Encoding", coding)])


@pytest.mark.parametrize(
    "coding",
    [
        *(b"", b"identity", b"gzip", b"foo, chunked", b"chunked, gzip", b"chunked, chunked"),
        *(b"chunked,", b",chunked", b"xchunked", b"chunkedx", b"chunked;q=1", b'"chunked"'),
        *(b"\x0bchunked", b"chun\xe2\x84\xaaed"),
    ],
)
def test_any_other_coding_does_not(coding: bytes) -> None:
    with pytest.raises(ClientError, match="chunked"):
        check([HOST, (b"Transfer-Encoding", coding)])


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"deflate,X-Gzip , Chunked"])
def test_a_known_coding_is_not_implemented(coding: bytes) -> None:
    with pytest.raises(CodingNotImplemented):
        check([HOST, (b"Transfer-Encoding", coding)])
    with pytest.raises(ClientError) as refused:
        check([HOST, (b"Transfer-Encoding", coding)], version=V10)
    assert refused.value.status == 400


def test_a_coding_named_twice_does_not() -> None:
    chunked = (b"Transfer-Encoding", b"chunked")
    with pytest.raises(ClientError, match="chunked"):
        check([HOST, chunked, chunked])


def test_chunked_does_not_in_http_1_0() -> None:
    with pytest.raises(ClientError, match="chunked"):
        check([HOST, (b"Transfer-Encoding", b"chunked")], version=V10)


def test_a_length_beside_a_coding_does_not() -> None:
    with pytest.raises(ClientError, match="not both"):
        check([HOST, (b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")])


@pytest.mark.parametrize("name", [b"Content_Length", b"transfer_encoding"])
def test_a_look_alike_of_a_framing_field_does_not(name: bytes) -> None:
    with pytest.raises(ClientError, match="resembles"):
        check([HOST, (name, b"5")])


def test_size_and_number_of_fields_are_bounded() -> None:
    exact = [HOST, (b"X", b"a" * 10)]
    size = sum(len(name) + len(value) + len(b": \r\n") for name, value in exact)
    check(exact, max_size=size, max_fields=2)
    with pytest.raises(HeadersTooLarge, match="too large"):
        check(exact, max_size=size - 1)
    with pytest.raises(HeadersTooLarge, match="too many"):
        check(exact, max_fields=1)
