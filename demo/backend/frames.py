"""The frames that the server sends, in the dialect that clients know or in the newer one.

The two dialects differ in the name of the kind alone. Every frame but `error` starts with `kind`
and `jobId` and ends with `timestamp`; between them stand, in this order:

| kind | old name | new name | fields |
|---|---|---|---|
| `STATUS` | `jobStatus` | `status` | `status`, `message` (text or null) |
| `STEP` | `agentDialogue` | `step` | `agent`, `message`, `order` (from 1) |
| `CHAT` | `stageUpdate` | `chat` | `role`, `sender`, `content`, `metadata` (object) |
| `APP` | `prdReady` | `app` | `spec` (object), `prdMarkdown` |
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

Frame = dict[str, Any]


class Dialect(StrEnum):
    """Which names the kinds have."""

    OLD = "old"
    NEW = "new"


class Kind(StrEnum):
    """What a frame tells, by its new name."""

    STATUS = "status"
    STEP = "step"
    CHAT = "chat"
    APP = "app"


_OLD_NAMES: Final = {
    Kind.STATUS: "jobStatus",
    Kind.STEP: "agentDialogue",
    Kind.CHAT: "stageUpdate",
    Kind.APP: "prdReady",
}


def frame(dialect: Dialect, kind: Kind, job_id: UUID, at: datetime, **fields: Any) -> Frame:
    """A frame about a job; `fields` stand in the order in which they are given."""
    return {
        "kind": kind.value if dialect is Dialect.NEW else _OLD_NAMES[kind],
        "jobId": str(job_id),
        **fields,
        # The width never varies: microseconds also where they are zero.
        "timestamp": at.isoformat(timespec="microseconds"),
    }


def error_frame(message: str) -> Frame:
    """The answer to a client's message that is not understood, in both dialects."""
    return {"kind": "error", "message": message}


def encode(content: Frame) -> str:
    """The text of a frame: the defaults of `json.dumps`, so white space and ASCII escapes."""
    return json.dumps(content)
