"""The sentence at the top of the console: the worst there is, in its order, and where to act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page
from pytest_aiohttp import AiohttpServer

from tests.support.checkout import ROOT
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
    app.router.add_static("/console", ROOT / "proxy/assets/console")
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
