"""What can be known of a token without its key: its times.

**Nothing may be authorised by what this module reads.** The claims are not verified: anybody can
write a token with any claims. They say when a token that the server issued is going to end, and
whose it claims to be, so that it can be renewed in time; the server alone decides whether it is
good.

The reader is written for tokens on the way through: a fixed bound on the length, a typed decoder
that refuses what strict JSON refuses (`NaN`, half numbers), and None for anything odd.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

MAX_LENGTH: Final = 8192
"""Tokens of this many characters or more are not read."""
LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999, the last that calendars of common libraries know."""
_MAX_USER_BITS: Final = 64
_ROUNDING: Final = 2.0
"""Seconds by which clocks seem to differ that agree: times in tokens are whole seconds, and the
answer took a moment."""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_FROM_STANDARD: Final = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token, unverified: not a proof of anything.

    Attributes:
        exp: when it ends, in seconds since 1970 (RFC 7519 section 4.1.4).
        iat: when it was issued, in seconds since 1970; None where it does not say.
        user: whose it claims to be: SimpleJWT's `user_id`, otherwise `sub`; None without either.
    """

    exp: float
    iat: float | None
    user: str | None


@dataclass(frozen=True, slots=True)
class Validity:
    """When a token begins and ends, on this machine's clock."""

    issued: float
    expires: float


class _Header(msgspec.Struct):
    alg: str


class _Payload(msgspec.Struct):
    exp: int | float | None = None
    iat: int | float | None = None
    user_id: int | str | None = None
    sub: int | str | None = None


def read(token: str) -> Claims | None:
    """The claims of a signed JWT in its compact form (RFC 7515 section 3.1), without verification.

    None for anything else: no such form, unsigned (`alg` none), 8 KiB or more, claims of the wrong
    type, no `exp`, or times that are negative or past the year 9999. Never raises.
    """
    payload = _payload(token)
    if payload is None or payload.exp is None or not _is_time(payload.exp):
        return None
    if payload.iat is not None and not _is_time(payload.iat):
        return None
    return Claims(
        exp=float(payload.exp),
        iat=None if payload.iat is None else float(payload.iat),
        user=_user(payload),
    )


def user_of(token: str) -> str | None:
    """The user that a JWT names, whatever it says of times; None where it is none, or names none.

    As `read`, without verification. Never raises.
    """
    payload = _payload(token)
    return None if payload is None else _user(payload)


def _payload(token: str) -> _Payload | None:
    """What a signed JWT says; None for anything else."""
    match = _COMPACT.fullmatch(token) if len(token) < MAX_LENGTH else None
    if match is None:
        return None
    try:
        header = msgspec.json.decode(_decoded(match[1]), type=_Header)
        payload = msgspec.json.decode(_decoded(match[2]), type=_Payload)
    except (ValueError, RecursionError):
        return None
    user = _named(payload)
    # Identifiers are 64 bits; Python refuses to spell integers of thousands of digits.
    is_too_large = isinstance(user, int) and user.bit_length() > _MAX_USER_BITS
    return None if header.alg.lower() == "none" or is_too_large else payload


def _named(payload: _Payload) -> int | str | None:
    return payload.sub if payload.user_id is None else payload.user_id


def _user(payload: _Payload) -> str | None:
    user = _named(payload)
    return None if user is None else str(user)


def canonical(token: str) -> str:
    """The one spelling of a token that it shares with all others that servers take for it.

    Only the signature has several (RFC 4648 section 3.5): its last character has bits too many, and
    libraries such as PyJWT skip what is no base64. The rest is what is signed, byte for byte.
    """
    signed, dot, signature = token.rpartition(".")
    try:
        padded = signature.translate(_TO_STANDARD) + "=" * (-len(signature) % 4)
        octets = binascii.a2b_base64(padded.encode("latin-1"))
    except ValueError:
        return token
    written = binascii.b2a_base64(octets, newline=False).decode().rstrip("=")
    return signed + dot + written.translate(_FROM_STANDARD)


def clock_skew(
    issued: Iterable[Claims], received: float, presented: Claims | None = None
) -> float | None:
    """By how many seconds this machine's clock is ahead of the server's; None where nothing tells.

    A token that was issued a moment ago tells, by its `iat`. Some servers copy that from the
    refresh token that was presented (SimpleJWT before 5.5.1 does so for access tokens): one that is
    not newer tells nothing.

    Args:
        issued: of the tokens in the server's answer, unverified.
        received: when that came.
        presented: of the refresh token that they were issued for; None where it was a login.
    """
    before = None if presented is None else presented.iat
    times = [
        claims.iat
        for claims in issued
        if claims.iat is not None and (before is None or claims.iat > before)
    ]
    if not times:
        return None
    skew = received - max(times)
    # `iat` was rounded down, by up to a second.
    return 0.0 if 0 <= skew < _ROUNDING else skew - 1


def _decoded(part: str) -> bytes:
    padded = part.translate(_TO_STANDARD) + "=" * (-len(part) % 4)
    return binascii.a2b_base64(padded, strict_mode=True)


def _is_time(seconds: float) -> bool:
    return 0 <= seconds <= LAST_SECOND
