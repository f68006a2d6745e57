"""What the answers to changes of switches tell besides the revision."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.support.checkout import ROOT
from tests.support.rig import Segue, segue
from tests.support.turning import Operator, operator

MODERN = "modern/old-to-new"


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Segue]:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    config = Path(shutil.copy(ROOT / "config.yaml", tmp_path))
    async with segue(None, config=config) as running:
        yield running


@pytest.fixture
async def turning(proxy: Segue) -> AsyncIterator[Operator]:
    async with operator(Path(proxy.state_directory)) as found:
        yield found


async def test_what_is_not_kept_of_owner_and_time_is_told_before_and_after(
    turning: Operator, proxy: Segue, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await turning.turn(MODERN, "canary", percent=5, owner="ann", seconds=3600)
    assert first["not_kept"] is None
    until = first["revision"]["after"][MODERN]["until"]
    for more, told in (
        ({}, {"owner": "ann", "until": until}),
        ({"owner": "ann"}, {"owner": "", "until": until}),
        ({"owner": "bob"}, {"owner": "", "until": until}),
        ({"seconds": 60}, {"owner": "ann", "until": None}),
        ({"seconds": 60, "owner": "bob"}, None),
        # It comes back when that ends.
        ({"seconds": 60, "restore": True}, None),
    ):
        run = await turning.turn(MODERN, "off", dry_run=True, **more)
        assert run["not_kept"] == told, more
    words = ["--reason", "why", "--state-dir", proxy.state_directory]
    expected = "not kept from before: owner ann, until "
    for flag in ("--dry-run", "--wait"):
        assert await asyncio.to_thread(main, ["switch", "set", MODERN, "off", flag, *words]) == 0
        assert capsys.readouterr().out.count(expected) == 1
    told = await turning.turn(MODERN, "canary", percent=5, owner="ann", seconds=3600)
    assert told["not_kept"] is None
    told = await turning.turn(MODERN, "off")
    assert told["not_kept"]["owner"] == "ann"


async def test_nothing_that_was_off_is_no_failure(
    turning: Operator, proxy: Segue, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told(*words: str) -> str:
        asked = ["switch", "all", *words, "--reason", "why", "--state-dir", proxy.state_directory]
        assert await asyncio.to_thread(main, asked) == 0
        return capsys.readouterr().out

    nothing = "nothing was off as a whole: everything is what it is set to"
    assert await told("restore", "--wait") == f"{nothing}\n"
    answer = await turning.order("/switches/restore")
    assert (answer["changed"], answer["revision"]) == (False, None)
    await turning.order("/switches/all-off")
    assert (await told("off")).startswith("everything is off already, since revision 1 by ")
    assert json.loads(await told("off", "--json"))["changed"] is False
    await turning.order("/switches/restore")
    assert (await told("restore")).startswith(f"{nothing}, since revision 2 by ")
    answer = await turning.order("/switches/restore")
    assert (answer["changed"], answer["revision"]["number"]) == (False, 2)
    assert (await turning.switches())["stored"] == 2
