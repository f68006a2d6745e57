"""`segue tail` as a process, beside a running Segue: what it shows, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import pytest

from proxy.cli.main import main
from tests.support.checkout import ROOT
from tests.support.rfc6455 import TEXT
from tests.support.rig import Segue, segue
from tests.support.sockets import Pair, relayed
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.0"
STATUS = b'{"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": "Anna"}'
MESSAGES = [STATUS, b'{"kind": "chat"}', b"no JSON"]


async def tail(running: Segue, *arguments: str, of: str = "") -> asyncio.subprocess.Process:
    """Start it, and wait until it watches, which it says: for messages of what, if not of all."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "tail", "--state-dir", running.state_directory),
        *arguments,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    told = await process.stderr.readline()
    if told != f"watching{of and f' for messages of {of}'}; Ctrl-C ends it\n".encode():
        process.kill()  # It would outlive the loop, and break the tests that come after.
        raise AssertionError(told + (await process.communicate())[1])
    return process


async def lines(process: asyncio.subprocess.Process, count: int) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode() for _ in range(count)]


async def send(pair: Pair) -> None:
    for message in MESSAGES:
        await pair.server.send(TEXT, message)
        await pair.client.message()


async def test_messages_are_shown_live_with_what_changed_and_ctrl_c_ends_it() -> None:
    async with relayed(None, MODERN) as pair:
        async with asyncio.timeout(PATIENCE):
            process = await tail(pair.segue, "--cohort", "modern", of="cohort modern")
            await send(pair)
            shown = await lines(process, 10)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert err == b"3 messages shown; ended by Ctrl-C\n"
    first, before, after, minus, plus, second, *_ = shown
    assert first.split()[1:7] == ["to", "client", "modern", "old-to-new", "jobStatus", "mapped"]
    assert before.startswith('  before  {"kind": "jobStatus", "jobId": "x-0", ')
    assert after.startswith(('  after   {"kind":"status"', '  after   {"kind": "status"'))
    assert minus == '    - kind: "jobStatus"\n'
    assert plus == '    + kind: "status"\n'
    assert " passed " in second
    assert "Anna" not in "".join(shown)
    assert "\x1b" not in "".join(shown)


async def test_json_has_a_line_for_each_event_and_the_end_is_told() -> None:
    async with relayed(None, MODERN) as pair:
        async with asyncio.timeout(PATIENCE):
            only = ("--kind", "jobStatus", "--rate", "1")
            process = await tail(pair.segue, "--json", *only, of="kind jobStatus")
            await send(pair)
            await send(pair)
            found = [json.loads(line) for line in await lines(process, 3)]
            pair.segue.server._data.tail.close()
            out, err = await process.communicate()
    start, message, left_out = found
    assert start["start"]["rate"] == 1
    assert (message["kind"], message["outcome"]) == ("jobStatus", "mapped")
    assert left_out == {"left_out": {"rate": 1}}
    assert json.loads(out)["end"]["reason"] == "drain"
    # It was told to go on, and did not.
    assert (process.returncode, err) == (1, b"1 message shown, 1 left out; ended by drain\n")


async def test_time_that_was_asked_for_is_an_end_and_a_lost_connection_is_none() -> None:
    async with segue("http://127.0.0.1:9") as running:
        async with asyncio.timeout(PATIENCE):
            process = await tail(running, "--seconds", "0.01")
            _, err = await process.communicate()
            assert (process.returncode, err) == (0, b"0 messages shown; ended by time\n")
            process = await tail(running)
            admin = running.server._admin
            assert admin is not None
            server = admin._runner.server
            assert server is not None
            for connection in list(server.connections):
                assert connection.transport is not None
                connection.transport.abort()
            _, err = await process.communicate()
    assert process.returncode == 1
    assert err == b"0 messages shown; ended by the end of the connection\n"


async def test_refusal_of_the_proxy_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with segue("http://127.0.0.1:9") as running:
        for arguments, told, expected in (
            (["--raw"], "allow_raw_recordings", 4),
            (["--mapping", "old-to-nwe"], "there is no mapping of this name", 1),
            (["--kind", "x" * 100_000], "can be read", 1),
        ):
            code = await asyncio.to_thread(
                main, ["tail", "--state-dir", running.state_directory, *arguments]
            )
            assert code == expected
            assert told in capsys.readouterr().err
