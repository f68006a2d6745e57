"""`segue health`, against a running Segue and against what else may be at its address."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest

from proxy.admin.application import ProcessState
from proxy.cli.main import main
from tests.support.rig import RawPeer, raw_server, segue


async def health(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["health", "--timeout", "5", *arguments])


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def test_healthy_process_is_0_and_ready_follows_its_state() -> None:
    async with segue("http://127.0.0.1:9") as running:
        where = ["--admin", running.server.admin_address]
        assert await health(*where) == 0
        assert await health(*where, "--ready") == 0
        running.server.state = ProcessState.DRAINING
        assert await health(*where, "--ready") == 1
        assert await health(*where) == 0
        running.server.state = ProcessState.READY


async def test_the_answer_as_json(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    async with segue("http://127.0.0.1:9") as running:
        admin = running.server.admin_address
        assert await health("--admin", admin, "--json") == 0
    url = f"http://{admin}/healthz"
    assert json.loads(capsys.readouterr().out) == {"url": url, "healthy": True, "status": 200}
    assert await health("--admin", f"127.0.0.1:{free_port}", "--json") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["reason"] == "connection refused"
    assert err == ""


def test_nobody_there_is_1(free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--admin", f"127.0.0.1:{free_port}"]) == 1
    assert "connection refused" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 500 Oops\r\n\r\n", b""])
async def test_something_else_is_1(answer: bytes) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.send(answer)

    async with raw_server(script) as server:
        assert await health("--admin", server.url.removeprefix("http://")) == 1


def test_silence_is_1_after_the_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert main(["health", "--admin", address, "--timeout", "0.1"]) == 1
    assert "no answer in time" in capsys.readouterr().err


def answer_once(listener: socket.socket) -> threading.Thread:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("source", ["file", "faulty file", "variable"])
def test_address_is_found_where_the_process_found_it(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A change that is wrong elsewhere in the file must not let a healthy process be killed."""
    config = tmp_path / "config.yaml"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if source == "variable":
            monkeypatch.setenv("SEGUE_ADMIN__ADDRESS", f"0.0.0.0:{port}")
        else:
            rest = "upstream: 7\n" if source == "faulty file" else ""
            config.write_text(f"admin: {{address: ':{port}'}}\n{rest}", encoding="utf-8")
        thread = answer_once(listener)
        state = ["--state-dir", str(tmp_path / "state")]
        assert main(["health", "--config", str(config), *state]) == 0
        thread.join()
    asked = "by $SEGUE_ADMIN__ADDRESS"
    if source != "variable":
        asked = f"by {config}: no segue runs with the state directory {tmp_path / 'state'}"
    assert capsys.readouterr().err.startswith(f"segue: asked {asked}")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:0"])
def test_address_that_cannot_be_asked_is_told(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", "--admin", address]) == 1
    assert capsys.readouterr().err.startswith("--admin: admin.address: ")


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "soon"])
def test_timeout_that_is_none_is_a_mistake_in_the_command_line(seconds: str) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["health", "--timeout", seconds])
    assert raised.value.code == 2
