"""The key of all canaries: made once, and kept sealed in the store of switches."""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.control.switch_store.base import SwitchStore
from proxy.errors import StoreAway
from proxy.switching.canary import KEY_LENGTH
from proxy.tokens.sealing import Sealer, Unsealable

NAME: Final = "canary-key"


async def canary_key(store: SwitchStore, keys: Sequence[str], log: FilteringBoundLogger) -> bytes:
    """Return the key; it is made where there is none, and sealed anew where the keys were rotated.

    Args:
        store: where it is kept.
        keys: that seal; the first is in use.
        log: told that it was made.

    Raises:
        StoreAway: the store does not answer, or none of the keys opens what is in it: a key that
            is made anew would move every user of every canary.
    """
    sealer, newest = Sealer(keys), Sealer(keys[:1])
    sealed = await store.value(NAME)
    if sealed is None:
        made = newest.seal(secrets.token_hex(KEY_LENGTH))
        if await store.replace(NAME, None, made):
            log.info("canary key made")
            sealed = made
        else:
            sealed = await store.value(NAME)
    try:
        text = sealer.unseal(sealed or b"")
        key = binascii.unhexlify(text)
    except (Unsealable, ValueError):
        raise StoreAway(
            "none of store.keys opens the key of the canaries: put the key back that sealed it"
        ) from None
    try:
        newest.unseal(sealed or b"")
    except Unsealable:
        # Whoever is faster has done the same; where nobody is, the next start does.
        await store.replace(NAME, sealed, newest.seal(text))
    return key
