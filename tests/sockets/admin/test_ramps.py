"""Ramps and guards over the admin API, and by the commands that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.main import main
from tests.support.guarded import BAD, NAME, Guarded, guarded

SMALL = "min_messages: 50, min_users: 2, added_latency: null"
TARGET = f"/api/v1/switches/{NAME}"
STEPS: dict[str, Any] = {"steps": ["shadow", "10%", "on"], "every": 600, "reason": "2.4 is out"}


async def ask(
    proxy: Guarded, method: str, what: str, expected: int | None = None, **asked: Any
) -> tuple[int, Any]:
    headers = {} if expected is None else {"If-Match": f'"{expected}"'}
    body = None if method == "GET" else asked
    async with (
        proxy.proxy.admin() as client,
        client.request(method, TARGET + what, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def command(proxy: Guarded, *arguments: str) -> tuple[int, str]:
    """Run a command as an operator of this machine; its code, and what it printed."""
    out = io.StringIO()

    def run() -> int:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            return main([*arguments, "--state-dir", proxy.proxy.state_directory])

    return await asyncio.to_thread(run), out.getvalue()


async def test_a_ramp_from_its_begin_to_its_end(tmp_path: Path) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        assert (await ask(proxy, "POST", "/ramp", **STEPS))[0] == 428
        status, answer = await ask(proxy, "POST", "/ramp", 0, **STEPS)
        assert (status, answer["revision"]["kind"]) == (200, "ramp")
        assert (await ask(proxy, "POST", "/ramp", 0, **STEPS))[0] == 412
        _, shown = await ask(proxy, "GET", "")
        assert shown["ramp"]["steps"] == ["shadow", "canary 10%", "on"]
        assert (shown["ramp"]["status"], shown["ramp"]["step"]) == ("running", "canary 10%")

        status, answer = await ask(proxy, "POST", "/ramp/pause", reason="a look")
        assert (status, answer["revision"]["kind"]) == (200, "ramp-pause")
        assert (await ask(proxy, "GET", ""))[1]["ramp"]["status"] == "paused"
        status, answer = await ask(proxy, "POST", "/ramp/resume", reason="go on")
        assert (status, answer["revision"]["kind"]) == (200, "ramp-resume")
        for state in ("canary 10%", "on"):
            status, answer = await ask(proxy, "POST", "/ramp/next", reason="it is night")
            assert status == 200
            revision = answer["revision"]
            assert (revision["kind"], revision["reason"]) == ("ramp-step", "it is night")
            assert revision["after"][str(NAME)]["setting"] == state
        assert (await ask(proxy, "GET", ""))[1]["ramp"]["status"] == "finished"
        status, refused = await ask(proxy, "POST", "/ramp/next", reason="once more")
        assert (status, refused["detail"]) == (
            409,
            "the ramp of `modern/frames` is finished: begin another one to go on",
        )
        assert (await ask(proxy, "POST", "/ramp/stop", reason="tidy up"))[0] == 200
        assert (await ask(proxy, "GET", ""))[1]["ramp"] is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": ["on", "shadow"]}, "steps: expected steps that rise"),
        ({"steps": ["up"]}, "steps: expected off, shadow, on"),
        ({"steps": []}, ""),
        ({"steps": ["x" * 21]}, ""),
        ({"steps": "shadow"}, ""),
        ({"every": 9}, ""),
        ({"every": 1e9}, ""),
        ({"every": "10m"}, ""),
        ({"steps": [" on"]}, "steps: expected off, shadow, on"),
        ({"steps": ["101%"]}, "steps: expected off, shadow, on"),
        ({"reason": " "}, ""),
        ({"reason": "\u0085\ufeff"}, ""),
        ({"more": 1}, ""),
    ],
)
async def test_what_is_no_ramp_is_refused(
    tmp_path: Path, wrong: dict[str, object], said: str
) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        status, refused = await ask(proxy, "POST", "/ramp", 0, **{**STEPS, **wrong})
        assert status == (422 if said.endswith("that rise") else 400)
        assert said in refused["detail"]
        assert proxy.state == "off"


async def test_a_guard_tells_its_figures_or_why_there_are_none(tmp_path: Path) -> None:
    async with guarded(tmp_path, SMALL) as proxy:
        _, shown = await ask(proxy, "GET", "/guard")
        assert (shown["outcome"], shown["unjudged"]) == (None, "it is off")
        await proxy.set("canary 100%")
        await proxy.guards.look(time.time())
        _, shown = await ask(proxy, "GET", "/guard")
        assert shown["outcome"] == "inconclusive"
        assert shown["missing"] == ["0 of 50 messages", "0 of 2 users"]
        assert [each["figure"] for each in shown["findings"]] == [
            "failed",
            "unmapped",
            "protocol_closes",
        ]
        assert shown["confidence"] == pytest.approx(0.999)
        await proxy.users(4)
        await proxy.comes_to("canary 50%", BAD)
        await proxy.guards.look(time.time())
        _, shown = await ask(proxy, "GET", "/guard")
        assert shown["latched"] is True
        _, page = await ask(proxy, "GET", "/../../../revisions?limit=1")
        (revision,) = page["revisions"]
        assert (revision["author"], revision["kind"]) == ("guard", "guard")
        assert revision["finding"]["figure"] == "failed"
        assert revision["finding"]["text"] in revision["reason"]
        assert revision["finding"] in revision["findings"]
        assert {each["figure"] for each in revision["findings"]} > {"failed"}
        async with proxy.proxy.admin() as client:
            async with client.get("/api/v1/switches/modern/none/guard") as answer:
                assert answer.status == 404
        labels = {"switch": str(NAME)}
        assert await proxy.proxy.metric("segue_switch_guard_latched", **labels) == 1
        failures = "segue_switch_guard_failures_total"
        assert await proxy.proxy.metric(failures, action="taken_back") >= 1


async def test_the_commands(tmp_path: Path) -> None:
    name = str(NAME)
    async with guarded(tmp_path, SMALL) as proxy:
        begin = ("switch", "ramp", name, "--steps", "shadow,10%,on", "--every", "10m")
        code, told = await command(proxy, *begin, "--reason", "2.4 is out")
        assert code == 0, told
        assert "revision 1: modern/frames off -> shadow" in told
        assert "ramp running: shadow -> 10% -> on, every 10m 0s, by " in told
        assert "canary 10% at " in told
        code, told = await command(proxy, "switch", "ramp", "pause", name, "--reason", "a look")
        assert (code, "ramp paused" in told) == (0, True), told
        code, told = await command(proxy, "switch", "ramp", "next", name, "--reason", "now")
        assert (code, "shadow -> canary 10%" in told) == (0, True), told
        await proxy.guards.look(time.time())
        code, told = await command(proxy, "switch", "guard", name)
        assert code == 0
        assert told.startswith("modern/frames canary 10%: inconclusive\n")
        assert "to pass: 0 of 50 messages" in told
        code, told = await command(proxy, "switch", "guard", name, "--json")
        assert json.loads(told)["ramp"]["status"] == "paused"
        code, told = await command(proxy, "switch", "guard", "modern/none")
        assert (code, "there is no switch 'modern/none'" in told) == (1, True)
        code, told = await command(proxy, "switch", "ramp", "stop", name, "--reason", "enough")
        assert code == 0
        code, told = await command(proxy, "switch", "ramp", "stop", name, "--reason", "enough")
        assert (code, "has no ramp" in told) == (1, True), told
