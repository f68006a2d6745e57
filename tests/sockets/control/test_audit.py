"""What a running Segue writes into its audit: who, with which role, did what."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

from proxy.control.audit import MOST_WAITING
from proxy.storage.audit_files import CURRENT, AuditFiles
from proxy.storage.state_directory import development_key
from proxy.tokens.audit_chain import LOST, AuditKeys
from proxy.tokens.audit_verdict import AuditCheck, Verdict
from tests.support.administered import (
    ADMIN,
    OPERATOR,
    TOKENS,
    UNKNOWN,
    VIEWER,
    Administered,
    administered,
    bearer,
)
from tests.support.rig import RawPeer
from tests.support.waiting import PATIENCE


def directory(running: Administered) -> Path:
    return Path(running.proxy.server._live.current.source.env["SEGUE_STATE_DIR"])


async def lines(running: Administered, event: str = "") -> list[dict[str, Any]]:
    assert await running.proxy.server.audit.flushed(PATIENCE)
    text = (directory(running) / CURRENT).read_text()
    read: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return [each for each in read if event in ("", each["event"])]


def verdict(place: Path) -> Verdict:
    keys = AuditKeys([development_key(place)])
    check = AuditCheck(keys, None)
    with AuditFiles(place, keys).opened() as opened:
        for each in opened:
            check.file(each.name)
            for line in each.lines():
                check.line(line)
    return check.end()


async def test_a_start_says_who_may_do_what(tmp_path: Path) -> None:
    admin = {
        "tokens": [*TOKENS[1:3], {**TOKENS[3], "expires": "2099-01-01T00:00:00Z"}],
        "trusted_proxies": ["10.0.0.1"],
        "trusted_user_header": "X-User",
        "users": {"ann": "operator"},
    }
    async with administered(tmp_path, None, **admin) as running:
        (line,) = await lines(running, "started")
        assert (line["author"], line["role"]) == ("segue", "")
        assert line["details"]["may"] == {
            "admin-token (token)": "admin",
            "ann (proxy)": "operator",
            "operator-token (token)": "operator",
            "viewer-token (token)": "viewer",
        }
        assert line["details"]["configuration"] == running.proxy.server._live.current.digest
        place = directory(running)
        assert stat.S_IMODE((place / CURRENT).stat().st_mode) == 0o600
        assert verdict(place).intact


async def test_a_reload_says_who_asked_and_whose_rights_it_changed(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        changed = [{**TOKENS[1], "role": "operator"}, TOKENS[2], {**TOKENS[3], "name": "boss"}]
        await running.reload(tokens=changed)
        (line,) = await lines(running, "reloaded")
        assert (line["author"], line["role"]) == ("segue", "")
        assert line["details"]["added"] == {
            "boss (token)": "admin",
            "viewer-token (token)": "operator",
        }
        assert line["details"]["removed"] == {
            "admin-token (token)": "admin",
            "metrics-token (token)": "metrics",
            "viewer-token (token)": "viewer",
        }
        running.config.write_text("upstream: {url: nonsense}")
        answer = await running.ask("/api/v1/reload", bearer(OPERATOR), method="POST", body="{}")
        assert answer.status == 200
        (line,) = await lines(running, "reload failed")
        assert (line["author"], line["role"]) == ("operator-token (token)", "operator")
        assert line["details"]["problems"] == 1
        assert "added" not in line["details"]


async def test_orders_of_operators_are_in_it(tmp_path: Path) -> None:
    async with administered(tmp_path, None, tokens=TOKENS, allow_raw_recordings=True) as running:

        async def order(target: str, body: dict[str, object], token: str = OPERATOR) -> str:
            answer = await running.ask(target, bearer(token), method="POST", body=json.dumps(body))
            assert answer.status < 300, answer
            return answer.body

        watch = json.loads(await order("/api/v1/log/watches", {"cohort": "none", "seconds": 5}))[
            "name"
        ]
        await running.ask(f"/api/v1/log/watches/{watch}", bearer(OPERATOR), method="DELETE")
        recording = json.loads(await order("/api/v1/recordings", {"raw": True, "count": 7}, ADMIN))[
            "name"
        ]
        await running.ask(f"/api/v1/recordings/{recording}", bearer(ADMIN), method="DELETE")
        await order("/api/v1/sockets/close", {"everything": True, "seconds": 0})
        told = [(each["event"], each["author"], each["role"]) for each in await lines(running)]
        operator, admin = ("operator-token (token)", "operator"), ("admin-token (token)", "admin")
        assert told[2:] == [
            ("log watch started", *operator),
            ("log watch stopped", *operator),
            ("recording started", *admin),
            ("recording stopped", *admin),
            ("closing websockets", *operator),
        ]
        (line,) = await lines(running, "recording started")
        assert (line["details"]["raw"], line["details"]["count"]) == (True, 7)
        (line,) = await lines(running, "closing websockets")
        assert line["details"]["websockets"] == 0


async def test_refused_attempts_are_in_it_without_what_was_shown(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        assert (await running.ask("/api/v1/status", bearer(UNKNOWN))).status == 401
        answer = await running.ask("/api/v1/reload", bearer(VIEWER), method="POST", body="{}")
        assert answer.status == 403
        assert (await running.ask(f"/api/v1/status?t={UNKNOWN}")).status == 400
        assert (await running.ask("/api/v1/status")).status == 401  # Nothing was shown.
        stranger, viewer, in_url = await lines(running, "admin request refused")
        assert (stranger["author"], stranger["role"]) == ("unknown", "")
        assert stranger["details"]["status"] == 401
        assert (viewer["author"], viewer["role"]) == ("viewer-token (token)", "viewer")
        assert viewer["details"]["path"] == "/api/v1/reload"
        assert in_url["details"]["status"] == 400
        text = (directory(running) / CURRENT).read_text()
        assert not any(token in text for token in (UNKNOWN, VIEWER, OPERATOR))


async def test_strangers_do_not_fill_it(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        # Each from an address of its own, so that the log has all of them.
        for number in range(2, 22):
            local = (f"127.0.0.{number}", 0)
            peer = RawPeer(*await asyncio.open_connection(*running.place, local_addr=local))
            await peer.send(
                b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Authorization: Bearer wrong\r\n\r\n"
            )
            assert b" 401 " in (await peer.read_all())
            await peer.close()
        assert len(running.lines("admin request refused")) == 20
        audited = await lines(running, "admin request refused")
        assert 10 <= len(audited) < 20
        assert audited[0]["details"]["refused_before"] == 0


async def test_what_is_written_has_no_tokens(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        audit = running.proxy.server.audit
        audit.write(
            "switched",
            author=f"x {UNKNOWN}",
            role="operator",
            reason=f"see {UNKNOWN}",
            more=[{"token=x": f"Bearer {UNKNOWN}"}],
            odd=Path("file"),
        )
        (line,) = await lines(running, "switched")
        assert UNKNOWN not in json.dumps(line)
        assert line["details"]["odd"] == "file"


async def test_an_end_is_the_last_line(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    async with administered(tmp_path) as running:
        place = directory(running)
        await running.proxy.server.drain()
        read = [json.loads(each) for each in (place / CURRENT).read_text().splitlines()]
        assert [each["event"] for each in read[-2:]] == ["draining", "stopped"]
        assert read[-1]["details"]["orderly"] is True
        assert verdict(place).intact


async def test_lines_wait_while_they_cannot_be_written_and_are_lost_beyond_a_bound(
    tmp_path: Path,
) -> None:
    async with administered(tmp_path) as running:
        audit = running.proxy.server.audit
        before = await lines(running)
        # No file can be begun where there is a directory of its name.
        (directory(running) / CURRENT).rename(directory(running) / "aside")
        (directory(running) / CURRENT).mkdir()
        for number in range(MOST_WAITING + 3):
            audit.write("switched", author=f"somebody {number}", role="operator")
        async with asyncio.timeout(PATIENCE):
            while not audit.failures:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert (audit.waiting, audit.lost) == (MOST_WAITING, 3)
        assert audit.trouble
        assert running.lines("audit not written")
        lost = running.lines("audit line lost")
        assert [each["author"] for each in lost] == [
            f"somebody {MOST_WAITING + n}" for n in range(3)
        ]
        answer = await running.ask("/metrics")
        assert 'segue_audit_lines_total{result="lost"} 3.0' in answer.body
        assert f"segue_audit_waiting {MOST_WAITING}.0" in answer.body
        (directory(running) / CURRENT).rmdir()
        (directory(running) / "aside").rename(directory(running) / CURRENT)
        after = await lines(running)
        assert audit.trouble == ""
        assert running.lines("audit written again")
        written = [each for each in after if each["event"] == "switched"]
        assert [each["author"] for each in written] == [
            f"somebody {n}" for n in range(MOST_WAITING)
        ]
        told = [each["details"]["lines"] for each in after if each["event"] == LOST]
        assert told == [3]
        assert len(after) == len(before) + MOST_WAITING + 1
        assert verdict(directory(running)).intact


async def test_a_state_directory_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        place = directory(running)
        await lines(running)
        (place / CURRENT).unlink()
        (place / CURRENT).mkdir()
        running.proxy.server.audit.write("switched", author="somebody", role="operator")
        async with asyncio.timeout(PATIENCE):
            while not running.lines("audit not written"):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert (await running.ask("/readyz")).status == 200
        await running.proxy.server.drain()
        # What nobody could write is in the log at the end.
        lost = [each["lost"] for each in running.lines("audit line lost")]
        assert lost == ["switched", "draining", "stopped"]
