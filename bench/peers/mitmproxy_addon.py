"""The addon that makes mitmproxy rewrite messages, and write one access line for each flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KINDS = {
    "jobStatus": "status",
    "agentDialogue": "step",
    "stageUpdate": "chat",
    "prdReady": "app",
}


class Rewriter:
    """Changes the kind of what the origin sends."""

    def __init__(self) -> None:
        path = Path("{{directory}}/access.log")
        self._log = path.open("a", buffering=1, encoding="utf-8")

    def websocket_message(self, flow: Any) -> None:
        """Rewrite one message."""
        message = flow.websocket.messages[-1]
        if not message.from_client and message.is_text:
            content = json.loads(message.text)
            content["kind"] = KINDS.get(content["kind"], content["kind"])
            message.text = json.dumps(content)
        # Otherwise every message of every connection stays in memory.
        del flow.websocket.messages[:-1]

    def response(self, flow: Any) -> None:
        """Log a request."""
        if flow.websocket is None:
            self._write(flow)

    def websocket_end(self, flow: Any) -> None:
        """Log a connection."""
        self._write(flow)

    def _write(self, flow: Any) -> None:
        request = flow.request
        line = f'{flow.client_conn.peername[0]} "{request.method} {request.path}"'
        self._log.write(f"{line} {flow.response.status_code}\n")


addons = [Rewriter()]
