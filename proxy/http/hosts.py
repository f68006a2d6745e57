"""Hosts as requests name them (RFC 9110 section 7.2), told apart."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_HOST: Final = re.compile(rb"(.*?)\.?(?::[0-9]*)?")


@lru_cache(maxsize=256)
def host_name(value: bytes) -> str:
    """The name or address of a host, without its port: equal for those that are the same.

    Servers tell virtual hosts apart by the name alone, as cookies do, and whatever stands in front
    of a proxy may have another port.

    Args:
        value: as in `Host`.
    """
    match = _HOST.fullmatch(value)
    return (value if match is None else match[1]).decode("latin-1").lower()
