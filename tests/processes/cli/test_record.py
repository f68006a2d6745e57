"""`segue record` against a running Segue: what it writes is an example file that holds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from proxy.cli.main import main
from tests.support.checkout import ROOT
from tests.support.mappings import PARTS
from tests.support.rfc6455 import TEXT
from tests.support.rig import Segue, segue
from tests.support.sockets import Pair, relayed
from tests.support.waiting import PATIENCE

MODERN = b"X-Client-Version: 2.0"
MESSAGES = [
    b'{"kind": "jobStatus", "jobId": "j-1", "status": "running", "message": null}',
    b'{"kind": "agentDialogue", "order": 3}',
    b"no JSON",
]


MAPPINGS = {
    "parts.yaml": PARTS,
}
FAILING = """\
upstream: {url: "http://127.0.0.1:1"}
cohorts: [{name: modern, versions: ">=2", websocket: {to_client: [parts]}}]
"""


async def record(running: Segue, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        "record",
        "--state-dir",
        running.state_directory,
        *arguments,
        cwd=ROOT,
        # With it, Python itself forgets the rest of what a signal interrupts the writing of.
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def send_while_recording(pair: Pair, process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    assert await process.stderr.readline() == b"recording; Ctrl-C ends it\n"
    for message in MESSAGES:
        await pair.server.send(TEXT, message)
        await pair.client.message()


async def test_what_is_recorded_holds_as_examples_beside_the_mapping(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = tmp_path / "old-to-new.yaml"
    for name in ("old-to-new", "new-to-old"):
        text = (ROOT / f"mappings/{name}.yaml").read_text(encoding="utf-8")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    output = tmp_path / "old-to-new.examples.jsonl"
    async with relayed(None, MODERN) as pair:
        async with asyncio.timeout(PATIENCE):
            process = await record(
                pair.segue, "--mapping", "old-to-new", "--count", "3", "--output", str(output)
            )
            await send_while_recording(pair, process)
            _, err = await process.communicate()
    assert process.returncode == 0
    assert err.decode().splitlines() == [
        "2 examples written",
        "ended by count",
        "1 messages skipped: too large, or not JSON objects",
    ]
    assert output.stat().st_mode & 0o777 == 0o600
    first, second = (json.loads(line) for line in output.read_text().splitlines())
    assert first["in"] == {
        "kind": "jobStatus",
        "jobId": "x-0",
        "status": "xxxxxxx",
        "message": None,
    }
    assert first["out"] == {**first["in"], "kind": "status"}
    assert second == {
        "in": {"kind": "agentDialogue", "order": 1},
        "out": {"kind": "step", "order": 1},
    }
    assert main(["test", str(mapping)]) == 0
    assert "2 recorded: all hold" in capsys.readouterr().out


async def test_a_recording_that_wrote_nothing_is_1() -> None:
    async with segue("http://127.0.0.1:9") as running, asyncio.timeout(PATIENCE):
        process = await record(running, "--direction", "to_client", "--seconds", "0.01")
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.endswith(b"0 examples written\nended by time\n")


async def test_ctrl_c_ends_a_recording_and_keeps_what_came() -> None:
    async with relayed(None, MODERN) as pair:
        async with asyncio.timeout(PATIENCE):
            process = await record(pair.segue, "--direction", "to_client", "--keep", "kind,status")
            await send_while_recording(pair, process)
            assert process.stdout is not None
            lines = [await process.stdout.readline() for _ in range(2)]
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert process.returncode == 0, err
    assert json.loads(lines[0])["in"]["status"] == "running"
    assert out == b""
    assert b"2 examples written\nended by Ctrl-C\n" in err


async def test_ctrl_c_while_a_line_is_written_lets_it_be_written_to_its_end() -> None:
    # More than a pipe takes: whoever writes it waits for its reader.
    long = json.dumps({"kind": "jobStatus", "message": "ab " * 400_000}).encode()
    async with relayed({"SEGUE_ADMIN__ALLOW_RAW_RECORDINGS": "true"}, MODERN) as pair:
        async with asyncio.timeout(PATIENCE):
            process = await record(pair.segue, "--direction", "to_client", "--raw")
            assert process.stderr is not None
            assert process.stdout is not None
            assert await process.stderr.readline() == b"recording; Ctrl-C ends it\n"
            await pair.server.send(TEXT, long)
            await pair.client.message()
            first = await process.stdout.readexactly(1)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert process.returncode == 0, err
    (line,) = (first + out).splitlines()
    assert json.loads(line)["in"] == json.loads(long)
    assert err == b"1 examples written\nended by Ctrl-C\n"


async def test_failed_messages_are_written_with_the_reason_and_are_no_examples_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    for name, text in MAPPINGS.items():
        (mappings / name).write_text(text)
    output = mappings / "parts.examples.jsonl"
    config = tmp_path / "config.yaml"
    config.write_text(FAILING)
    async with relayed(None, MODERN, config=config) as pair:
        async with asyncio.timeout(PATIENCE):
            process = await record(
                pair.segue,
                *("--mapping", "parts", "--count", "1"),
                *("--outcome", "failed", "--output", str(output)),
            )
            assert process.stderr is not None
            assert await process.stderr.readline() == b"recording; Ctrl-C ends it\n"
            # The first is mapped, and not what is asked for.
            for rest in (b'"a": 1}', b'"a": "Anna", "b": 2}'):
                message = b'{"kind": "taken", ' + rest
                await pair.server.send(TEXT, message)
                await pair.client.message()
            _, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"1 examples written\nended by count\n1 of them could not be mapped" in err
    [line] = [json.loads(each) for each in output.read_text().splitlines()]
    assert line["in"] == {"kind": "taken", "a": "Xxxx", "b": 1}
    failed = line["failed"]
    assert (failed["mapping"], failed["rule"], failed["operation"]) == ("parts", "taken", "rename")
    assert failed["reason"] == "rename: `a` cannot become `b`, which is taken"
    assert "Anna" not in output.read_text()
    assert main(["test", str(mappings / "parts.yaml")]) == 1
    assert "write what it is to become as `out`" in capsys.readouterr().out


async def test_refusal_of_the_proxy_is_told() -> None:
    async with segue("http://127.0.0.1:9") as running:
        process = await record(running, "--direction", "to_client", "--raw")
        _, err = await process.communicate()
    assert process.returncode == 4
    assert b"allow_raw_recordings" in err


def test_nobody_there_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert main(["record", "--direction", "to_client", "--admin", address]) == 1
    assert "is segue running?" in capsys.readouterr().err


def test_existing_file_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "precious.jsonl"
    output.write_text("precious", encoding="utf-8")
    arguments = ["--admin", "127.0.0.1:9", "--output", str(output)]
    assert main(["record", "--direction", "to_client", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"{output}: file exists")
    assert output.read_text(encoding="utf-8") == "precious"


def test_mapping_or_direction_must_be_named() -> None:
    with pytest.raises(SystemExit) as raised:
        main(["record"])
    assert raised.value.code == 2
