"""The examples of the reference of the admin API, asked of a running Segue as they are printed."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.support.checkout import ROOT
from tests.support.switches import SWITCH, Switched, switched

PAGE = (ROOT / "docs/admin-api.md").read_text(encoding="utf-8")
AT = "/api/v1/switches/{cohort}/{mapping}"


def example(name: str) -> tuple[argparse.Namespace, Any]:
    """What is printed for an endpoint: the options of its curl, and the answer."""
    section = PAGE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    found = re.search(r"```sh\n(.*?)```\n\n```json\n(.*?)```", section, re.DOTALL)
    assert found is not None, name
    curl = argparse.ArgumentParser()
    for option in ("--unix-socket", "--data"):
        curl.add_argument(option)
    curl.add_argument("--request", default="GET")
    curl.add_argument("--header", action="append", default=[])
    curl.add_argument("url")
    words = shlex.split(found[1].replace("\\\n", ""))
    assert words[0] == "curl"
    return curl.parse_args(words[1:]), json.loads(found[2])


async def asked(admin: aiohttp.ClientSession, name: str) -> tuple[Any, Any]:
    """What comes of the printed request, and what is printed to come of it."""
    options, printed = example(name)
    parts = urlsplit(options.url)
    fields = dict(each.split(": ", 1) for each in options.header)
    target = parts._replace(scheme="", netloc="").geturl()
    async with admin.request(options.request, target, headers=fields, data=options.data) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json(), printed


def shape(value: Any) -> Any:
    """The members of an answer; those that are named by what a configuration names are left out."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items() if "/" not in name}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else None


async def at_revision_seven(running: Switched) -> None:
    """Bring the switch to where the examples find it."""
    for state in ("off", "on") * 3:
        await running.turn(state)
    await running.turn("off", name="broken-2-1-3", versions="==2.1.3", owner="anna")


async def test_examples_of_switches_work_one_after_the_other(tmp_path: Path) -> None:
    async with switched(tmp_path) as running, running.proxy.admin() as admin:
        for version in ("1.0", "2.1"):
            await running.open(version)
        await at_revision_seven(running)
        for name in ("GET /api/v1/switches", f"GET {AT}"):
            got, printed = await asked(admin, name)
            assert shape(got) == shape(printed), name
        got, printed = await asked(admin, f"PUT {AT}")
        assert shape(got) == shape(printed)
        assert got["revision"]["number"] == printed["revision"]["number"] == 8
        assert got["revision"]["after"][SWITCH]["setting"] == "canary 10%"
        for name in ("GET /api/v1/revisions", "GET /api/v1/revisions/{number}"):
            got, printed = await asked(admin, name)
            assert shape(got) == shape(printed), name
        got, printed = await asked(admin, "POST /api/v1/undo")
        assert shape(got) == shape(printed)
        assert got["revision"]["kind"] == "undo"
        assert got["revision"]["after"] == printed["revision"]["after"]
        assert (await running.ask(f"/switches/{SWITCH}"))["set_to"] == "on"


async def test_example_of_an_explanation_works(tmp_path: Path) -> None:
    async with switched(tmp_path) as running, running.proxy.admin() as admin:
        await at_revision_seven(running)
        got, printed = await asked(admin, "POST /api/v1/explain")
        assert got == printed


async def test_dry_run_is_what_the_description_says_it_is(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:
        document = await running.ask("/openapi.json")
        schema = document["paths"][AT]["put"]["responses"]["200"]["content"]["application/json"]
        kinds = [each["$ref"].rpartition("/")[2] for each in schema["schema"]["oneOf"]]
        assert kinds == ["Changed", "DryRun"]
        dry = await running.turn("off", dry_run=True)
        assert set(dry) == set(document["components"]["schemas"]["DryRun"]["properties"])
