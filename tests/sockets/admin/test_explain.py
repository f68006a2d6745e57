"""`POST /explain`, `GET /mappings` and `GET /upstreams`: what serves, told to viewers."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.explain import MAX_FRAME
from proxy.cli.main import main
from tests.support.checkout import ROOT
from tests.support.rig import Segue, segue

FRAME = '{"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": null}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return Path(shutil.copy(ROOT / "config.yaml", tmp_path))


@pytest.fixture
async def proxy(config: Path) -> AsyncIterator[Segue]:
    async with segue(None, config=config) as running:
        yield running


async def explained(proxy: Segue, **asked: object) -> tuple[int, Any]:
    async with proxy.admin() as admin, admin.post("/api/v1/explain", json=asked) as response:
        return response.status, await response.json()


async def test_endpoint_and_command_give_the_same_answer(
    proxy: Segue, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("2.1.0", "1.0"):
        status, found = await explained(proxy, version=version, frame=FRAME)
        assert status == 200
        arguments = ["--config", str(config), "--client-version", version, "--frame", FRAME]
        assert await asyncio.to_thread(main, ["explain", *arguments, "--json"]) == 0
        assert found == json.loads(capsys.readouterr().out)
    _, found = await explained(proxy, version="2.1.0", frame=FRAME)
    assert (found["cohort"], found["outcome"]) == ("modern", "mapped")
    assert found["changes"] == [{"path": "kind", "before": '"jobStatus"', "after": '"status"'}]


async def test_client_alone_can_be_asked_about(proxy: Segue) -> None:
    status, found = await explained(proxy, headers=["X-Client-Version: 2.0"])
    assert (status, found["cohort"], found["source"]) == (200, "modern", "header")
    assert found["outcome"] is None


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"headers": ["no colon"]}, "#/headers/0"),
        ({"route": "GET"}, "#/route"),
        ({"direction": "sideways"}, "#/direction"),
        ({"frame": "x" * (MAX_FRAME + 1)}, "#/frame"),
        ({"headers": ["a: b"] * 51}, "#/headers"),
        ({"frame": {"kind": "status"}}, "#/frame"),
    ],
)
async def test_what_cannot_be_answered_is_told_with_its_place(
    proxy: Segue, asked: dict[str, Any], pointer: str
) -> None:
    status, found = await explained(proxy, **asked)
    assert (status, found["errors"][0]["pointer"]) == (400, pointer)


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        ("", "passed"),
        ("nonsense", "passed"),
        ("[" * 60_000, "failed"),
        ('{"kind": "jobStatus"' + " " * 60_000, "passed"),
        ("\x00\x1b[2J", "passed"),
    ],
)
async def test_hostile_frames_are_told_of_and_the_listener_lives(
    proxy: Segue, frame: str, outcome: str
) -> None:
    status, found = await explained(proxy, version="2.1.0", frame=frame)
    assert (status, found["outcome"]) == (200, outcome)


async def test_answer_stays_within_bounds_where_a_rule_multiplies(
    config: Path, tmp_path: Path
) -> None:
    rule = {
        "name": "many",
        "match": {"field": "kind", "equals": "many"},
        "do": [{"split": {"field": "items", "into": "item"}}, {"set": {"kind": "one"}}],
        "examples": [
            {
                "in": {"kind": "many", "items": [1], "rest": "x"},
                "out": {"kind": "one", "item": 1, "rest": "x"},
            }
        ],
    }
    mapping = {"description": "d", "channel": "websocket", "direction": "to_client"}
    (tmp_path / "mappings" / "many.yaml").write_text(
        json.dumps({"name": "many", **mapping, "rules": [rule]})
    )
    text = config.read_text().replace("to_client: [old-to-new]", "to_client: [many]")
    assert "[many]" in text
    config.write_text(text)
    frame = json.dumps({"kind": "many", "items": [0] * 1000, "rest": "r" * 50_000})
    async with segue(None, config=config) as proxy:
        status, found = await explained(proxy, version="2.1.0", frame=frame)
        assert (status, found["cut"], found["passes"]) == (200, True, [])


async def test_mappings_are_shown_with_rules_examples_and_uses(proxy: Segue) -> None:
    async with proxy.admin() as admin, admin.get("/api/v1/mappings") as response:
        found = await response.json()
    assert found["configuration"] == proxy.server._live.current.digest
    named = {each["name"]: each for each in found["mappings"]}
    mapping = named["old-to-new"]
    assert (mapping["inverse"], mapping["derived_from"]) == ("new-to-old", None)
    assert (mapping["channel"], mapping["direction"]) == ("websocket", "to_client")
    assert mapping["on_error"] == "pass"
    assert mapping["description"]
    first = mapping["rules"][0]
    assert first["match"]["equals"]
    assert first["do"][0]["set"]
    assert {"in", "out"} == set(first["examples"][0])
    assert {
        "cohort": "modern",
        "channel": "websocket",
        "direction": "to_client",
        "route": None,
        "methods": [],
        "position": 0,
        "chain": ["old-to-new"],
    } in mapping["used_by"]


async def test_upstreams_are_shown_as_status_shows_them(proxy: Segue) -> None:
    async with proxy.admin() as admin:
        upstreams = await (await admin.get("/api/v1/upstreams")).json()
        status = await (await admin.get("/api/v1/status")).json()
    assert upstreams["upstreams"] == status["upstreams"]
    assert len(upstreams["upstreams"]) == 1
