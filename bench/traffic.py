"""What travels in the benchmark, prepared and deterministic.

The frames are what the old server sends: its four kinds in the proportions of a job that runs, as
`json.dumps` writes them, 777 bytes on average. What a proxy that rewrites must make of them is
`KINDS`; everything else has to stay.
"""

from __future__ import annotations

import json
import random
from struct import Struct
from typing import Final

FRAME_BYTES: Final = 777
"""The average payload."""

KINDS: Final = {
    "jobStatus": "status",
    "agentDialogue": "step",
    "stageUpdate": "chat",
    "prdReady": "app",
}

FRAME_COUNT: Final = 200

BIG_BYTES: Final = 1 << 20

_JOB: Final = "0b9c1f62-5c0a-4d0e-9a53-6f3a7d1c2b10"
_AGENTS: Final = ("analyst", "architect", "designer", "developer", "tester")
_TEXT: Final = (
    "the agents have agreed on a queue between two services and the review asks for one page more"
    " who uses it when where and on which device “offline” first später vielleicht a table of meals"
    " a list of shops an export as CSV and a login by e-mail; risks are named below"
)

# One in fifty frames is the document, which is much larger than the rest.
_MIX: Final = ("jobStatus",) * 12 + ("agentDialogue",) * 22 + ("stageUpdate",) * 15 + ("prdReady",)

_size = Struct("=I").pack
_head_16 = Struct("!BBH").pack

REQUEST_FIELDS: Final = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: application/json, text/plain, */*",
    "Accept-Language: en-US,en;q=0.9",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Authorization: Bearer " + "e" * 36 + "." + "y" * 180 + "." + "z" * 43,
    "Origin: https://app.example.test",
    "Referer: https://app.example.test/jobs",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Site: same-origin",
)
"""The fields that a browser's client sends."""

SOCKET_QUERY: Final = "token=" + "e" * 36 + "." + "y" * 180 + "." + "z" * 43


def payloads() -> list[bytes]:
    """The payloads of the frames, in the order in which the origin sends them, over and over."""
    chance = random.Random(FRAME_BYTES)  # noqa: S311 (the same frames in each run)
    kinds = list(_MIX) * (FRAME_COUNT // len(_MIX))
    chance.shuffle(kinds)
    texts = [json.dumps(_message(chance, kind, order)) for order, kind in enumerate(kinds)]
    # The last one takes what is missing to the average.
    missing = FRAME_BYTES * FRAME_COUNT - sum(map(len, texts))
    if missing < 0:
        raise AssertionError("the texts are longer than their average allows")
    last = json.loads(texts[-1])
    key = "message" if "message" in last else "content"
    last[key] += "." * missing
    texts[-1] = json.dumps(last)
    return [text.encode() for text in texts]


def frames_file() -> bytes:
    """The frames as the load generator reads them; see `bench/load/main.c`."""
    prepared = [_frame(payload) for payload in payloads()]
    return _size(len(prepared)) + b"".join(_size(len(frame)) + frame for frame in prepared)


def small_body() -> bytes:
    """A job, as the REST API answers it."""
    job = {
        "id": _JOB,
        "initial_prompt": "A meal planner for families, with shopping lists.",
        "prompt": "A meal planner for families, with shopping lists, that works offline.",
        "requirements_summary": "Plans a week of meals; lists by shop; works offline.",
        "status": "running",
        "error_message": "",
        "created_at": "2025-03-04T09:14:20.550012Z",
        "updated_at": "2025-03-04T09:15:02.118423Z",
    }
    return json.dumps(job, separators=(",", ":")).encode()


def big_body() -> bytes:
    """The large response, as `bench/load` makes it."""
    letters = bytes(range(ord("a"), ord("z") + 1))
    return (letters * (BIG_BYTES // len(letters) + 1))[:BIG_BYTES]


def _frame(payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes((0x81, len(payload))) + payload
    if len(payload) >= 1 << 16:
        raise AssertionError("no frame of the mix is that large")
    return _head_16(0x81, 126, len(payload)) + payload


def _message(chance: random.Random, kind: str, order: int) -> dict[str, object]:
    timestamp = f"2025-03-04T09:{order // 60 % 60:02d}:{order % 60:02d}.118423+00:00"
    head: dict[str, object] = {"kind": kind, "jobId": _JOB}
    if kind == "jobStatus":
        rest: dict[str, object] = {"status": "running", "message": _text(chance, 2, 12)}
    elif kind == "agentDialogue":
        rest = {
            "agent": chance.choice(_AGENTS),
            "message": _text(chance, 44, 164),
            "order": order,
        }
    elif kind == "stageUpdate":
        rest = {
            "role": "assistant",
            "sender": chance.choice(_AGENTS),
            "content": _text(chance, 76, 216),
            "metadata": {"stage": "requirements", "round": order % 5, "final": False},
        }
    else:
        pages = [{"name": _text(chance, 1, 2), "order": number} for number in range(12)]
        rest = {
            "spec": {"title": "Meal planner", "pages": pages},
            "prdMarkdown": "# Meal planner\n\n" + _text(chance, 700, 900),
        }
    return head | rest | {"timestamp": timestamp}


def _text(chance: random.Random, least: int, most: int) -> str:
    return " ".join(chance.choices(_TEXT.split(), k=chance.randint(least, most)))
