"""Tokens that are limited to cohorts, or to lowering: what they get done, and what they do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.cli.main import main
from proxy.control.replicas import Seen
from proxy.tokens.admin_token import hash_of, token_from
from tests.support.administered import (
    OPERATOR,
    TOKENS,
    Administered,
    Answer,
    bearer,
)
from tests.support.rfc6455 import TEXT
from tests.support.rig import segue
from tests.support.sockets import Origin, gone, open_pair, origin
from tests.support.waiting import PATIENCE

OWN, DOWN, BOTH = (token_from(bytes([number]) * 32) for number in (21, 22, 23))
LIMITED: list[dict[str, object]] = [
    {"name": "own", "role": "operator", "hash": hash_of(OWN), "cohorts": ["modern"]},
    {"name": "down", "role": "operator", "hash": hash_of(DOWN), "only_lowers": True},
    {
        "name": "both",
        "role": "admin",
        "hash": hash_of(BOTH),
        "cohorts": ["modern"],
        "only_lowers": True,
    },
]
MODERN, LEGACY = "/switches/modern/one", "/switches/legacy/one"
BREAKS = {"versions": "==2.1.3", "name": "broken"}
BREAKS_THERE = {"versions": "==1.1.3", "name": "broken"}

MAPPING = """\
name: one
description: How a job is.
channel: websocket
direction: to_client
rules:
  - name: status
    match: {field: kind, equals: jobStatus}
    do: [set: {one: 1}]
    examples: [{in: {kind: jobStatus}, out: {kind: jobStatus, one: 1}}]
"""


@pytest.fixture
async def server() -> AsyncIterator[Origin]:
    async with origin() as found:
        yield found


@pytest.fixture
async def running(tmp_path: Path, server: Origin) -> AsyncIterator[Administered]:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "one.yaml").write_text(MAPPING)
    cohorts = [
        {"name": name, "versions": versions, "websocket": {"to_client": ["one"]}}
        for name, versions in (("modern", ">=2"), ("legacy", "<2"))
    ]
    told = {
        "upstream": {"url": server.url},
        "timeouts": {"websocket_close": "500ms"},  # Nobody answers a Close here.
        "admin": {"tokens": TOKENS + LIMITED},
        "cohorts": cohorts,
    }
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(told))
    async with segue(None, config=config) as proxy:
        yield Administered(proxy, config)


async def order(
    running: Administered, token: str, place: str, method: str = "PUT", **told: Any
) -> Answer:
    """Give an order on the newest revision of all, as whoever has just looked would."""
    view = json.loads((await running.ask("/api/v1/switches", bearer(OPERATOR))).body)
    revision = view["revision"]
    if method == "PUT":
        (revision,) = [
            each["revision"] for each in view["switches"] if f"/switches/{each['switch']}" == place
        ]
    fields = [bearer(token), f'If-Match: "{revision}"']
    if method == "DELETE":
        return await running.ask(f"/api/v1{place}?reason=test", *fields, method=method)
    body = json.dumps({"reason": "a test", **told})
    return await running.ask(f"/api/v1{place}", *fields, method=method, body=body)


async def states(running: Administered) -> dict[str, Any]:
    """What is in force, to be compared."""
    told = json.loads((await running.ask("/api/v1/switches", bearer(OPERATOR))).body)
    return {"revision": told["revision"], "all_off": told["all_off"]} | {
        each["switch"]: (each["set_to"], each["revision"], len(each["exceptions"]))
        for each in told["switches"]
    }


async def refused(
    running: Administered, token: str, place: str, method: str = "PUT", **told: Any
) -> str:
    """Give an order that is refused, and see that nothing is changed by it; the reason."""
    before = await states(running)
    answer = await order(running, token, place, method, **told)
    assert answer.status == 403, answer.body
    assert await states(running) == before
    return answer.detail


async def made(
    running: Administered, token: str, place: str, method: str = "PUT", **told: Any
) -> int:
    answer = await order(running, token, place, method, **told)
    assert answer.status == 200, answer.body
    return int(json.loads(answer.body)["revision"]["number"])


async def test_a_token_changes_the_switches_of_its_cohorts_alone(running: Administered) -> None:
    others = "this changes switches of legacy; who asks is limited to: cohorts modern"
    assert await made(running, OWN, MODERN, state="off") == 1
    assert await made(running, OWN, MODERN, state="canary", percent=10) == 2
    assert await refused(running, OWN, LEGACY, state="off") == others
    assert await refused(running, OWN, LEGACY, state="off", **BREAKS_THERE) == others
    assert await refused(running, OWN, LEGACY, state="off", dry_run=True) == others
    for place in ("/switches/all-off", "/switches/restore"):
        if place.endswith("restore"):
            assert await made(running, OPERATOR, "/switches/all-off", "POST") == 3
        assert await refused(running, OWN, place, "POST") == others
    assert await made(running, OPERATOR, "/switches/restore", "POST") == 4
    # An exception of another cohort is not taken away, one of its own is.
    await made(running, OPERATOR, LEGACY, state="off", **BREAKS_THERE)
    exception = "/exceptions/broken"
    assert await refused_drop(running, OWN, LEGACY + exception) == others
    assert await refused(running, OWN, LEGACY + "/restore", "POST") == others
    await made(running, OWN, MODERN, state="off", **BREAKS)
    drop = await running.ask(
        f"/api/v1{MODERN}{exception}?reason=test", bearer(OWN), 'If-Match: "6"', method="DELETE"
    )
    assert drop.status == 200
    # Spelled otherwise it is no other cohort.
    for odd in (
        "/switches/LEGACY/one",
        "/switches/legacy%2Fone/one",
        "/switches/modern%2F..%2Flegacy/one",
    ):
        answer = await running.ask(
            f"/api/v1{odd}",
            bearer(OWN),
            method="PUT",
            body=json.dumps({"state": "off", "reason": "a test"}),
        )
        assert answer.status == 404
    # Whoever looks is not limited.
    for view in ("/switches", LEGACY, "/revisions", "/replicas", "/sockets"):
        assert (await running.ask(f"/api/v1{view}", bearer(OWN))).status == 200


async def refused_drop(running: Administered, token: str, place: str) -> str:
    before = await states(running)
    answer = await running.ask(
        f"/api/v1{place}?reason=test", bearer(token), 'If-Match: "5"', method="DELETE"
    )
    assert answer.status == 403, answer.body
    assert await states(running) == before
    return answer.detail


async def test_the_command_says_what_a_token_is_limited_to(
    running: Administered, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(BOTH)
    file.chmod(0o600)
    host, port = running.place
    place = ["--admin", f"http://{host}:{port}", "--token-file", str(file)]
    for switch, what in (
        ("legacy/one", "this changes switches of legacy"),
        ("modern/one", "this raises"),
    ):
        assert await made(running, OPERATOR, f"/switches/{switch}", state="off")
        words = ["switch", "set", switch, "on", "--reason", "a test", *place]
        assert await asyncio.to_thread(main, words) == 4
        (line,) = capsys.readouterr().err.splitlines()
        told = f"segue: {what}; who asks is limited to: cohorts modern, only lowers"
        assert line == f"{told} (asked with the token in {file})"


async def test_an_undo_is_judged_by_what_it_touches(running: Administered) -> None:
    assert await made(running, OPERATOR, LEGACY, state="off") == 1
    assert await made(running, OPERATOR, MODERN, state="off") == 2
    assert await made(running, OWN, MODERN, state="shadow") == 3
    assert "switches of legacy" in await refused(running, OWN, "/undo", "POST", to=0)
    assert "this raises" in await refused(running, DOWN, "/undo", "POST", to=1)
    assert await made(running, OWN, "/undo", "POST") == 4
    assert await made(running, OPERATOR, MODERN, state="on") == 5
    assert await made(running, DOWN, "/undo", "POST", to=2) == 6


async def test_a_token_that_only_lowers_never_raises(running: Administered) -> None:
    assert await made(running, DOWN, MODERN, state="canary", percent=50) == 1
    raises = "this raises; who asks is limited to: only lowers"
    assert await refused(running, DOWN, MODERN, state="canary", percent=50.01) == raises
    assert await refused(running, DOWN, MODERN, state="on") == raises
    # Also where it does not say on what it builds.
    body = json.dumps({"state": "on", "reason": "a test"})
    answer = await running.ask(f"/api/v1{MODERN}", bearer(DOWN), method="PUT", body=body)
    assert (answer.status, answer.detail) == (403, raises)
    assert await refused(running, DOWN, "/undo", "POST", to=0) == raises
    # What Segue itself would raise again after a second.
    later = "this would raise when it ends by itself; who asks is limited to: only lowers"
    assert await refused(running, DOWN, MODERN, state="off", seconds=1, restore=True) == later
    assert await made(running, DOWN, MODERN, state="off") == 2
    assert await made(running, DOWN, "/switches/all-off", "POST") == 3
    assert await refused(running, DOWN, "/switches/restore", "POST") == raises
    assert await refused(running, DOWN, "/undo", "POST") == raises
    # Both limits hold, whatever the role.
    assert "switches of legacy" in await refused(running, BOTH, "/switches/restore", "POST")
    assert await made(running, OPERATOR, "/switches/restore", "POST") == 4
    both = "this raises; who asks is limited to: cohorts modern, only lowers"
    assert await refused(running, BOTH, MODERN, state="on") == both
    assert "switches of legacy" in await refused(running, BOTH, LEGACY, state="off")


async def test_a_refusal_is_counted_logged_and_audited_with_who_it_was(
    running: Administered,
) -> None:
    await refused(running, OWN, LEGACY, state="off")
    (line,) = running.lines("admin request refused")
    assert (line["status"], line["path"]) == (403, f"/api/v1{LEGACY}")
    assert "switches of legacy" in line["reason"]
    asked = running.lines("admin request")[-2]
    assert (asked["author"], asked["status"]) == ("own", 403)
    assert await running.proxy.metric("segue_admin_refused_total", reason="beyond_limits") == 1
    assert await running.proxy.server.audit.flushed(PATIENCE)
    text = (Path(running.proxy.state_directory) / "audit.jsonl").read_text()
    audited = [json.loads(each) for each in text.splitlines()]
    (refusal,) = [each for each in audited if each["event"] == "admin request refused"]
    assert (refusal["author"], refusal["role"]) == ("own (token)", "operator")
    await made(running, OWN, MODERN, state="off")
    assert await running.proxy.server.audit.flushed(PATIENCE)
    text = (Path(running.proxy.state_directory) / "audit.jsonl").read_text()
    changed = json.loads(text.splitlines()[-1])
    assert (changed["event"], changed["author"]) == ("switches changed", "own (token)")
    assert changed["details"]["from_store"] is False
    may = audited[1]["details"]["may"]
    assert may["own (token)"] == "operator (cohorts modern)"
    assert may["both (token)"] == "admin (cohorts modern, only lowers)"
    assert OWN not in running.proxy.log.getvalue() + text


async def test_only_websockets_of_its_cohorts_are_closed(
    running: Administered, server: Origin
) -> None:
    async def close(token: str, **told: object) -> Answer:
        return await running.ask(
            "/api/v1/sockets/close", bearer(token), method="POST", body=json.dumps(told)
        )

    pairs = [
        await open_pair(running.proxy, server, fields=[b"X-Client-Version: " + version])
        for version in (b"2.0", b"1.0")
    ]
    for told in (
        {"everything": True},
        {"older_than_reload": True},
        {"cohort": "legacy"},
        {"cohort": "none", "everything": True},
        {"cohort": "legacy", "older_than_reload": True},
    ):
        answer = await close(OWN, **told, seconds=0)
        assert answer.status == 403
        assert answer.detail == (
            "this closes WebSockets of other cohorts: name one of your own; who asks is limited to:"
            " cohorts modern"
        )
    # What others are about is not ended by it, nor hastened.
    assert (await close(OPERATOR, cohort="legacy", seconds=3600)).status == 200
    assert (await close(OPERATOR, everything=True, seconds=3600)).status == 200
    answer = await close(OWN, cohort="modern", seconds=0)
    assert answer.status == 403
    assert answer.detail.startswith("WebSockets of other cohorts are being closed")
    assert answer.detail.endswith("; who asks is limited to: cohorts modern")
    # Its own may be.
    assert (await close(OPERATOR, cohort="modern", seconds=3600)).status == 200
    assert (await close(OWN, cohort="modern", seconds=0)).status == 200
    await gone(running.proxy, 1)
    for pair in pairs:
        await pair.client.peer.close()


async def test_who_only_lowers_brings_nothing_to_sockets_that_were_kept_lower(
    running: Administered, server: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = "there are open WebSockets that have less rewritten"
    pair = await open_pair(running.proxy, server, fields=[b"X-Client-Version: 2.0"])

    async def is_rewritten() -> bool:
        await pair.server.send(TEXT, b'{"kind":"jobStatus"}')
        return b"one" in await pair.client.message()

    await made(running, OPERATOR, MODERN, state="off", open_sockets="next_message")
    await made(running, OPERATOR, MODERN, state="on", open_sockets="keep")
    for policy in ("next_message", "reconnect"):
        asked = {"state": "on", "owner": "down", "open_sockets": policy}
        assert lower in await refused(running, DOWN, MODERN, **asked)
    assert not await is_rewritten()
    # What leaves them alone, and what has less rewritten by them, is done.
    await made(running, DOWN, MODERN, state="on", owner="down", open_sockets="keep")
    await made(running, DOWN, LEGACY, state="off", open_sockets="next_message")
    await made(running, DOWN, MODERN, state="shadow", open_sockets="next_message")
    assert not await is_rewritten()
    await pair.client.peer.close()
    await gone(running.proxy)
    # Of other processes is known that sockets are behind, and not what they have.
    switches = running.proxy.server._switches
    this = switches.replicas.this()
    other = msgspec.structs.replace(this, sockets_behind=1)

    async def look() -> Seen:
        return Seen(this.revision, {switches.replicas.name: this, "other": other})

    monkeypatch.setattr(switches.replicas, "look", look)
    asked = {"state": "shadow", "owner": "ann", "open_sockets": "next_message"}
    assert lower in await refused(running, DOWN, MODERN, **asked)
    await made(running, DOWN, "/switches/all-off", "POST")


async def test_to_say_again_what_is_so_makes_no_revision(running: Administered) -> None:
    assert await made(running, OWN, MODERN, state="off") == 1
    before = await states(running)
    for _ in range(3):
        answer = await order(running, OWN, MODERN, state="off")
        told = json.loads(answer.body)
        assert (answer.status, told["changed"], told["revision"]["number"]) == (200, False, 1)
    assert await states(running) == before
