"""The configuration that Segue runs with in a soak, and how it changes under the traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_CONFIG: Final = """\
upstream: {{url: "http://{origin}"}}
timeouts: {{drain: 10s, idle: {idle}s}}
cohorts:
  - name: wild
    versions: ">=9"
    websocket: {{to_client: [down], to_server: [up]}}
  - name: steady
    versions: ">=2"
    websocket: {{to_client: [down], to_server: [up]}}
coalescing:
  - {{name: job, path: "/api/jobs/{{}}/"}}
"""

_MAPPINGS: Final = {
    "down": """\
name: down
description: One rule for each outcome that a message to a client can have.
channel: websocket
direction: to_client
rules:
  - name: status
    match: {field: kind, equals: jobStatus}
    do:
      - set: {kind: status}
      - rename: {text: message}
    examples: [{in: {kind: jobStatus, text: a}, out: {kind: status, message: a}}]
  - name: batch
    match: {field: kind, equals: batch}
    do:
      - split: {field: events, into: event}
    examples:
      - in: {kind: batch, events: [1, 2]}
        out: [{kind: batch, event: 1}, {kind: batch, event: 2}]
  - name: noise
    match: {field: kind, equals: noise}
    do:
      - drop: true
    examples: [{in: {kind: noise}, out: null}]
  - name: clash
    match: {field: kind, equals: clash}
    do:
      - rename: {number: n}
    examples: [{in: {kind: clash, number: 1}, out: {kind: clash, n: 1}}]
""",
    "up": """\
name: up
description: What new clients say, as the old server knows it.
channel: websocket
direction: to_server
rules:
  - name: chat
    match: {field: kind, equals: chat}
    do:
      - rename: {text: content}
    examples: [{in: {kind: chat, text: a}, out: {kind: chat, content: a}}]
  - name: typing
    match: {field: kind, equals: typing}
    do:
      - drop: true
    examples: [{in: {kind: typing}, out: null}]
""",
}


class Setting:
    """Files in a directory of their own."""

    def __init__(self, directory: Path, origin: str) -> None:
        """Write them.

        Args:
            directory: exists.
            origin: `host:port` of the server.
        """
        self.file = directory / "config.yaml"
        self._origin = origin
        (directory / "mappings").mkdir()
        for name, text in _MAPPINGS.items():
            (directory / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.change(0)

    def change(self, number: int) -> bool:
        """Write the next configuration; whether it is a good one: every third is cut off."""
        good = number % 3 != 2
        text = _CONFIG.format(origin=self._origin, idle=60 + number % 2)
        self.file.write_text(text if good else text[:-20], encoding="utf-8")
        return good
