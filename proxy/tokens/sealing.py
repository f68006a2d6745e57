"""Tokens at rest: sealed, so that who reads the store cannot use them, and found by keyed hashes.

Everything hangs on the configured keys, of 32 random bytes each. The first key is the one in use:
it seals, and from it the key of the hashes is derived. The others were in use before: what they
sealed can still be opened, and tokens are looked up under each of them. So a key is rotated by
putting a new one in front, and taking the old one away once the longest life of a session is over.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_LENGTH: Final = 32
DIGEST_LENGTH: Final = 32

_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
# Never change it: every handle in every store would be lost.
_DIGEST_INFO: Final = b"segue: digests of handles"


class Unsealable(ValueError):
    """Bytes that none of the keys has sealed."""


def read_key(text: str) -> str:
    """A key in its one spelling: URL-safe base64 of 32 bytes, with padding.

    The standard alphabet, which `openssl rand -base64 32` writes, is read too.

    Raises:
        ValueError: it is none. The message does not repeat it.
    """
    try:
        raw = binascii.a2b_base64(text.encode().translate(_TO_STANDARD), strict_mode=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_LENGTH:
        raise ValueError(
            "expected a key of 32 random bytes in base64, as `openssl rand -base64 32` writes one"
        )
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL_SAFE).decode()


def new_key() -> str:
    """A new key, from the system's source of randomness."""
    return Fernet.generate_key().decode()


class Sealer:
    """Seals tokens and hashes handles, with one or more keys."""

    __slots__ = ("_digest_keys", "_fernet")

    def __init__(self, keys: Sequence[str]) -> None:
        """Derive what is needed from the keys.

        Args:
            keys: as `read_key` reads them; the first is the one in use.

        Raises:
            ValueError: there is none, or one is no key.
        """
        spelled = [read_key(key) for key in keys]
        if not spelled:
            raise ValueError("expected at least one key")
        self._fernet = MultiFernet([Fernet(key) for key in spelled])
        self._digest_keys = tuple(_digest_key(key) for key in spelled)

    def seal(self, token: str) -> bytes:
        """The token so that only `unseal` with this key gives it back; another text each time."""
        # The format has room for the time; nothing here asks for it.
        return self._fernet.encrypt_at_time(_bytes(token), 0)

    def unseal(self, sealed: bytes) -> str:
        """The token that was sealed, under whichever of the keys.

        Raises:
            Unsealable: it was altered, or its key is not among these.
        """
        try:
            return self._fernet.decrypt(sealed).decode("utf-8", "surrogatepass")
        except (InvalidToken, UnicodeDecodeError):
            raise Unsealable("not sealed with one of the keys") from None

    def digest(self, held: str) -> bytes:
        """The keyed hash, 32 bytes, under which a token or cookie is written to the store."""
        return hmac.digest(self._digest_keys[0], _bytes(held), "sha256")

    def digests(self, held: str) -> tuple[bytes, ...]:
        """The keyed hashes under which it may be found, that of `digest` first."""
        data = _bytes(held)
        return tuple(hmac.digest(key, data, "sha256") for key in self._digest_keys)


def _bytes(text: str) -> bytes:
    # JSON can spell half a surrogate pair, and a token is what was in the JSON.
    return text.encode("utf-8", "surrogatepass")


def _digest_key(key: str) -> bytes:
    # Its own key (RFC 5869), so that no hash tells anything about the one that seals.
    derive = HKDF(algorithm=SHA256(), length=DIGEST_LENGTH, salt=None, info=_DIGEST_INFO)
    return derive.derive(binascii.a2b_base64(key.translate(str.maketrans("-_", "+/"))))
