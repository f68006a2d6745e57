"""`POST /reload`, `GET /reloads`, `segue reload`: who may, what is waited for, what faults say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from proxy.cli.main import main
from proxy.control.reload import KEPT
from tests.support.administered import OPERATOR, VIEWER, Administered, administered, bearer
from tests.support.waiting import PATIENCE

LISTED = "/api/v1/reloads"
FAULTY = "upstream: {url: http://127.0.0.1:9}\ntimeouts: {keepalive: soon}\nlimits: {buffer: 1}\n"


async def reload(running: Administered, *arguments: str) -> int:
    command = ["reload", "--state-dir", running.proxy.state_directory, *arguments]
    return await asyncio.to_thread(main, command)


async def test_command_waits_and_what_is_new_serves_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with administered(tmp_path) as running:
        before = running.proxy.server._live.current.digest
        running.config.write_text("upstream: {url: http://127.0.0.1:9}\nlimits: {buffer: 1KiB}\n")
        assert await reload(running) == 0
        snapshot = running.proxy.server._live.current
        assert (snapshot.config.limits.buffer, snapshot.digest == before) == (1024, False)
        assert capsys.readouterr().out == f"reloaded: {snapshot.digest} serves\n"
        running.config.write_text("upstream: {url: http://127.0.0.1:9}\nlog: {level: error}\n")
        assert await reload(running) == 0
        assert "a restart is needed for some changes: log.level" in capsys.readouterr().out


async def test_faults_are_told_with_their_place_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with administered(tmp_path) as running:
        serving = running.proxy.server._live.current
        running.config.write_text(FAULTY)
        assert await reload(running) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        first, second, last = captured.err.splitlines()
        assert first.startswith(f"{running.config}:2:23: timeouts.keepalive: ")
        assert second.startswith(f"{running.config}:3:18: limits.buffer: ")
        expected = f"segue: not reloaded: 2 problems found; {serving.digest} goes on serving"
        assert last == expected
        assert running.proxy.server._live.current is serving
        assert await reload(running, "--json") == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["succeeded"], told["reason"], told["serving"]) == (
            False,
            "asked",
            serving.digest,
        )
        assert [(each["line"], each["column"], each["path"]) for each in told["problems"]] == [
            (2, 23, "timeouts.keepalive"),
            (3, 18, "limits.buffer"),
        ]
        assert [each["text"] for each in told["problems"]] == [first, second]


async def test_the_newest_attempts_are_kept_with_what_was_wrong(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        assert json.loads((await running.ask(LISTED, bearer(VIEWER))).body) == {"reloads": []}
        serving = running.proxy.server._live.current.digest
        unknown = "".join(f"wrong{number}: 1\n" for number in range(30))
        texts = [running.config.read_text(), FAULTY, running.config.read_text() + f"\n{unknown}"]
        for text in texts:
            running.config.write_text(text)
            await reload(running)
        found = json.loads((await running.ask(LISTED, bearer(VIEWER))).body)["reloads"]
        assert [each["succeeded"] for each in found] == [False, False, True]
        assert [len(each["problems"]) for each in found[1:]] == [2, 0]
        assert {each["serving"] for each in found} == {serving}
        many, few, _ = found
        assert len(many["problems"]) <= 20
        assert few["problems"][0]["path"] == "timeouts.keepalive"
        for _ in range(KEPT):
            await reload(running)
        again = json.loads((await running.ask(LISTED, bearer(VIEWER))).body)["reloads"]
        assert len(again) == KEPT
        assert again[0]["ended"] > found[0]["ended"]


async def test_it_takes_an_operator_and_a_body_that_no_page_can_send(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        for token, status in ((VIEWER, 403), (OPERATOR, 200)):
            answer = await running.ask("/api/v1/reload", bearer(token), method="POST", body="{}")
            assert answer.status == status
        answer = await running.ask("/api/v1/reload", bearer(OPERATOR), method="POST")
        assert answer.status == 415
        answer = await running.ask(
            "/api/v1/reload", bearer(OPERATOR), method="POST", body='{"x": 1}'
        )
        assert answer.status == 400
        assert len(running.lines("reloaded")) == 1


async def test_many_who_ask_at_once_wait_for_one_that_begins_after_them(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        reloads = running.proxy.server._reloads
        async with asyncio.timeout(PATIENCE):
            asked = (reloads.carried_out(f"ci-{n % 2}", "operator") for n in range(20))
            outcomes = await asyncio.gather(*asked)
        assert len({id(each) for each in outcomes}) == 1
        assert outcomes[0].authors == (("ci-0", "operator"), ("ci-1", "operator"))
        assert len(running.lines("reloaded")) == 1


async def test_who_waits_while_the_process_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with administered(tmp_path) as running:
        begun = asyncio.Event()

        async def hang(_: str) -> None:
            begun.set()
            await asyncio.Event().wait()

        reloads = running.proxy.server._reloads
        monkeypatch.setattr(reloads, "_reload", hang)
        ask = running.ask("/api/v1/reload", bearer(OPERATOR), method="POST", body="{}")
        asked = asyncio.create_task(ask)
        await begun.wait()
        running.proxy.server._reloading.cancel()  # type: ignore[union-attr]
        answer = await asked
        assert (answer.status, answer.detail) == (503, "this process is stopping")
        again = await running.ask("/api/v1/reload", bearer(OPERATOR), method="POST", body="{}")
        assert again.status == 503


async def test_fault_of_segues_own_is_an_outcome_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with administered(tmp_path) as running:

        async def fail(_: str) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(running.proxy.server._reloads, "_reload", fail)
        answer = await running.ask("/api/v1/reload", bearer(OPERATOR), method="POST", body="{}")
        told = json.loads(answer.body)
        assert not told["succeeded"]
        assert told["problems"][0]["reason"] == "a fault of Segue's: ZeroDivisionError"


def test_nobody_to_ask_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reload", "--state-dir", str(tmp_path)]) == 1
    assert "no segue runs with the state directory" in capsys.readouterr().err
