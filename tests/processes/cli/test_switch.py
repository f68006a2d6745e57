"""`segue switch`, `segue history` and `segue undo` against a process with WebSockets that stay."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.cli.main import main
from tests.support.administered import OPERATOR, TOKENS, UNKNOWN, VIEWER
from tests.support.checkout import ROOT
from tests.support.load import origin
from tests.support.process import Process, running
from tests.support.waiting import PATIENCE

MODERN, LEGACY = "modern/old-to-new", "legacy/new-to-old"
WHY = ("--reason", "why")


@dataclass
class Operator:
    """Whoever types the commands, and what the last of them has printed."""

    process: Process
    directory: Path
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    async def segue(self, *arguments: str) -> int:
        """Run a command; its exit code."""
        state = ["--state-dir", str(self.directory / "state")]
        state += ["--config", str(self.directory / "config.yaml")]
        code = await asyncio.to_thread(main, [*arguments, *state])
        self.out, self.err = self.capsys.readouterr()
        return code

    async def switches(self) -> dict[str, dict[str, Any]]:
        assert await self.segue("switch", "list", "--json") == 0
        return {each["switch"]: each for each in json.loads(self.out)}

    async def newest(self) -> int:
        """The number of the newest revision."""
        assert await self.segue("history", "--json", "--limit", "1") == 0
        return int(json.loads(self.out)[0]["number"])


@asynccontextmanager
async def operated(
    directory: Path, server: str, capsys: pytest.CaptureFixture[str], switching: str = ""
) -> AsyncIterator[Operator]:
    """Run Segue with the shipped cohorts, and a section `switching`."""
    shutil.copytree(ROOT / "mappings", directory / "mappings", dirs_exist_ok=True)
    config = directory / "config.yaml"
    config.write_text(
        f"upstream: {{url: {server}}}\nadmin: {{tokens: {json.dumps(TOKENS)}}}\n"
        "cohorts:\n"
        "  - {name: modern, versions: '>=2', websocket: {to_client: [old-to-new]}}\n"
        "  - {name: legacy, versions: '<2', websocket: {to_client: [new-to-old]}}\n" + switching
    )
    env = {"SEGUE_STATE_DIR": str(directory / "state")}
    async with running(config, env=env) as process:
        yield Operator(process, directory, capsys)


@dataclass
class Client:
    """A WebSocket; its messages are numbered, and none may be missing."""

    socket: aiohttp.ClientWebSocketResponse
    number: int = 0

    async def message(self) -> str:
        """The kind of the next message."""
        async with asyncio.timeout(PATIENCE):
            found = await self.socket.receive_json()
        assert found["number"] == self.number
        self.number += 1
        return str(found["kind"])

    async def until(self, kind: str) -> None:
        """Read until a message is of this kind; it stays so."""
        while await self.message() != kind:
            pass
        assert {await self.message() for _ in range(5)} == {kind}


@asynccontextmanager
async def client(process: Process, version: str = "2.0") -> AsyncIterator[Client]:
    headers = {"X-Client-Version": version}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"http://{process.address}/ws") as socket,
    ):
        yield Client(socket)


async def test_switch_set_off_changes_what_an_open_socket_gets_and_undo_takes_it_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        origin() as server,
        operated(tmp_path, server.url, capsys) as operator,
        client(operator.process) as modern,
        client(operator.process, "2.1.3") as kept,
    ):
        await modern.until("status")
        await kept.until("status")
        command = ["switch", "set", MODERN, "off", *WHY]
        assert await operator.segue(*command, "--open-sockets", "next_message") == 0
        assert operator.out.splitlines() == [
            f"revision 1: {MODERN} on -> off",
            "this lowers: new connections lose it",
            "modern: 2 websockets on revision 1",
        ]
        await modern.until("jobStatus")
        await kept.until("jobStatus")
        undo = ["undo", *WHY, "--open-sockets", "next_message"]
        assert await operator.segue(*undo, "--if-revision", "1") == 0
        assert operator.out.startswith(f"revision 2: {MODERN} off -> on\n")
        await modern.until("status")
        # What keeps is told, and changes with the next that does not.
        assert await operator.segue(*command, "--open-sockets", "keep") == 0
        assert operator.out.splitlines()[1:] == [
            "this lowers: new connections lose it",
            "modern: 2 websockets on revision 2",
            "those on older ones keep what they have, to their end",
        ]
        assert (await operator.switches())[MODERN]["sockets_behind"] == 2
        assert {await modern.message() for _ in range(5)} == {"status"}
        assert await operator.segue("undo", "--to", "1", *WHY) == 0
        told = operator.out.splitlines()[0]
        assert told.startswith("nothing changed: it is so, since revision 3 by ")


async def test_everything_off_is_in_force_on_open_sockets_and_so_is_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        origin() as server,
        operated(tmp_path, server.url, capsys) as operator,
        client(operator.process) as modern,
    ):
        await modern.until("status")
        first = ["canary", "--percent", "5"]
        assert await operator.segue("switch", "set", LEGACY, *first, *WHY) == 0
        for end, lower in (
            (["switch", "all", "restore"], ["canary", "--percent", "3"]),
            (["undo", "--to", "4"], ["off"]),
        ):
            assert await operator.segue("switch", "all", "off", *WHY) == 0
            assert "everything off\nmodern: 1 websocket on revision" in operator.out
            await modern.until("jobStatus")
            found = (await operator.switches())[MODERN]
            assert (found["state"], found["set_to"]) == ("off", "on")
            assert await operator.segue("switch", "list") == 0
            assert operator.out.startswith("everything is off;")
            assert await operator.segue("switch", "set", LEGACY, "on", *WHY) == 1
            assert operator.err.startswith("segue: everything is off: restore first")
            assert "`segue switch all restore --reason TEXT` ends that" in operator.err
            # Who asks for it again at night has what they want.
            number = await operator.newest()
            assert await operator.segue("switch", "set", LEGACY, *lower, *WHY) == 0
            for wait in ([], ["--wait", str(PATIENCE)]):
                assert await operator.segue("switch", "all", "off", *WHY, *wait) == 0
                told, *more = operator.out.splitlines()
                assert told.startswith(f"everything is off already, since revision {number} by ")
                sockets, *waited = more
                assert sockets.startswith("modern: 1 websocket on revision")
                assert len(waited) == bool(wait)
            assert await operator.segue("switch", "all", "off", *WHY, "--json") == 0
            told = json.loads(operator.out)
            assert (told["revision"]["number"], told["changed"]) == (number, False)
            assert await operator.newest() == number + 1
            assert await operator.segue(*end, *WHY) == 0
            # Nor is it a failure to end it again.
            assert await operator.segue("switch", "all", "restore", *WHY) == 0
            since = f"everything is what it is set to, since revision {number + 2} by "
            assert operator.out.startswith(f"nothing was off as a whole: {since}")
            assert await operator.newest() == number + 2
            await modern.until("status")


async def test_restore_keeps_open_sockets_as_they_are_where_it_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        origin() as server,
        operated(tmp_path, server.url, capsys) as operator,
        client(operator.process) as modern,
    ):
        assert await operator.segue("switch", "all", "off", *WHY) == 0
        await modern.until("jobStatus")
        keep = ["--open-sockets", "keep"]
        assert await operator.segue("switch", "all", "restore", *WHY, *keep) == 0
        assert "1 websocket on revision 1" in operator.out
        assert {await modern.message() for _ in range(5)} == {"jobStatus"}
        async with client(operator.process) as other:
            await other.until("status")


async def test_exception_for_nobody_is_refused_with_the_range_of_the_cohort(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        for versions in ("==1.0", "==2.1.3,<1"):
            command = ["switch", "set", MODERN, "off", "--versions", versions, "--name", "bad"]
            for more in (WHY, ("--dry-run",)):
                assert await operator.segue(*command, *more) == 1
                told = f"versions: no version of the cohort modern (>=2) is in {versions}"
                assert told in operator.err
        assert (await operator.switches())[MODERN]["exceptions"] == []
        gone = ["switch", "set", MODERN, "off", "--versions", ">=1", "--name", "wide"]
        assert await operator.segue(*gone, *WHY) == 0


async def test_exception_is_made_listed_exported_and_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        origin() as server,
        operated(tmp_path, server.url, capsys) as operator,
        client(operator.process, "2.1.3") as broken,
        client(operator.process) as sound,
    ):
        await broken.until("status")
        command = ["switch", "set", MODERN, "off", "--versions", "==2.1.3", "--name", "bad"]
        term = ["--for", "10m", "--owner", "ann", "--open-sockets", "next_message"]
        assert await operator.segue(*command, *term, *WHY) == 0
        line = f"revision 1: {MODERN} with exception bad (==2.1.3): off"
        assert operator.out.splitlines()[0] == line
        await broken.until("jobStatus")
        await sound.until("status")
        (exception,) = (await operator.switches())[MODERN]["exceptions"]
        assert (exception["name"], exception["versions"], exception["state"]) == (
            "bad",
            "==2.1.3",
            "off",
        )
        assert exception["term"]["owner"] == "ann"
        assert exception["term"]["restore"] is True
        named = ["switch", "set", MODERN, "off", "--owner", "bob", *WHY, "--name"]
        assert await operator.segue(*named, "bad") == 0
        (exception,) = (await operator.switches())[MODERN]["exceptions"]
        assert (exception["versions"], exception["term"]["owner"]) == ("==2.1.3", "bob")
        with pytest.raises(SystemExit, match="2"):
            await operator.segue(*named, "worse")
        assert "has no exception 'worse': to make it, say for which" in capsys.readouterr().err
        drop = ["switch", "drop", MODERN, "--name", "bad", *WHY]
        assert await operator.segue(*drop, "--if-revision", "0") == 3
        assert await operator.segue(*drop, "--open-sockets", "next_message") == 0
        assert f"{MODERN}: exception bad (==2.1.3, was off) dropped: these versions are on" in (
            operator.out
        )
        await broken.until("status")
        assert await operator.segue(*drop) == 1
        assert operator.err.startswith(
            "segue: `modern/old-to-new` has no exception `bad`; it has: none"
        )


async def test_conflict_is_3_and_says_what_was_done_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        assert await operator.segue("switch", "set", MODERN, "shadow", "--reason", "first") == 0
        assert await operator.segue("switch", "set", MODERN, "on", *WHY, "--if-revision", "0") == 3
        assert "changed meanwhile" in operator.err
        assert "(set: first)" in operator.err
        assert "if it is still wanted, repeat it without --if-revision" in operator.err
        assert await operator.segue("switch", "set", MODERN, "off", *WHY, "--if-revision", "9") == 3
        text = "--if-revision 9: there is no such revision; the newest is 1"
        assert operator.err == f"segue: {text}\n"
        for command in (["undo"], ["switch", "all", "restore"]):
            if "all" in command:
                assert await operator.segue("switch", "all", "off", *WHY) == 0
            assert await operator.segue(*command, *WHY, "--if-revision", "0") == 3
        assert (await operator.switches())[MODERN]["set_to"] == "shadow"


async def test_role_is_4_and_what_is_not_there_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        command = ["switch", "set", MODERN, "off", *WHY]
        for token, expected in ((VIEWER, 4), (UNKNOWN, 4), (OPERATOR, 0)):
            monkeypatch.setenv("SEGUE_ADMIN_TOKEN", token)
            assert await operator.segue(*command) == expected, operator.err
            assert token not in operator.err + operator.out
        monkeypatch.setenv("SEGUE_ADMIN_TOKEN", UNKNOWN)
        for reading in (["switch", "list"], ["history"], ["tail"], ["sockets", "list"], ["status"]):
            assert await operator.segue(*reading) == 4
            assert operator.err.startswith("segue: this token is not known")
            assert "(asked with the token of $SEGUE_ADMIN_TOKEN)" in operator.err
        monkeypatch.setenv("SEGUE_ADMIN_TOKEN", VIEWER)
        assert await operator.segue("switch", "list") == 0
        assert await operator.segue("history") == 0
        assert "operator-token" in operator.out
        for refused in (["undo"], ["switch", "all", "off"]):
            assert await operator.segue(*refused, *WHY) == 4
        monkeypatch.delenv("SEGUE_ADMIN_TOKEN")
        assert await operator.segue("switch", "set", "modern/old-to-nwe", "off", *WHY) == 1
        assert "did you mean 'modern/old-to-new'?; there are: legacy/new-to-old" in operator.err
        assert await operator.segue("undo", "--to", "99", *WHY) == 1
        assert operator.err.startswith("segue: there is no revision 99")
        await operator.process.terminate()
        assert await operator.segue(*command) == 1


async def test_authority_of_the_file_is_5_and_steps_down_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switching = f"switching: {{authority: file, switches: {{{MODERN}: shadow}}}}\n"
    async with origin() as server, operated(tmp_path, server.url, capsys, switching) as operator:
        for state in (["on"], ["canary", "--percent", "5"]):
            assert await operator.segue("switch", "set", MODERN, *state, *WHY) == 5
            assert "the configuration file is the authority" in operator.err
        assert await operator.segue("switch", "set", MODERN, "off", *WHY) == 0
        assert await operator.segue("switch", "set", MODERN, "shadow", *WHY) == 5
        assert await operator.segue("switch", "list") == 0
        assert "the configuration file is the authority" in operator.out
        found = (await operator.switches())[MODERN]
        assert (found["set_to"], found["configured"], found["differs"]) == ("off", "shadow", True)
        restore = ["switch", "restore", MODERN, "--reason", "it was the server"]
        assert await operator.segue(*restore, "--if-revision", "0") == 3
        assert await operator.segue(*restore) == 0
        assert operator.out.startswith(f"revision 3: {MODERN} off -> shadow\n")
        found = (await operator.switches())[MODERN]
        assert (found["set_to"], found["differs"]) == ("shadow", False)
        assert await operator.segue(*restore) == 1
        assert "is as the configuration says: nothing to restore" in operator.err
        # Everything off, and its end; an undo of a step down.
        assert await operator.segue("switch", "all", "off", *WHY) == 0
        assert await operator.segue("switch", "all", "restore", *WHY) == 0
        assert await operator.segue("switch", "set", MODERN, "off", *WHY) == 0
        assert await operator.segue("undo", *WHY) == 0
        assert (await operator.switches())[MODERN]["set_to"] == "shadow"


async def test_another_file_says_what_it_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switching = "switching: {authority: file}\n"
    async with origin() as server, operated(tmp_path, server.url, capsys, switching) as operator:
        config = tmp_path / "config.yaml"

        async def edited() -> list[str]:
            config.write_text(config.read_text() + "# a comment\n")
            assert await operator.segue("reload") == 0
            return operator.out.splitlines()[1:]

        assert await edited() == []
        assert await operator.segue("switch", "set", MODERN, "off", *WHY) == 0
        assert await operator.segue("switch", "set", LEGACY, "shadow", *WHY) == 0
        assert await operator.segue("switch", "all", "off", *WHY) == 0
        # The same file ends nothing.
        assert await operator.segue("reload", "--json") == 0
        told = json.loads(operator.out)
        assert (told["ends_all_off"], told["ends_switches"]) == (False, [])
        assert (await operator.switches())[MODERN]["set_to"] == "off"
        ends = ["this ends everything off", f"this ends 2 steps down: {LEGACY}, {MODERN}"]
        assert await edited() == ends
        async with asyncio.timeout(PATIENCE):
            while not operator.process.events("another configuration ends what was set"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (line,) = operator.process.events("another configuration ends what was set")
        assert (line["ends_all_off"], line["switches"]) == (True, [LEGACY, MODERN])
        assert await operator.segue("history", "--limit", "1", "--json") == 0
        (newest,) = json.loads(operator.out)
        assert (newest["kind"], newest["was_all_off"], newest["all_off"]) == ("follow", True, False)
        assert await operator.segue("history", "--limit", "1") == 0
        told_of = " ".join(operator.out.split())
        assert all(each in told_of for each in ends), operator.out
        # Nothing is left to end; and a file that has been there does not end that all is off.
        before = config.read_text()
        assert await edited() == []
        assert await operator.segue("switch", "all", "off", *WHY) == 0
        config.write_text(before)
        assert await operator.segue("reload") == 0
        assert "this ends" not in operator.out
        assert (await operator.switches())[MODERN]["state"] == "off"


async def test_restore_ends_all_that_was_set_of_a_switch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        bad = ["--versions", "==2.1.3", "--name", "bad"]
        assert await operator.segue("switch", "set", MODERN, "shadow", *WHY) == 0
        assert await operator.segue("switch", "set", MODERN, "off", *bad, *WHY) == 0
        assert await operator.segue("switch", "restore", MODERN, *WHY) == 0
        assert operator.out.splitlines()[:2] == [
            f"revision 3: {MODERN} shadow -> on",
            (
                f"revision 3: {MODERN}: exception bad (==2.1.3, was off) dropped:"
                " these versions are on"
            ),
        ]
        assert await operator.segue("history", "--json") == 0
        assert json.loads(operator.out)[0]["kind"] == "restore-switch"
        assert await operator.segue("switch", "restore", "modern/new-to-old", *WHY) == 1
        assert "there is no switch" in operator.err


async def test_history_shows_who_did_what_and_why_the_newest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        assert await operator.segue("history") == 0
        assert operator.out == "nothing was changed yet\n"
        for percent in ("10", "5", "2.5"):
            command = ["switch", "set", LEGACY, "canary", "--percent", percent]
            assert await operator.segue(*command, "--reason", f"to {percent}") == 0
        assert await operator.segue("undo", "--to", "0", "--reason", "no more") == 0
        assert operator.out.startswith(f"revision 4: {LEGACY} canary 2.5% -> on\n")
        assert await operator.segue("history", "--limit", "3") == 0
        header, *rows = operator.out.splitlines()
        assert header.split()[:3] == ["REVISION", "WHEN", "AUTHOR"]
        assert [row.split()[0] for row in rows] == ["4", "3", "2"]
        assert f"{LEGACY} canary 5% -> canary 2.5%" in rows[1]
        assert rows[0].endswith("no more")
        assert await operator.segue("history", "--json") == 0
        found = json.loads(operator.out)
        assert [each["number"] for each in found] == [4, 3, 2, 1]
        assert [each["reason"] for each in found] == ["no more", "to 2.5", "to 5", "to 10"]


async def test_dry_run_tells_that_sockets_which_keep_the_mapping_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        origin() as server,
        operated(tmp_path, server.url, capsys) as operator,
        client(operator.process) as modern,
        client(operator.process, "1.0"),
    ):
        await modern.until("status")
        command = ["switch", "set", MODERN, "shadow", *WHY]
        assert await operator.segue(*command, "--open-sockets", "keep") == 0
        assert await operator.segue("switch", "set", MODERN, "on", "--dry-run") == 0
        told = "in shadow, nothing compared yet: 1 open websocket still has the mapping"
        assert told in operator.out


async def test_undo_says_what_it_undoes_and_a_dry_run_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        assert await operator.segue("undo", "--dry-run") == 1
        assert "no revision -1 to go back to; the newest is 0" in operator.err
        assert await operator.segue("switch", "set", MODERN, "off", *WHY) == 0
        undo = f"undoes revision 1: {MODERN} on -> off, by "
        assert await operator.segue("undo", "--dry-run") == 0
        first, *rest = operator.out.splitlines()
        assert first.startswith(undo)
        assert rest == [f"{MODERN} off -> on", "nothing was changed"]
        assert await operator.newest() == 1
        assert await operator.segue("undo", *WHY) == 0
        assert operator.out.splitlines()[1].startswith(undo)
        # An undo of an undo.
        assert await operator.segue("undo", *WHY) == 0
        told = operator.out.splitlines()
        assert told[1].startswith(f"undoes revision 2: {MODERN} off -> on, by ")
        assert told[2].endswith("to go further back, say to which revision: --to N")
        assert await operator.segue("switch", "all", "off", *WHY) == 0
        assert await operator.segue("switch", "all", "restore", *WHY) == 0
        assert await operator.segue("undo", "--dry-run", "--json") == 0
        would = json.loads(operator.out)
        assert would["undoes"] == [5]
        assert (would["revision"]["was_all_off"], would["revision"]["all_off"]) == (False, True)
        assert await operator.segue("undo", "--dry-run") == 0
        first, *rest = operator.out.splitlines()
        assert first.startswith("undoes revision 5: everything is what it is set to again, by ")
        assert rest == ["this puts everything off", "everything is off", "nothing was changed"]
        assert await operator.segue("undo", "--to", "2", "--dry-run") == 0
        assert operator.out.splitlines() == [
            "undoes revisions 3 to 5",
            f"{MODERN} off -> on",
            "nothing was changed",
        ]
        assert await operator.segue("undo", "--to", "9", "--dry-run") == 1
        assert await operator.newest() == 5


async def test_dry_run_says_what_would_be_touched_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        origin() as server,
        operated(tmp_path, server.url, capsys) as operator,
        client(operator.process) as modern,
    ):
        await modern.until("status")
        assert await operator.segue("switch", "set", MODERN, "off", "--dry-run") == 0
        first, lost, touched, *_, last = operator.out.splitlines()
        assert first == f"{MODERN} on -> off, which lowers"
        assert lost == "this lowers: new connections lose it"
        told = "1 of 1 open websocket of modern would get something else, of about 1 user"
        assert (touched, last) == (told, "nothing was changed")
        assert await operator.segue("switch", "set", MODERN, "off", "--dry-run", "--json") == 0
        assert json.loads(operator.out)["websockets"] == 1
        assert (await operator.switches())[MODERN]["revision"] == 0


async def test_json_is_the_answer_of_a_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with origin() as server, operated(tmp_path, server.url, capsys) as operator:
        assert await operator.segue("switch", "set", MODERN, "off", *WHY, "--json") == 0
        revision = json.loads(operator.out)["revision"]
        assert (revision["number"], revision["kind"], revision["scope"]) == (1, "set", [MODERN])


async def test_what_is_exported_gives_the_same_states_when_it_is_committed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def states(found: dict[str, dict[str, Any]]) -> list[object]:
        return [
            (
                name,
                each["set_to"],
                [(one["name"], one["versions"], one["state"]) for one in each["exceptions"]],
            )
            for name, each in sorted(found.items())
        ]

    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    async with origin() as server:
        async with operated(one, server.url, capsys) as operator:
            command = ["switch", "set", MODERN]
            assert await operator.segue(*command, "canary", "--percent", "2.5", *WHY) == 0
            for name, versions, state in (("bad", "==2.1.3", "off"), ("good", ">=3, <4", "on")):
                exception = ["--versions", versions, "--name", name]
                assert await operator.segue(*command, state, *exception, *WHY) == 0
            assert await operator.segue("switch", "set", LEGACY, "shadow", *WHY) == 0
            before = await operator.switches()
            assert before[MODERN]["differs"]
            assert await operator.segue("switch", "export") == 0
            exported = operator.out
        async with operated(other, server.url, capsys, exported) as operator:
            after = await operator.switches()
    assert [str(each).replace(", <4", ",<4") for each in states(before)] == [
        str(each) for each in states(after)
    ]
    assert not any(each["differs"] for each in after.values())


async def test_change_is_waited_for_on_all_replicas_and_those_that_are_late_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the two has no cohort `legacy`: what is turned of it does nothing there."""
    text = (
        f"admin: {{tokens: {json.dumps(TOKENS)}}}\ncohorts:\n"
        "  - {name: modern, versions: '>=2', websocket: {to_client: [old-to-new]}}\n"
    )
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    env = {"SEGUE_STATE_DIR": str(tmp_path / "state")}
    async with origin() as server:
        (tmp_path / "other.yaml").write_text(f"upstream: {{url: {server.url}}}\n{text}")
        async with (
            running(tmp_path / "other.yaml", env=env),
            operated(tmp_path, server.url, capsys) as operator,
        ):
            await two_are_known(operator.process)
            command = ["switch", "set", MODERN, "off", *WHY, "--wait", str(PATIENCE)]
            assert await operator.segue(*command) == 0
            assert "revision 1 is in force on 2 replicas\n" in operator.out
            late = ["switch", "set", LEGACY, "off", *WHY, "--wait", "0.1"]
            assert await operator.segue(*late) == 1
            assert operator.out.startswith(f"revision 2: {LEGACY} on -> off\n")
            assert "revision 2 is not on all replicas after 0.1 s: " in operator.err
            assert operator.err.count("(on ") == 1
            assert await operator.segue("undo", *WHY, "--wait", str(PATIENCE)) == 0


async def two_are_known(process: Process) -> None:
    """Wait until both processes are on the list."""
    fields = {"Authorization": f"Bearer {OPERATOR}"}
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(headers=fields) as client:
        while True:
            async with client.get(f"http://{process.admin}/api/v1/replicas") as answer:
                told = await answer.json()
            if len(told.get("replicas", [])) == 2:
                return
            await asyncio.sleep(0.05)
