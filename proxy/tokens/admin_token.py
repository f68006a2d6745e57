"""Tokens of the admin listener: what one looks like, and what is kept of it.

A token is 256 random bits, so nobody guesses one, and a plain SHA-256 of it tells nobody what it
was: slow hashes are for what people choose (NIST SP 800-63B section 5.1.1.2).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

PREFIX: Final = "segue_admin_"
"""By which people, scanners of repositories and Segue's own log know one."""

RANDOM_BYTES: Final = 32

ANYWHERE: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
"""A token somewhere in a text."""

_SCHEME: Final = "sha256:"
_HASH: Final = re.compile(rf"{_SCHEME}[0-9a-f]{{64}}")


def token_from(random: bytes) -> str:
    """The token that these `RANDOM_BYTES` bytes make."""
    assert len(random) == RANDOM_BYTES
    return PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def hash_of(token: str) -> str:
    """What the configuration keeps of a token."""
    # What a client sends may hold bytes that are no text.
    return _SCHEME + hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def read_hash(value: str) -> str:
    """Check a hash as the configuration has it.

    Raises:
        ValueError: it is none. The text does not repeat it: it can be a token.
    """
    if ANYWHERE.search(value) is not None:
        raise ValueError(
            "this is a token, not the hash of one: it is no secret any more; make a new one with"
            " `segue token new`"
        )
    if _HASH.fullmatch(value) is None:
        raise ValueError(
            'expected "sha256:" and 64 hexadecimal digits, as `segue token new` prints them'
        )
    return value
