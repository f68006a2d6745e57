"""What the admin API shows of a switch in shadow, and to whom."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.gateway import shadow
from tests.support.administered import ADMIN, OPERATOR, TOKENS, VIEWER, Administered, bearer
from tests.support.checkout import ROOT
from tests.support.switches import SWITCH, Switched, sent, switched
from tests.support.waiting import PATIENCE

PLACE: Final = f"/api/v1/switches/{SWITCH}/shadow"
SAID: Final = "Anna, born 1993"
DIALOGUE: Final = json.dumps(
    {"kind": "agentDialogue", "jobId": "7", "message": SAID, "order": 12345678901234567890}
).encode()


@asynccontextmanager
async def shown(directory: Path, *, raw: bool = False) -> AsyncIterator[tuple[Switched, Asks]]:
    more = f"admin: {json.dumps({'tokens': TOKENS, 'allow_raw_recordings': raw})}\n"
    async with switched(directory, more) as running:
        yield running, Asks(Administered(running.proxy, running.config))


class Asks:
    """Asks as somebody with a role."""

    def __init__(self, admin: Administered) -> None:
        self.admin = admin

    async def view(self, token: str = VIEWER, query: str = "") -> Any:
        answer = await self.admin.ask(PLACE + query, bearer(token))
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def compared(self, messages: int) -> Any:
        """The view, once so many were compared."""
        async with asyncio.timeout(PATIENCE):
            while True:
                view = await self.view()
                if view["outcomes"]["compared"] == messages:
                    return view


async def test_a_switch_that_never_was_in_shadow_has_no_account(tmp_path: Path) -> None:
    async with shown(tmp_path) as (_, asks):
        assert await asks.view() == {
            "switch": SWITCH,
            "in_shadow": False,
            "since": None,
            "dropped": False,
            "outcomes": None,
            "cpu_seconds": 0.0,
            "examples": [],
        }


async def test_a_switch_that_is_not_compared_for_lack_of_room_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "MAX_SWITCHES", 0)
    async with shown(tmp_path) as (running, asks):
        await running.turn("shadow")
        pair = await running.open()
        assert await sent(pair, DIALOGUE, 3) == DIALOGUE
        view = await asks.view()
        assert (view["in_shadow"], view["since"], view["outcomes"]) == (True, None, None)
        assert view["dropped"]
        lines = map(json.loads, running.proxy.log.getvalue().splitlines())
        (line,) = [each for each in lines if each["event"] == "shadow dropped"]
        assert (line["switch"], line["outcome"]) == (SWITCH, "not compared")


async def test_what_would_have_become_of_messages_is_told_by_rule(tmp_path: Path) -> None:
    async with shown(tmp_path) as (running, asks):
        await running.turn("shadow")
        pair = await running.open()
        assert await sent(pair, DIALOGUE, 3) == DIALOGUE
        await sent(pair, b'{"kind": "jobStatus"}')
        await sent(pair, b'{"kind": "heartbeat"}')
        view = await asks.compared(5)
        assert view["in_shadow"]
        assert view["since"] > 0
        assert view["cpu_seconds"] > 0
        assert view["outcomes"] == {
            "offered": 5,
            "compared": 5,
            "skipped": 0,
            "skipped_part": 0.0,
            "too_large": 0,
            "waiting": 0,
            "would_map": 4,
            "would_pass": 1,
            "would_drop": 0,
            "would_fail": 0,
            "still_mapped": 0,
            "rules": [
                {"rule": "agent-dialogue", "messages": 3},
                {"rule": "job-status", "messages": 1},
            ],
            "failures": [],
        }
        first, second = view["examples"]
        assert (first["outcome"], first["rules"], first["messages"]) == (
            "mapped",
            ["agent-dialogue"],
            3,
        )
        assert (first["direction"], first["cohort"], first["raw"]) == ("to_client", "modern", False)
        assert first["fields"] == [{"field": "kind", "change": "value"}]
        assert second["rules"] == ["job-status"]
        # The kind is a word of the dialect; what was said is not.
        (before,), (after,) = first["before"], first["after"]
        assert json.loads(before)["kind"] == "agentDialogue"
        assert json.loads(after)["kind"] == "step"
        assert "Anna" not in json.dumps(view)
        assert "12345678901234567890" not in json.dumps(view)

        # What it was stays to be read.
        await running.turn("on")
        after_it = await asks.view()
        assert (after_it["in_shadow"], after_it["outcomes"]) == (False, view["outcomes"])
        await running.turn("shadow")
        assert (await asks.view())["outcomes"]["offered"] == 0


async def test_another_text_of_the_mapping_is_counted_from_nothing(tmp_path: Path) -> None:
    async with shown(tmp_path) as (running, asks):
        await running.turn("shadow")
        before = await running.open()
        await sent(before, DIALOGUE, 2)
        await asks.compared(2)
        mappings = running.config.parent / "mappings"
        mappings.unlink()
        shutil.copytree(ROOT / "mappings", mappings)
        # Of the same text nothing begins anew.
        assert (await running.ask("/reload", "POST"))["succeeded"]
        await sent(before, DIALOGUE)
        await asks.compared(3)
        file = mappings / "old-to-new.yaml"
        file.write_text(file.read_text("utf-8").replace("agent-dialogue", "spoken"), "utf-8")
        assert (await running.ask("/reload", "POST"))["succeeded"]
        # That socket keeps the old text: what it would make of a message is not the new one's.
        await sent(before, DIALOGUE)
        assert (await asks.view())["outcomes"]["offered"] == 0
        await sent(await running.open(), DIALOGUE)
        view = await asks.compared(1)
        assert view["outcomes"]["rules"] == [{"rule": "spoken", "messages": 1}]
        metric = "segue_switch_shadow_messages_total"
        assert await running.proxy.metric(metric, switch=SWITCH) == 4


async def test_messages_as_they_were_are_for_admins_where_that_is_allowed(tmp_path: Path) -> None:
    async with shown(tmp_path, raw=True) as (running, asks):
        await running.turn("shadow")
        pair = await running.open()
        await sent(pair, DIALOGUE)
        await asks.compared(1)
        for token in (VIEWER, OPERATOR):
            answer = await asks.admin.ask(f"{PLACE}?raw=true", bearer(token))
            assert (answer.status, SAID in answer.body) == (403, False)
            assert "need the role admin" in answer.detail
        assert SAID not in json.dumps(await asks.view(ADMIN))
        assert SAID not in json.dumps(await asks.view(ADMIN, "?raw=false"))
        audit = running.proxy.server.audit
        before = audit.written
        (example,) = (await asks.view(ADMIN, "?raw=true"))["examples"]
        assert example["raw"]
        assert example["before"] == [DIALOGUE.decode()]
        assert await audit.flushed(PATIENCE)
        assert audit.written > before
        (line,) = [
            json.loads(line)
            for line in (Path(running.proxy.state_directory) / "audit.jsonl")
            .read_text()
            .splitlines()
            if '"shadow examples shown"' in line
        ]
        assert (line["author"], line["role"]) == ("admin-token (token)", "admin")
        assert line["details"] == {"switch": SWITCH, "raw": True}
        assert SAID not in running.proxy.log.getvalue()


async def test_what_came_while_it_was_not_allowed_is_never_shown_as_it_was(tmp_path: Path) -> None:
    async with shown(tmp_path) as (running, asks):
        await running.turn("shadow")
        pair = await running.open()
        await sent(pair, DIALOGUE)
        await asks.compared(1)
        answer = await asks.admin.ask(f"{PLACE}?raw=true", bearer(ADMIN))
        assert answer.status == 403
        assert "allow_raw_recordings" in answer.detail
        text = running.config.read_text().replace("false", "true")
        running.config.write_text(text)
        reloads = running.proxy.server._reloads
        running.proxy.server.reload()
        async with asyncio.timeout(PATIENCE):
            while not reloads.succeeded:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.002)
        (example,) = (await asks.view(ADMIN, "?raw=true"))["examples"]
        assert not example["raw"]
        assert SAID not in json.dumps(example)


async def test_what_nobody_can_ask(tmp_path: Path) -> None:
    async with shown(tmp_path) as (_, asks):
        for query in ("?raw=perhaps", "?raw=true&raw=false&x=1", "?switch=legacy", "?raw="):
            answer = await asks.admin.ask(PLACE + query, bearer(ADMIN))
            assert answer.status in (400, 422), query
        for path in ("modern/none", "none/old-to-new", "legacy/old-to-new", "modern/%2e%2e"):
            answer = await asks.admin.ask(f"/api/v1/switches/{path}/shadow", bearer(VIEWER))
            assert answer.status == 404, path
