"""Modules of the console that need no page: the sentence at the top, rights, bounds of plots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page
from pytest_aiohttp import AiohttpServer

from proxy.static_files import CONSOLE, read
from tests.support.operated import chromium, desk

pytestmark = pytest.mark.needs_chromium

MODERN: dict[str, Any] = {
    "switch": "modern/old-to-new",
    "state": "on",
    "percent": None,
    "set_to": "on",
    "revision": 0,
    "term": {"owner": "", "until": None, "restore": False, "overdue": False},
    "exceptions": [],
}
HEALTHY: dict[str, Any] = {
    "target": "http://web-1",
    "health": "healthy",
    "reachable": True,
    "trouble": None,
}
DOWN = {**HEALTHY, "health": "ejected", "trouble": "refused"}
REVISION: dict[str, Any] = {
    "number": 7,
    "at": 1.8e9,
    "author": "anna (token)",
    "reason": "a look at it",
    "kind": "set",
}


def known(**more: Any) -> dict[str, Any]:
    """What the page knows of a process that is well, and of one in which something else is so."""
    sessions = {"sessions": True, "state": "up", "open": 0, "unsaved": 0}
    parts: dict[str, Any] = {
        "flow": {"messages": [], "directions": []},
        "switches": {
            "switches": [MODERN],
            "store": "up",
            "away_since": None,
            "all_off": False,
            "revision": 7,
        },
        "status": {
            "state": "ready",
            "upstreams": [HEALTHY],
            "store": sessions,
            "last_reload": None,
        },
        "replicas": {"newest": 7, "replicas": []},
        "revisions": {"revisions": [REVISION]},
    }
    for name, facts in more.items():
        parts[name] |= facts
    return parts


def failed(per_second: float, cohort: str = "modern") -> dict[str, Any]:
    return {
        "cohort": cohort,
        "mapping": "old-to-new+more",
        "direction": "to_client",
        "outcome": "failed",
        "per_second": per_second,
    }


OVERDUE = {"owner": "anna", "until": 1.8e9, "restore": False, "overdue": True}
SHADOW = {**MODERN, "state": "shadow", "set_to": "shadow", "revision": 7}
CANARY = {**MODERN, "switch": "legacy/x", "state": "canary", "percent": 10, "revision": 3}

TOLD = {
    "nothing is known": (dict.fromkeys(known(), None), "ok", "All is well.", "No messages"),
    "no messages": (known(), "ok", "All is well.", "No messages to clients at the moment."),
    "messages": (
        known(flow={"directions": [{"direction": "to_client", "per_second": 40}]}),
        "ok",
        "All is well.",
        "40 messages a second to clients",
    ),
    "draining": (
        known(status={"state": "draining", "upstreams": [DOWN]}),
        "bad",
        "This process is draining.",
        "no new connections",
    ),
    "a server is down": (
        known(status={"upstreams": [DOWN, HEALTHY]}, flow={"messages": [failed(3)]}),
        "bad",
        "http://web-1 is down.",
        "refused. Segue is well.",
    ),
    "a server cannot be reached": (
        known(status={"upstreams": [{**HEALTHY, "reachable": False}]}),
        "bad",
        "http://web-1 is down.",
        "healthy. Segue is well.",
    ),
    "it is known since when it is down": (
        known(status={"upstreams": [{**DOWN, "down_since": 1.8e9}]}),
        "bad",
        "http://web-1 is down since 08:00.",
        "refused.",
    ),
    "several servers are down": (
        known(status={"upstreams": [DOWN, DOWN, HEALTHY]}),
        "bad",
        "2 of 3 servers are down.",
        "refused.",
    ),
    "messages fail": (
        known(flow={"messages": [failed(1, "legacy"), failed(2)]}, switches={"store": "away"}),
        "bad",
        "3.0 messages a second fail.",
        "modern/old-to-new has most of them.",
    ),
    "the store of switches is away": (
        known(switches={"store": "refused"}),
        "bad",
        "Changes are refused: the store of switches is away.",
        "Traffic goes on with revision 7.",
    ),
    "it is away since a while": (
        known(switches={"store": "refused", "away_since": 1.8e9}),
        "bad",
        "Changes are refused since 08:00: the store of switches is away.",
        "revision 7",
    ),
    "the store of sessions is away": (
        known(status={"store": {"sessions": True, "state": "away"}}),
        "bad",
        "The store of sessions is away.",
        "Logins and refreshes wait",
    ),
    "without sessions their store is nothing": (
        known(status={"store": {"sessions": False, "state": "away"}}),
        "ok",
        "All is well.",
        "",
    ),
    "a reload failed": (
        known(status={"last_reload": {"succeeded": False}}, switches={"all_off": True}),
        "hold",
        "The last reload failed.",
        "What served before goes on.",
    ),
    "everything is off": (
        known(switches={"all_off": True}),
        "hold",
        "Everything is off.",
        "Nothing is rewritten.",
    ),
    "everything is off by somebody": (
        known(
            switches={"all_off": True},
            revisions={"revisions": [{**REVISION, "kind": "all-off"}]},
        ),
        "hold",
        "Everything is off.",
        "Nothing is rewritten by anna at 08:00: a look at it.",
    ),
    "a replica is behind": (
        known(
            replicas={"replicas": [{"name": "web-eu-3", "revision": 6, "current": False}]},
            switches={"switches": [{**MODERN, "term": OVERDUE}]},
        ),
        "hold",
        "web-eu-3 is on revision 6.",
        "The newest is 7",
    ),
    "a setting is overdue": (
        known(switches={"switches": [{**SHADOW, "term": OVERDUE}]}),
        "hold",
        "Nothing is failing. 1 setting is overdue.",
        "was to end at 08:00; anna answers for it.",
    ),
    "switches are on the way": (
        known(switches={"switches": [CANARY, SHADOW]}),
        "hold",
        "Nothing is failing. 2 switches are on the way.",
        "modern/old-to-new is at shadow since 08:00, by anna: a look at it.",
    ),
    "one is on the way, and nobody knows since when": (
        known(switches={"switches": [CANARY]}),
        "hold",
        "Nothing is failing. 1 switch is on the way.",
        "legacy/x is at canary 10%.",
    ),
}

LINKED = {
    "messages fail": "#/switches/modern/old-to-new",
    "everything is off": "#/switches",
    "everything is off by somebody": "#/switches",
    "a setting is overdue": "#/switches/modern/old-to-new",
    "switches are on the way": "#/switches/modern/old-to-new",
    "one is on the way, and nobody knows since when": "#/switches/legacy/x",
}


@pytest.fixture
async def page(aiohttp_server: AiohttpServer) -> AsyncIterator[Page]:
    """A page that can import the modules of the console, and has nothing of them running."""
    app = web.Application()

    async def empty(_: web.Request) -> web.Response:
        text = "<!doctype html><link rel=icon href=data:,><title>Modules</title>"
        return web.Response(text=text, content_type="text/html")

    app.router.add_get("/", empty)
    files = read(CONSOLE)

    async def file(request: web.Request) -> web.Response:
        asset = files[request.match_info["name"]]
        return web.Response(body=asset.plain, headers={"Content-Type": asset.kind})

    app.router.add_get("/console/{name:.*}", file)
    server = await aiohttp_server(app)
    async with chromium() as browser, desk(browser, timezone_id="UTC") as tab:
        await tab.page.goto(str(server.make_url("/")))
        yield tab.page


async def test_the_sentence_is_the_worst_there_is(page: Page) -> None:
    for name, (facts, kind, title, text) in TOLD.items():
        said = await page.evaluate(
            "async (known) => (await import('/console/sentence.js')).sentence(known)", facts
        )
        assert (said["kind"], said["title"]) == (kind, title), name
        assert text in said["text"], name
        assert said.get("link", {}).get("href") == LINKED.get(name), name


def turned(before: str | None, after: str | None, **more: Any) -> dict[str, Any]:
    """A revision that turns a switch."""
    states = {
        "before": {"modern/x": {"setting": before}},
        "after": {"modern/x": {"setting": after}},
    }
    return {"scope": ["modern/x"], "was_all_off": False, "all_off": False, **states, **more}


OFF_NOW = {"scope": [], "before": {}, "after": {}, "was_all_off": False, "all_off": True}

RISES = {
    "off is taken back": ([turned("canary 10%", "off")], True),
    "a rise is taken back": ([turned("shadow", "canary 10%")], False),
    "nothing but other things": ([turned("on", "on")], False),
    "off and shadow are both nothing, and not the same": ([turned("shadow", "off")], True),
    "as configured, which is on": ([turned(None, "canary 99.99%")], True),
    "several, of which the last alone rises": (
        [turned("off", "on"), turned("shadow", "off")],
        False,
    ),
    "several that come to less": ([turned("off", "shadow"), turned("on", "off")], True),
    "everything off": ([OFF_NOW], True),
    "the end of everything off": ([{**OFF_NOW, "was_all_off": True, "all_off": False}], False),
    "what was too much to be kept": (
        [{**turned(None, None), "before": {}, "after": {}}],
        False,
    ),
    "a switch that is there no more": ([{**turned(None, "off"), "scope": ["gone/x"]}], True),
}


async def test_whether_an_undo_raises_is_told_by_what_it_takes_back(page: Page) -> None:
    view = {"switches": [{"switch": "modern/x", "configured": "on"}]}
    for name, (taken, rises) in RISES.items():
        found = await page.evaluate(
            "async ([taken, view]) => (await import('/console/rights.js')).undoRises(taken, view)",
            [taken, view],
        )
        assert found is rises, name
    unknown = [turned(None, "off")]
    found = await page.evaluate(
        "async (taken) => (await import('/console/rights.js')).undoRises(taken, null)", unknown
    )
    assert found is False


async def test_a_bound_is_the_narrowest_of_all_guards(page: Page) -> None:
    def finding(figure: str, bound: float) -> dict[str, Any]:
        return {"figure": figure, "bound": bound}

    guards = {
        "a/x": {"findings": [finding("failed", 0.05), finding("http_errors", 0.001)]},
        "b/x": {"findings": [finding("failed", 0.01), finding("unmapped", 0.125)]},
    }
    bounds = "async (guards) => (await import('/console/last_hour.js')).faultBounds(guards)"
    assert await page.evaluate(bounds, guards) == [
        {"label": "bound of failed 1%", "short": "failed 1%", "value": 1},
        {"label": "bound of unmapped 12.5%", "short": "unmapped 12.5%", "value": 12.5},
    ]
    assert await page.evaluate(bounds, None) == []
