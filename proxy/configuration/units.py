"""How durations, sizes, addresses and URLs are written in the configuration.

Each function takes what the YAML reader made of a value, or the text of an environment variable or
flag, and raises a ValueError that says what was expected. None repeats the value: what stands in
the wrong place can be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from proxy.configuration.document import as_written

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_SHARE: Final = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,6})?) ?%")

_SIZE: Final = re.compile(r"([0-9]{1,15}) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}

_NAME_OF_HOST: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})"
_HOST: Final = rf"\[[0-9A-Fa-f:.]+\]|{_NAME_OF_HOST}"
_PLACE: Final = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
_ADDRESS: Final = re.compile(rf"({_HOST}|):([0-9]{{1,5}})")
_ORIGIN: Final = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://({_HOST})(?::([0-9]{{1,5}}))?(/?)")
_SQLITE: Final = re.compile(r"sqlite:[^\x00?#]{1,4096}")
_REDIS: Final = re.compile(
    rf"rediss?://(?:[^/?#@:\s]*(?::[^/?#@:\s]*)?@)?({_HOST})(?::([0-9]{{1,5}}))?(?:/[0-9]{{0,3}})?"
)
_SENTINEL: Final = re.compile(
    r"rediss?\+sentinel://(?:[^/?#@:\s]*(?::[^/?#@:\s]*)?@)?([^/?#@\s]+)"
    r"(?:/([A-Za-z0-9._-]{1,128})(?:/[0-9]{0,3})?)?"
)
_MOST_SENTINELS: Final = 16
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds.

    Attributes:
        host: a name or an IP address, without brackets; empty for every interface.
        port: 0 lets the system choose one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def duration(value: object) -> float:
    """Read a duration, in seconds.

    Raises:
        ValueError: it is not one.
    """
    match = _fullmatch(_DURATION, value)
    if match is None:
        raise ValueError('expected a duration such as "15s", "500ms", "2m", "1h", or plain seconds')
    return float(match[1]) * _SECONDS[match[2] or "s"]


class Share(float):
    """A part of 1, written in percent."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{format(self * 100, '.6f').rstrip('0').rstrip('.')}%"


def share(value: object) -> Share:
    """Read a share of less than all, such as `1%`.

    Raises:
        ValueError: it is none.
    """
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError('expected a share below 100%, such as "1%"')
    return Share(round(float(found[1]) / 100, 9))


def size(value: object) -> int:
    """Read a size, in bytes. `KiB` is 1024 of them, `kB` and `KB` are 1000.

    Raises:
        ValueError: it is not one.
    """
    match = _fullmatch(_SIZE, value)
    if match is None:
        raise ValueError('expected a size such as "64KiB", "16MiB", "1MB", or plain bytes')
    return int(match[1]) * _BYTES[match[2] or "B"]


def whole_number(value: object) -> int:
    """Read a whole number that is not negative.

    Raises:
        ValueError: it is not one.
    """
    match = _fullmatch(re.compile(r"([0-9]{1,9})"), value)
    if match is None:
        raise ValueError("expected a whole number, not negative")
    return int(match[1])


def address(value: object) -> Address:
    """Read the address of a listener.

    Raises:
        ValueError: it is not one.
    """
    match = _fullmatch(_ADDRESS, value)
    if match is None or not _is_host(match[1]) or int(match[2]) > _MAX_PORT:
        raise ValueError('expected an address such as "127.0.0.1:8080", ":8080" or "[::1]:8080"')
    return Address(match[1].strip("[]"), int(match[2]))


def upstream_url(value: object) -> str:
    """Read the URL of the server: scheme, host, port; returned without a final slash.

    Raises:
        ValueError: it is not one, or says more than that.
    """
    if isinstance(value, str) and "@" in value:
        raise ValueError("a user or password has no place in this URL")
    match = _fullmatch(_ORIGIN, value)
    if match is None or match[1].lower() not in _DEFAULT_PORTS or not _is_host(match[2]):
        raise ValueError(
            'expected a URL such as "http://127.0.0.1:8000" or "https://old.example.com", '
            "without a path or query"
        )
    if match[3] is None:
        return f"{match[1].lower()}://{match[2]}"
    if not 0 < int(match[3]) <= _MAX_PORT:
        raise ValueError("expected a port from 1 to 65535")
    return f"{match[1].lower()}://{match[2]}:{int(match[3])}"


def store_url(value: object) -> str:
    """Read where the store is: a file, a server of Redis or Valkey, or the sentinels of several.

    Raises:
        ValueError: it is none of these.
    """
    if _fullmatch(_SQLITE, value) is None:
        match = _fullmatch(_REDIS, value)
        if _is_of_sentinels(value):
            _check_sentinels(value)
        elif match is None or not _is_place(match[1], match[2]):
            raise ValueError(
                'expected "sqlite:" and a file, or a URL such as "redis://host:6379/0" or '
                '"rediss://user:password@host:6379/0", in which all but letters, digits and `-._~` '
                'of user and password is percent-encoded, or "redis+sentinel://" for sentinels'
            )
    return str(value)


def _is_of_sentinels(value: object) -> bool:
    return str(value).startswith(("redis+sentinel:", "rediss+sentinel:"))


def _check_sentinels(value: object) -> None:
    match = _fullmatch(_SENTINEL, value)
    if match is None:
        raise ValueError(
            'expected sentinels and the name of their primary, such as "redis+sentinel://'
            'user:password@host:26379,host:26379/NAME", in which all but letters, digits and '
            "`-._~` of user and password is percent-encoded"
        )
    if match[2] is None:
        raise ValueError(
            'expected the name of the primary after the sentinels, such as "/mymaster"'
        )
    places = match[1].split(",")
    if len(places) > _MOST_SENTINELS:
        raise ValueError(f"expected no more than {_MOST_SENTINELS} sentinels")
    for number, each in enumerate(places, 1):
        place = _PLACE.fullmatch(each)
        if place is None or not _is_place(place[1], place[2]):
            raise ValueError(f"expected a host, and a port from 1 to 65535, as sentinel {number}")


def _is_place(host: str, port: str | None) -> bool:
    return _is_host(host) and 0 < int(port or 1) <= _MAX_PORT


def origin(value: object) -> str:
    """Read an origin as browsers serialise it (RFC 6454 section 6.2), or `*`.

    It is compared with what browsers send byte for byte: another spelling would never match.

    Raises:
        ValueError: it is not one, or not spelled so.
    """
    if value == "*":
        return "*"
    match = _fullmatch(_ORIGIN, value)
    if match is None or match[4] or not _is_host(match[2]):
        raise ValueError('expected an origin such as "https://app.example.com", or "*"')
    if match[0] != match[0].lower():
        raise ValueError("expected small letters, as browsers send the origin")
    if match[3] is not None:
        port = int(match[3])
        if not 0 < port <= _MAX_PORT or str(port) != match[3]:
            raise ValueError("expected a port from 1 to 65535")
        if port == _DEFAULT_PORTS.get(match[1]):
            raise ValueError("expected no port: browsers leave the scheme's default port out")
    return match[0]


def network(value: object) -> Network:
    """Read an IP network, or a single address.

    Raises:
        ValueError: it is not one.
    """
    try:
        # Integers are addresses for `ip_network`, but nobody means that.
        return ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(
            'expected an IP address or a network such as "10.0.0.0/8", with no bits after the '
            "prefix"
        ) from None


def _fullmatch(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    written = as_written(value)
    return pattern.fullmatch(written) if isinstance(written, str) else None


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        return False
    return True
