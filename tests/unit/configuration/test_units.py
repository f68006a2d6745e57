"""How durations, sizes, addresses and URLs are read."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration import units
from proxy.configuration.document import WrittenFloat, WrittenInt
from proxy.configuration.units import Address

ANYTHING_ELSE: list[object] = [None, True, [], {}, b"1", object()]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("15s", 15.0),
        ("500ms", 0.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("15 s", 15.0),
        ("15", 15.0),
        (WrittenInt(15, "15"), 15.0),
        (WrittenFloat(0.25, "0.25"), 0.25),
        ("0s", 0.0),
    ],
)
def test_durations_are_seconds(written: object, seconds: float) -> None:
    assert units.duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        *ANYTHING_ELSE,
        "",
        "s",
        "-1s",
        "1d",
        "1h30m",
        "15S",
        "1e3",
        "nan",
        "9" * 5000,
        "\N{ARABIC-INDIC DIGIT TWO}s",
        "15s\n",
        WrittenFloat(float("nan"), ".nan"),
        WrittenFloat(float("inf"), ".inf"),
    ],
)
def test_other_durations_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        units.duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("16MiB", 16 * 1024 * 1024),
        ("64KiB", 65536),
        ("1GiB", 1073741824),
        ("1MB", 1_000_000),
        ("1KB", 1000),
        ("1kB", 1000),
        ("2GB", 2_000_000_000),
        ("12 B", 12),
        ("4096", 4096),
        (WrittenInt(4096, "4096"), 4096),
    ],
)
def test_sizes_are_bytes(written: object, size: int) -> None:
    assert units.size(written) == size


@pytest.mark.parametrize(
    "written",
    [*ANYTHING_ELSE, "", "KiB", "-1", "1.5MiB", "1kb", "1Mib", "1e6", "9" * 5000, "1TiB"],
)
def test_other_sizes_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        units.size(written)


def test_whole_numbers() -> None:
    assert units.whole_number(WrittenInt(128, "128")) == 128
    assert units.whole_number("0") == 0


@pytest.mark.parametrize(
    "written", [*ANYTHING_ELSE, "-1", "1.0", WrittenFloat(1.0, "1.0"), "1_000", "", "9" * 5000]
)
def test_other_numbers_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a whole number"):
        units.whole_number(written)


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        (":8080", "", 8080),
        ("[::1]:8080", "::1", 8080),
        ("localhost:0", "localhost", 0),
        ("proxy_1.internal-net.example:65535", "proxy_1.internal-net.example", 65535),
    ],
)
def test_addresses_have_host_and_port(written: str, host: str, port: int) -> None:
    assert units.address(written) == Address(host, port)
    assert str(units.address(written)) == written


@pytest.mark.parametrize(
    "written",
    [
        *ANYTHING_ELSE,
        WrittenInt(8080, "8080"),
        "",
        ":",
        "localhost",
        "localhost:",
        "::1:8080",
        "[::1]",
        "[]:80",
        "[1.2.3.4]:80",
        "[:::]:80",
        "a:65536",
        "a:-1",
        "http://a:80",
        "a b:80",
        "a:80\n",
        "a" * 300 + ":80",
    ],
)
def test_other_addresses_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected an address"):
        units.address(written)


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://old.example.com", "https://old.example.com"),
        ("HTTP://Old.Example.com:0080/", "http://Old.Example.com:80"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_the_url_of_the_server_is_scheme_host_and_port(written: str, url: str) -> None:
    assert units.upstream_url(written) == url


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        *((value, "expected a URL") for value in ANYTHING_ELSE),
        ("", "expected a URL"),
        ("old.example.com", "expected a URL"),
        ("ws://old.example.com", "expected a URL"),
        ("http://", "expected a URL"),
        ("http://a/path", "expected a URL"),
        ("http://a?x=1", "expected a URL"),
        ("http://a#x", "expected a URL"),
        ("http://[::z]", "expected a URL"),
        ("http://[1::2::3]", "expected a URL"),
        ("http://a\r\nHost: b", "expected a URL"),
        ("http://a:0", "expected a port"),
        ("http://a:65536", "expected a port"),
        ("http://user:hunter2@a", "a user or password has no place"),
    ],
)
def test_other_urls_are_refused_and_not_repeated(written: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        units.upstream_url(written)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "written",
    [
        "sqlite:sessions.sqlite3",
        "sqlite:/var/lib/segue/sessions.sqlite3",
        "redis://127.0.0.1",
        "redis://store.example.com:6379/0",
        "rediss://user:p%40ss@store:6380/15",
        "rediss://:password@[::1]:6379/",
        "redis+sentinel://one/main",
        "redis+sentinel://one:26379,two,[::1]:26380/my-master.1/15",
        "rediss+sentinel://user:p%40ss@one:26379,two:26379/main/",
    ],
)
def test_the_url_of_the_store_is_a_file_or_a_server(written: str) -> None:
    assert units.store_url(written) == written


@pytest.mark.parametrize(
    "written",
    [
        *ANYTHING_ELSE,
        "",
        "sqlite:",
        "sqlite:a?mode=memory",
        "sessions.sqlite3",
        "postgres://store",
        "redis://",
        "redis://store:0",
        "redis://store:65536",
        "redis://store/hunter2",
        "redis://store/0?ssl_cert_reqs=none",
        "redis://user:hunter2@two@store",
        "redis://[::z]",
        "redis://store /0",
    ],
)
def test_other_stores_are_refused_and_not_repeated(written: object) -> None:
    with pytest.raises(ValueError, match=r"expected .sqlite:") as raised:
        units.store_url(written)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("redis+sentinel:", "expected sentinels"),
        ("redis+sentinel:///main", "expected sentinels"),
        ("redis+sentinel://one/main/hunter2", "expected sentinels"),
        ("redis+sentinel://one/main?db=hunter2", "expected sentinels"),
        ("redis+sentinel://a:hunter2@b@one/main", "expected sentinels"),
        ("redis+sentinel://one two/main", "expected sentinels"),
        ("redis+sentinel://one/ma in", "expected sentinels"),
        ("redis+sentinel://:hunter2@one:26379", "the name of the primary"),
        ("redis+sentinel://one:0/main", "as sentinel 1"),
        ("redis+sentinel://one,two:65536/main", "as sentinel 2"),
        ("redis+sentinel://one,/main", "as sentinel 2"),
        ("rediss+sentinel://one,[::z]/main", "as sentinel 2"),
        ("redis+sentinel://one:two:3/main", "as sentinel 1"),
        (f"redis+sentinel://{','.join(['one'] * 17)}/main", "no more than 16"),
    ],
)
def test_mistakes_in_the_url_of_sentinels_are_told_and_not_repeated(
    written: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        units.store_url(written)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "https://app.example.com",
        "http://localhost:3000",
        "https://a:80",
        "http://[::1]:3000",
        "capacitor://localhost",
    ],
)
def test_origins_are_those_that_browsers_send(written: str) -> None:
    assert units.origin(written) == written


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        *((value, "expected an origin") for value in ANYTHING_ELSE),
        ("null", "expected an origin"),
        ("app.example.com", "expected an origin"),
        ("https://app.example.com/", "expected an origin"),
        ("https://app.example.com/x", "expected an origin"),
        ("https://*.example.com", "expected an origin"),
        ("https://[::z]", "expected an origin"),
        ("https://App.example.com", "small letters"),
        ("https://app.example.com:443", "default port"),
        ("http://app.example.com:80", "default port"),
        ("http://app.example.com:080", "expected a port"),
        ("http://app.example.com:99999", "expected a port"),
    ],
)
def test_other_origins_are_refused(written: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        units.origin(written)


def test_networks_and_single_addresses() -> None:
    assert units.network("10.0.0.0/8") == ipaddress.ip_network("10.0.0.0/8")
    assert units.network("::1") == ipaddress.ip_network("::1/128")


@pytest.mark.parametrize(
    "written", [*ANYTHING_ELSE, WrittenInt(1, "1"), "", "10.0.0.1/8", "10.0.0.0/33", "localhost"]
)
def test_other_networks_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected an IP address or a network"):
        units.network(written)


@given(
    st.sampled_from(
        [
            units.duration,
            units.size,
            units.whole_number,
            units.address,
            units.upstream_url,
            units.store_url,
            units.origin,
            units.network,
        ]
    ),
    st.text(),
)
def test_any_text_is_read_or_refused(read: Callable[[object], object], text: str) -> None:
    with suppress(ValueError):
        assert read(text) is not None
