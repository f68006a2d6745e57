"""The fields of a client's requests that Segue's own refreshes go with, as `sessions.carry` names.

Pure: what a request brings and what was known before come in, what is known from now on comes out.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from proxy.http.headers import RawFields

MAX_FIELDS: Final = 16
MAX_VALUE: Final = 1024
MAX_SIZE: Final = 4096
"""Fields of a session, bytes of the longest value, and bytes of all names and values together."""

Carried = tuple[tuple[bytes, bytes], ...]


def picked(fields: RawFields, names: Collection[str]) -> Carried:
    """Those of the fields that have one of the names, whatever their case."""
    wanted = {name.lower().encode() for name in names}
    return tuple((name, value) for name, value in fields if name.lower() in wanted)


def remembered(before: Carried, fields: RawFields, names: Collection[str]) -> Carried:
    """What is known once a request has come; the same object where nothing is new.

    A name that the request does not have stays as it was: pages can set no field on a WebSocket.
    One with a value that is too long to be kept is forgotten, and so is all that has no room.

    Args:
        before: what was known.
        fields: of the request.
        names: that are carried.
    """
    new = picked(fields, names)
    if not new:
        return before
    brought = {name.lower() for name, _ in new}
    kept: list[tuple[bytes, bytes]] = []
    size = 0
    for name, value in (*new, *(item for item in before if item[0].lower() not in brought)):
        if len(value) > MAX_VALUE:
            continue
        size += len(name) + len(value)
        if len(kept) == MAX_FIELDS or size > MAX_SIZE:
            break
        kept.append((name, value))
    return before if sorted(kept) == sorted(before) else tuple(kept)


def written(carried: Carried) -> str:
    """As text, to be sealed."""
    return json.dumps([[part.decode("latin-1") for part in item] for item in carried])


def read(text: str) -> Carried:
    """What `written` wrote."""
    pairs: list[tuple[str, str]] = json.loads(text)
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
