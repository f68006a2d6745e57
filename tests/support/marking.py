"""Mappings that do nothing but mark what they were applied to, and the switches of these."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from proxy.control.switch_store.base import SwitchStore
from proxy.switching.canary import Canary
from proxy.switching.setting import share_of
from proxy.tokens.sealing import Sealer
from tests.support.fleet import KEY

TO_CLIENT: Final = ("modern/first", "modern/second")
TO_SERVER: Final = ("modern/up",)
BODIES: Final = ("modern/ask", "modern/answer")
SWITCHES: Final = (*TO_CLIENT, *TO_SERVER, *BODIES)

KINDS: Final = {
    "first": ("websocket", "to_client", "jobStatus"),
    "second": ("websocket", "to_client", "jobStatus"),
    "up": ("websocket", "to_server", "chat"),
    "ask": ("http", "to_server", "question"),
    "answer": ("http", "to_client", "answer"),
}

MAPPING: Final = """\
name: {name}
description: Marks a message twice, so that half a mapping shows.
channel: {channel}
direction: {direction}
rules:
  - name: mark
    match: {{field: kind, equals: {kind}}}
    do:
      - set: {{{name}: "{reading}"}}
      - set: {{{name}_too: "{reading}"}}
    examples:
      - in: {{kind: {kind}}}
        out: {{kind: {kind}, {name}: "{reading}", {name}_too: "{reading}"}}
"""

CONFIG: Final = """\
upstream: {{url: '{url}'}}
timeouts: {{drain: 2s}}
switching: {{reconnect_over: 1s}}
cohorts:
  - name: modern
    versions: '>=2'
    websocket: {{to_client: [first, second], to_server: [up]}}
    http: [{{path: /echo, to_server: [ask], to_client: [answer]}}]
"""


def write(directory: Path, url: str, reading: str, *, lacking: str = "") -> Path:
    """Write the configuration, with mappings that mark with this, but for one; its file."""
    (directory / "mappings").mkdir(parents=True, exist_ok=True)
    for name, (channel, direction, kind) in KINDS.items():
        text = MAPPING.format(
            name=name, channel=channel, direction=direction, kind=kind, reading=reading
        )
        (directory / "mappings" / f"{name}.yaml").write_text(text)
    config = directory / "config.yaml"
    text = CONFIG.format(url=url)
    config.write_text(text.replace(f", {lacking}]", "]") if lacking else text)
    return config


async def canary_key(store: SwitchStore) -> bytes:
    """The key that a process has made."""
    sealed = await store.value("canary-key")
    assert sealed is not None
    return binascii.unhexlify(Sealer([KEY]).unseal(sealed))


async def canaries(store: SwitchStore) -> Callable[[str, str, float], bool]:
    """Who is in a canary, by the rules and that key."""
    key = await canary_key(store)

    @cache
    def is_in(switch: str, user: str, percent: float) -> bool:
        canary = Canary(key, switch, share_of(percent))
        return canary.has(canary.place(f"u:{user}".encode()))

    return is_in
