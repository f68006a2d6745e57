"""How commands reach a running Segue: by its Unix socket, by address and token, by certificate."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import trustme

from proxy.cli.main import main
from proxy.configuration.admin import Admin
from proxy.storage.processes import Announcement, RunningProcess
from tests.support.administered import OPERATOR, TOKENS, UNKNOWN, VIEWER, administered
from tests.support.rig import answering, raw_server, segue

OFF = "sessions are off: sessions.enabled is false"
"""What somebody is told who was let in."""


async def listed(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["sessions", "list", *arguments])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


async def test_the_socket_of_the_state_directory_is_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with segue("http://127.0.0.1:9", {"SEGUE_STATE_DIR": str(tmp_path)}):
        assert await listed("--state-dir", str(tmp_path)) == 1
        assert said(capsys) == f"segue: {OFF}\n"
        monkeypatch.setenv("SEGUE_STATE_DIR", str(tmp_path))
        assert await listed() == 1
        assert OFF in said(capsys)


async def test_token_of_variable_or_file_is_shown_to_the_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    async with administered(tmp_path) as running:
        address = running.proxy.server.admin_address
        for token, code, expected in (
            (VIEWER, 1, OFF),
            (UNKNOWN, 4, "segue: this token is not known (asked with the token "),
        ):
            file.write_text(f"{token}\n")
            assert await listed("--admin", address, "--token-file", str(file)) == code
            assert expected in said(capsys)
            monkeypatch.setenv("SEGUE_ADMIN_TOKEN", token)
            for place in (address, f"http://{address}"):
                assert await listed("--admin", place) == code
                assert expected in said(capsys)
            monkeypatch.delenv("SEGUE_ADMIN_TOKEN")
        assert await listed("--admin", address) == 4
        assert "segue: this needs a credential" in said(capsys)
        file.write_text(VIEWER)
        command = ["sessions", "end", "0" * 32, "--admin", address, "--token-file", str(file)]
        assert await asyncio.to_thread(main, command) == 4
        assert "segue: this needs the role operator" in said(capsys)
        # With a token and no address, the configuration says where.
        monkeypatch.setenv("SEGUE_ADMIN__ADDRESS", address)
        assert await listed("--token-file", str(file)) == 1
        assert OFF in said(capsys)


async def test_token_finds_the_listener_by_the_state_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port was chosen on the command line, and stands nowhere else."""
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", VIEWER)
    async with administered(tmp_path) as running:
        state = ["--state-dir", running.proxy.state_directory]
        for config in (running.config, tmp_path / "none.yaml"):
            assert await listed(*state, "--config", str(config)) == 1
            assert OFF in said(capsys)
        other = tmp_path / "other.yaml"
        other.write_text("admin: {address: '127.0.0.1:1'}\n")
        assert await listed(*state, "--config", str(other)) == 1
        assert f"127.0.0.1:1 (by {other}: no segue runs with the state directory" in said(capsys)
        # What cannot be read while it is mended hides nothing.
        running.config.write_text("{")
        assert await listed(*state, "--config", str(running.config)) == 1
        assert OFF in said(capsys)


async def test_health_finds_the_listener_by_the_state_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with administered(tmp_path) as running:
        command = ["health", "--ready", "--config", str(running.config)]
        state = ["--state-dir", running.proxy.state_directory]
        assert await asyncio.to_thread(main, [*command, *state]) == 0
        address = running.proxy.server.admin_address
        assert capsys.readouterr().out == f"http://{address}/readyz: 200\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "which sets no admin.address"),
        ("", "which sets no admin.address"),
        ("[", "and that file cannot be read"),
        ("admin: {address: '127.0.0.1:1'}", "127.0.0.1:1 (by "),
    ],
)
def test_default_address_is_told_as_one(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    expected: str,
) -> None:
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", VIEWER)
    nobody = Admin.model_validate({"address": "127.0.0.1:1"})
    monkeypatch.setattr("proxy.cli.admin_place.Admin", lambda: nobody)
    config = tmp_path / "config.yaml"
    if text is None:
        expected = "and that file cannot be read"
    else:
        config.write_text(text)
    assert main(["sessions", "list", "--config", str(config), "--state-dir", str(tmp_path)]) == 1
    err = said(capsys)
    assert f"no segue runs with the state directory {tmp_path} and {config}" in err
    assert expected in err


async def test_several_processes_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"SEGUE_STATE_DIR": str(tmp_path)}
    async with segue("http://127.0.0.1:9", env) as old:
        async with segue("http://127.0.0.1:9", env) as new:
            assert await listed("--state-dir", str(tmp_path)) == 1
            err = said(capsys)
            assert err.startswith("segue: 2 processes run with the state directory")
            assert err.index(new.server.admin_address) < err.index(old.server.admin_address)
            assert OFF in err
        # The newest had the socket, and took it with it.
        assert await listed("--state-dir", str(tmp_path)) == 1
        err = said(capsys)
        assert "a segue runs with this state directory, but not at its socket" in err
        assert old.server.admin_address in err


def test_name_that_can_be_no_file_s_is_another_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("admin: {address: '127.0.0.1:1'}\n")
    odd = Announcement(tmp_path, RunningProcess(1, 1.0, "/a\0b", "http://127.0.0.1:2"))
    command = ["health", "--state-dir", str(tmp_path), "--config", str(config)]
    assert main(command) == 1
    assert "http://127.0.0.1:1/healthz" in said(capsys)
    odd.withdraw()


async def test_answer_that_is_nested_without_end_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for status, text in (
        (200, "an answer that cannot be read, of "),
        (400, "refused without a reason (400): GET "),
    ):
        head = f"HTTP/1.1 {status} X\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n"
        async with raw_server(answering(head.encode() + b"[" * 200_000)) as server:
            file = tmp_path / "token"
            file.write_text(VIEWER)
            assert await listed("--admin", server.url, "--token-file", str(file)) == 1
            assert said(capsys).startswith(f"segue: {text}{server.url}/api/v1/sessions")


def test_variable_with_the_token_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", OPERATOR)
    assert main(["config", "--upstream", "http://h"]) == 0
    assert OPERATOR not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "secret", f"{VIEWER} {VIEWER}", f"Bearer {VIEWER}"])
def test_what_is_no_token_is_sent_nowhere_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    assert main(["sessions", "list", "--admin", "127.0.0.1:9", "--token-file", str(file)]) == 1
    err = said(capsys)
    assert "segue token new" in err
    assert text == "" or text not in err


def test_token_crosses_no_network_in_clear_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_ADMIN_TOKEN", VIEWER)
    assert main(["sessions", "list", "--admin", "192.0.2.7:9090"]) == 1
    assert "in clear text" in said(capsys)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ("nothing", "no segue runs with the state directory"),
        ("no directory", "no segue runs with the state directory"),
        ("old socket", "was left by a segue that has ended"),
        ("file", "is not a socket"),
        ("somebody else's", "is another user's (uid 12345)"),
    ],
)
def test_no_socket_is_told_with_what_to_do(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    left: str,
    expected: str,
) -> None:
    path = tmp_path / "admin.sock"
    directory = tmp_path / "none" if left == "no directory" else tmp_path
    match left:
        case "old socket":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path))
        case "file":
            path.write_text("")
        case "somebody else's":
            path.write_text("")
            uid = path.lstat().st_uid
            monkeypatch.setattr("proxy.cli.admin_place.os.geteuid", lambda: uid + 12345)
            expected = f"is another user's (uid {uid})"
    assert main(["sessions", "list", "--state-dir", str(directory)]) == 1
    err = said(capsys)
    assert expected in err
    assert str(directory) in err


async def test_tls_is_verified_and_a_certificate_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    issued, client = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("a@b.c")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "listener.pem"))
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = {"certificate": "listener.pem", "key": "listener.pem", "client_ca": "ca.pem"}
    async with administered(tmp_path, tls=tls, clients={"a@b.c": "viewer"}) as running:
        place = ["--admin", f"https://{running.proxy.server.admin_address}"]
        ca, shown = ["--ca-file", str(tmp_path / "ca.pem")], str(tmp_path / "client.pem")
        assert await listed(*place, *ca, "--client-certificate", shown) == 1
        assert OFF in said(capsys)
        assert await listed(*place, *ca) == 4
        assert "segue: this needs a credential" in said(capsys)
        assert await listed(*place, "--client-certificate", shown) == 1
        assert "--ca-file" in said(capsys)
        assert await listed(*place, "--ca-file", str(tmp_path / "none")) == 1
        assert "in PEM" in said(capsys)
        # The configuration says that it is TLS; who probes needs no trust.
        command = ["health", "--config", str(running.config), "--ready"]
        place[1] = place[1].removeprefix("https://")
        assert await asyncio.to_thread(main, [*command, *place]) == 0
        assert capsys.readouterr().out.startswith("https://")


@pytest.mark.parametrize("place", ["https://h", "ftp://h:1", "https://h:1/x", "https://u@h:1", "h"])
def test_address_that_is_none_is_told(capsys: pytest.CaptureFixture[str], place: str) -> None:
    assert main(["sessions", "list", "--admin", place]) == 1
    assert said(capsys).startswith("--admin: admin.address: expected an address")


def test_tokens_of_the_tests_are_apart() -> None:
    assert len({each["hash"] for each in TOKENS}) == 4
