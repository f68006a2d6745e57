"""`segue status` and `segue sockets`: what is shown of a running process, and what is closed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.status import AuditView, ConfigurationView, ListenerView, Status, StoreView
from proxy.admin.switch_status import CohortBehind, DifferingSwitch, OverdueSetting, SwitchesStatus
from proxy.cli.main import main
from proxy.cli.status import lines
from proxy.cli.styled import Span, Style
from tests.support.administered import OPERATOR, TOKENS, VIEWER, Administered, bearer
from tests.support.rig import segue, status_of
from tests.support.sockets import Origin, Pair, gone, open_pair, origin
from tests.support.storages import free_port
from tests.support.switches import SWITCH, switched
from tests.support.waiting import PATIENCE

NOW = 1_700_000_000.0
SECRET = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"


@dataclass
class Running(Administered):
    """One with a server behind it, to which WebSockets can be opened."""

    server: Origin | None = None
    url: str = ""

    def configure(self, more: str = "") -> None:
        self.config.write_text(
            f"upstream: {{url: '{self.url}'}}\n"
            f"admin: {{tokens: {json.dumps(TOKENS)}}}\n"
            "cohorts: [{name: modern, versions: '>=2'}, {name: legacy, versions: '<2'}]\n" + more
        )

    async def open(self, version: str, target: bytes = b"/ws/jobs/1/") -> Pair:
        assert self.server is not None
        fields = [f"X-Client-Version: {version}".encode()]
        return await open_pair(self.proxy, self.server, target=target, fields=fields)

    async def command(self, *arguments: str) -> int:
        state = ["--state-dir", self.proxy.state_directory]
        return await asyncio.to_thread(main, [*arguments, *state])


@asynccontextmanager
async def began(directory: Path) -> AsyncIterator[Running]:
    async with origin() as server:
        config = directory / "config.yaml"
        made = Running(None, config, None, server, server.url)  # type: ignore[arg-type]
        made.configure()
        async with segue(None, config=config) as made.proxy:
            yield made


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


async def test_status_says_what_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with began(tmp_path) as running:
        server = running.proxy.server
        peers = [await running.open(version) for version in ("1.0", "2.0", "2.1")]
        assert await running.command("status", "--json") == 0
        status = shown(capsys)
        digest = server._live.current.digest
        assert (status["state"], status["pid"]) == ("ready", os.getpid())
        assert status["configuration"]["file"] == str(running.config)
        assert status["configuration"]["digest"] == digest
        assert status["since"] <= status["configuration"]["since"] + 60
        assert [(each["name"], each["address"]) for each in status["listeners"]] == [
            ("public", server.address),
            ("admin", server.admin_address),
            ("socket", str(server.admin_socket)),
        ]
        [upstream] = status["upstreams"]
        assert (upstream["health"], upstream["reachable"], upstream["websockets"]) == (
            "healthy",
            True,
            3,
        )
        assert status["websockets"] == [
            {"cohort": name, "configuration": digest, "older_than_reload": False, "open": count}
            for name, count in (("legacy", 1), ("modern", 2))
        ]
        assert (status["last_reload"], status["reloads_failed"], status["limits"]) == (None, 0, {})
        assert status["store"]["sessions"] is False
        assert await running.proxy.server.audit.flushed(PATIENCE)
        audit = (await running.ask("/api/v1/status", bearer(VIEWER))).body
        assert json.loads(audit)["audit"] == {
            "trouble": None,
            "written": 1,
            "waiting": 0,
            "lost": 0,
            "head_behind": 0.0,
        }
        assert status["connections"] == 3
        await close(*peers)


async def test_status_for_people_tells_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with began(tmp_path) as running:
        digest = running.proxy.server._live.current.digest
        running.configure("limits: {buffer: 1}\n")
        assert await running.command("reload") == 1
        capsys.readouterr()
        running.proxy.server.metrics.count_limit("frame")
        assert await running.command("status") == 0
        out = capsys.readouterr().out
        assert f"config      {running.config} ({digest}), read " in out
        assert "last reload FAILED " in out
        assert f"  {running.config}:4:18: limits.buffer: " in out
        assert "limits      reached: frame 1\n" in out
        assert "websockets  none\n" in out
        assert "store       sessions are off\n" in out
        assert f"listener    admin {running.proxy.server.admin_address}\n" in out


async def test_status_says_why_a_server_fails_and_that_there_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nobody = f"127.0.0.1:{free_port()}"
    env = {"SEGUE_UPSTREAM__URL": f"http://{nobody}"}
    async with segue(None, env, config=Path("config.yaml"), required=False) as proxy:
        running = Running(proxy, Path("config.yaml"))
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        before = time.time()
        for _ in range(3):
            assert status_of(await proxy.ask(request)) == 502
        assert await running.command("status", "--json") == 0
        status = shown(capsys)
        assert status["configuration"]["file"] is None
        reason = "the server refused the connection: nothing listens on its port"
        assert status["upstreams"][0]["trouble"] == reason
        assert before <= status["upstreams"][0]["down_since"] <= time.time()
        assert await running.command("status") == 0
        out = capsys.readouterr().out
        assert "config      variables and flags, without a file (" in out
        failing = f"{nobody} failing ({reason}); now 0 requests, 0 websockets; 3 failures"
        assert f"upstream    {failing} since the start\n" in out


@pytest.mark.parametrize(("days", "told"), [(-1, "has ended"), (13, "ends in 13d"), (15, "")])
def test_what_is_wrong_is_red_on_a_terminal(days: int, told: str) -> None:
    spans = [piece for line in lines(status_with(days), NOW) for piece in line]
    red = [span.text for span in spans if isinstance(span, Span) and span.style is Style.BAD]
    assert len(red) == (1 if told else 0)
    assert all(told in text for text in red)


@pytest.mark.parametrize(
    ("audit", "told"),
    [
        ({"trouble": "no space left on device"}, "0 lost: no space left on device"),
        ({"lost": 1}, "7 lines written, 2 waiting, 1 lost"),
    ],
)
def test_an_audit_that_is_not_written_is_red(audit: dict[str, object], told: str) -> None:
    status = status_with(15)
    status = status.model_copy(update={"audit": status.audit.model_copy(update=audit)})
    spans = [piece for line in lines(status, NOW) for piece in line]
    (red,) = (each.text for each in spans if isinstance(each, Span) and each.style is Style.BAD)
    assert told in red


def switches_lines(**facts: object) -> tuple[list[str], list[str]]:
    """What people are told of switches with these facts: all of it, and what of it is red."""
    status = status_with(15)
    switches = status.switches.model_copy(update=facts)
    found = [
        line
        for line in lines(status.model_copy(update={"switches": switches}), NOW)
        if isinstance(line[0], Span) and line[0].text.strip() == "switches"
    ]
    texts = [line[1] for line in found if isinstance(line[1], Span)]
    return [span.text for span in texts], [s.text for s in texts if s.style is Style.BAD]


def test_switches_that_are_as_they_are_configured_need_one_line() -> None:
    assert switches_lines() == (["2, revision 3"], [])
    assert switches_lines(authority="file", kept=False) == (
        ["2, revision 3, the configuration is the authority, in memory alone"],
        [],
    )


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"all_off": True}, "everything is OFF: segue switch all restore ends it"),
        (
            {"away_since": NOW - 60, "store": "it does not answer"},
            "their store is away, for 1m 0s: it does not answer",
        ),
        (
            {"unapplied": ["modern/new"], "stored": 4},
            "not in the configuration here, and set in the store: modern/new",
        ),
        (
            {"stands_on": "0123456789ab", "stored": 4},
            (
                "revision 4 is not in force: it is of the configuration 0123456789ab, which does"
                " not serve here"
            ),
        ),
        (
            {"stands_on": "0123456789ab", "unapplied": ["modern/one"], "stored": 4},
            (
                "revision 4 is not in force: it is of the configuration 0123456789ab, which does"
                " not serve here (it turns modern/one)"
            ),
        ),
        (
            {"overdue": [OverdueSetting(switch="a/b", exception="", owner="ci", until=NOW - 60)]},
            "a/b of ci is overdue by 1m 0s",
        ),
        (
            {"overdue": [OverdueSetting(switch="a/b", exception="x", owner="", until=NOW - 60)]},
            "a/b, exception x is overdue by 1m 0s",
        ),
    ],
)
def test_what_is_wrong_with_switches_is_red(facts: dict[str, object], told: str) -> None:
    assert switches_lines(**facts) == (["2, revision 3", told], [told])


def test_what_differs_and_what_is_behind_is_told_without_alarm() -> None:
    differing = [
        DifferingSwitch(switch="a/b", set_to="canary 10%", configured="on", exceptions=[]),
        DifferingSwitch(switch="a/c", set_to="on", configured="on", exceptions=["x", "y"]),
    ]
    behind = [CohortBehind(cohort="a", websockets=1), CohortBehind(cohort="b", websockets=7)]
    found, red = switches_lines(differing=differing, behind=behind, orphans=["c/d"])
    assert found == [
        "2, revision 3",
        "a/b is canary 10%; configured: on",
        "a/c is on (but for x, y); configured: on",
        "set, and named by no cohort: c/d",
        "1 websocket of cohort a on an older revision",
        "7 websockets of cohort b on an older revision",
    ]
    assert red == []


async def test_status_tells_of_switches_that_were_turned(tmp_path: Path) -> None:
    async with switched(tmp_path) as running:

        async def told() -> Any:
            return (await running.ask("/status"))["switches"]

        first = await told()
        assert (first["switches"], first["revision"], first["authority"]) == (2, 0, "live")
        assert (first["differing"], first["behind"], first["store"]) == ([], [], "up")
        await running.open()
        await running.turn("canary", percent=0, open_sockets="keep")
        await running.turn(
            "off", versions="==2.1.3", name="broken", seconds=0.001, open_sockets="keep"
        )
        second = await told()
        assert second["revision"] == 2
        assert second["differing"] == [
            {
                "switch": SWITCH,
                "set_to": "canary 0%",
                "configured": "on",
                "exceptions": ["broken"],
            }
        ]
        assert second["behind"] == [{"cohort": "modern", "websockets": 1}]
        (overdue,) = second["overdue"]
        assert (overdue["switch"], overdue["exception"]) == (SWITCH, "broken")
        assert overdue["owner"].startswith("uid ")
        await running.ask("/switches/all-off", "POST", reason="a test")
        assert (await told())["all_off"]


def status_with(days: int) -> Status:
    """One of which nothing is wrong but, perhaps, its certificate."""
    return Status(
        version="1",
        pid=1,
        state="ready",
        since=NOW,
        connections=0,
        configuration=ConfigurationView(file="c", digest="d", since=NOW, mappings=[]),
        listeners=[
            ListenerView(
                name="public", address="a:1", tls=True, certificate_ends=NOW + days * 86400 + 60
            )
        ],
        upstreams=[],
        websockets=[],
        last_reload=None,
        reloads_succeeded=0,
        reloads_failed=0,
        limits={},
        store=StoreView(sessions=False, state="up", open=0, unsaved=0),
        switches=SwitchesStatus(
            switches=2,
            all_off=False,
            authority="live",
            revision=3,
            stored=3,
            differing=[],
            overdue=[],
            behind=[],
            kept=True,
            store="up",
            away_since=None,
            unapplied=[],
            stands_on="",
            orphans=[],
        ),
        audit=AuditView(trouble=None, written=7, waiting=2, lost=0, head_behind=0),
    )


async def test_sockets_are_listed_by_cohort_and_generation_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with began(tmp_path) as running:
        before = running.proxy.server._live.current.digest
        old = await running.open("1.0", f"/ws/{SECRET}?token={SECRET}".encode())
        running.configure("limits: {buffer: 32KiB}\n")
        assert await running.command("reload") == 0
        new = await running.open("2.0")
        capsys.readouterr()
        assert await running.command("sockets", "list", "--json") == 0
        out = capsys.readouterr().out
        assert SECRET not in out
        first, second = (json.loads(line) for line in out.splitlines())
        assert (first["cohort"], first["configuration"], first["older_than_reload"]) == (
            "legacy",
            before,
            True,
        )
        assert (second["cohort"], second["older_than_reload"], second["path"]) == (
            "modern",
            False,
            "/ws/jobs/1/",
        )
        for choice, expected in (
            (["--older-than-reload"], ["legacy"]),
            (["--cohort", "modern"], ["modern"]),
            (["--cohort", "modern", "--older-than-reload"], []),
            (["--limit", "1"], ["legacy"]),
        ):
            assert await running.command("sockets", "list", "--json", *choice) == 0
            captured = capsys.readouterr()
            lines = [json.loads(line) for line in captured.out.splitlines()]
            assert [each["cohort"] for each in lines] == expected
            assert ("there are 1 more" in captured.err) is ("--limit" in choice)
        assert await running.command("sockets", "list") == 0
        out = capsys.readouterr().out
        assert f"{before} (old)" in out
        assert SECRET not in out
        assert await running.command("sockets", "list", "--cohort", "moderne") == 1
        assert "there are: legacy, modern, none" in capsys.readouterr().err
        await close(old, new)


async def code_of(pair: Pair) -> int | None:
    """The code of the next frame to the client, which has to be a Close."""
    return (await pair.client.close_frame())[0]


async def close(*pairs: Pair) -> None:
    for pair in pairs:
        await pair.client.peer.close()
        await pair.server.peer.close()


async def test_those_of_before_the_reload_are_told_to_come_back_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with began(tmp_path) as running:
        old = [await running.open(version) for version in ("1.0", "2.0")]
        running.configure("limits: {buffer: 32KiB}\n")
        assert await running.command("reload") == 0
        new = await running.open("2.0")
        capsys.readouterr()
        choice = ["--cohort", "modern", "--older-than-reload", "--over", "10ms", "--json"]
        assert await running.command("sockets", "close", *choice) == 0
        assert shown(capsys) == {"closing": 1, "seconds": 0.01}
        async with asyncio.timeout(PATIENCE):
            assert await code_of(old[1]) == 1012
            await close(old[1])
            await gone(running.proxy, left=2)
            while not running.lines("closed websockets"):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert running.lines("closed websockets")[0]["websockets"] == 1
        [line] = running.lines("closing websockets")
        assert (line["cohort"], line["older_than_reload"], line["websockets"]) == (
            "modern",
            True,
            1,
        )
        assert line["author"] == f"uid {os.geteuid()} (socket)"
        assert await running.command("sockets", "close", "--all", "--over", "0") == 0
        assert capsys.readouterr().out.startswith("2 are told to come back (1012), over 0 s")
        assert [await code_of(peer) for peer in (old[0], new)] == [1012, 1012]
        await close(old[0], new)


async def test_close_says_what_it_needs_and_runs_once_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with began(tmp_path) as running:
        with pytest.raises(SystemExit) as refused:
            main(["sockets", "close"])
        assert refused.value.code == 2
        told = "segue sockets close: say which: --cohort NAME, --older-than-reload, or --all"
        assert told in capsys.readouterr().err
        assert await running.command("sockets", "close", "--all") == 0
        assert capsys.readouterr().out == "there are none of these\n"
        peers = [await running.open("2.0") for _ in range(2)]
        assert await running.command("sockets", "close", "--all", "--over", "1h") == 0
        assert await code_of(peers[0]) == 1012
        # The other one would have waited for half an hour.
        assert await running.command("sockets", "close", "--all", "--over", "0s") == 0
        assert await code_of(peers[1]) == 1012
        await close(*peers)


async def test_orders_are_read_within_bounds_and_roles(tmp_path: Path) -> None:
    async with began(tmp_path) as running:
        for body, status in (
            ('{"seconds": -1, "everything": true}', 400),
            ('{"seconds": 1e9, "everything": true}', 400),
            ('{"everything": "x"}', 400),
            ('{"what": 1}', 400),
            ("[]", 400),
        ):
            answer = await running.ask(
                "/api/v1/sockets/close", bearer(OPERATOR), method="POST", body=body
            )
            assert answer.status == status
        for query in ("limit=0", "limit=10001", "cohort=", "x=1", f"cohort={'c' * 257}"):
            assert (await running.ask(f"/api/v1/sockets?{query}", bearer(VIEWER))).status == 400
        answer = await running.ask(
            "/api/v1/sockets/close", bearer(VIEWER), method="POST", body='{"everything": true}'
        )
        assert answer.status == 403
