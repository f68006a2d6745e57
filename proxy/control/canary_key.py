"""The key of all canaries: made once, and kept sealed in the store of switches."""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.control.switch_store.base import SwitchStore
from proxy.switching.canary import KEY_LENGTH
from proxy.tokens.sealing import Sealer, Unsealable

NAME: Final = "canary-key"


class KeySealed(Exception):
    """None of the keys opens what is in the store; the text says what to do."""


class CanaryKey:
    """The key, as a process has it.

    Attributes:
        key: who is in a canary is told by it; empty while it cannot be had.
        sealed: the same, as the store has it.
        trouble: why it cannot be had; empty while it can.
    """

    def __init__(self, store: SwitchStore, keys: Sequence[str], log: FilteringBoundLogger) -> None:
        """Nothing is read yet.

        Args:
            store: where it is kept.
            keys: that seal it; the first is in use.
            log: told that it was made, and that it cannot be opened.
        """
        self._store = store
        self._keys = tuple(keys)
        self._log = log
        self.key = b""
        self.sealed = b""
        self.trouble = ""

    async def read(self) -> bool:
        """Read it from the store; whether it is another one than before.

        Where the store has lost it, it is put back. Where none of the keys opens what is there,
        what was had before stays.

        Raises:
            StoreAway: the store does not answer.
        """
        if self.sealed and await self._store.value(NAME) == self.sealed:
            self.trouble = ""
            return False
        try:
            sealed = await sealed_canary_key(self._store, self._keys, self._log, self.key)
            key = opened(sealed, self._keys)
        except KeySealed as error:
            if not self.trouble:
                self._log.error("the canary key cannot be opened", reason=str(error))
            self.trouble = str(error)
            return False
        before, self.key = self.key, key
        self.sealed, self.trouble = sealed, ""
        return key != before

    def recall(self, sealed: bytes) -> None:
        """Take it from a copy of what was read last, while the store is away."""
        with suppress(KeySealed):
            # It will be read again all the same: it may have been sealed anew.
            self.key = opened(sealed, self._keys)


async def sealed_canary_key(
    store: SwitchStore, keys: Sequence[str], log: FilteringBoundLogger, known: bytes = b""
) -> bytes:
    """Return the key as the store has it; it is made where there is none.

    It is sealed anew where the keys were rotated.

    Args:
        store: where it is kept.
        keys: that seal; the first is in use.
        log: told that it was made.
        known: what it was; kept anew in a store that has lost it.

    Raises:
        StoreAway: the store does not answer.
        KeySealed: none of the keys opens what is in it.
    """
    newest = Sealer(keys[:1])
    sealed = await store.value(NAME)
    if sealed is None:
        made = newest.seal(known.hex() or secrets.token_hex(KEY_LENGTH))
        if await store.replace(NAME, None, made):
            if known:
                log.info("canary key put back")
            else:
                log.info("canary key made")
            sealed = made
        else:
            sealed = await store.value(NAME)
    text = opened(sealed or b"", keys).hex()
    try:
        newest.unseal(sealed or b"")
    except Unsealable:
        # Whoever is faster has done the same; where nobody is, the next start does.
        again = newest.seal(text)
        if await store.replace(NAME, sealed, again):
            return again
    return sealed or b""


def opened(sealed: bytes, keys: Sequence[str]) -> bytes:
    """Return the key that was sealed.

    Raises:
        KeySealed: none of the keys opens it: one that is made anew would move every user of every
            canary.
    """
    try:
        return binascii.unhexlify(Sealer(keys).unseal(sealed))
    except (Unsealable, ValueError):
        raise KeySealed(
            "none of store.keys opens the key of the canaries: put the key back that sealed it"
        ) from None
