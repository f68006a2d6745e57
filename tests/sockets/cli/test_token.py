"""`segue token new`: what it prints is let in, and nothing else keeps the token."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from proxy.cli.main import main
from proxy.configuration.admin import Admin
from proxy.configuration.document import parse
from proxy.switching.limits import Limits
from proxy.tokens.admin_token import ANYWHERE, hash_of
from tests.support.administered import administered, bearer


async def test_token_is_printed_once_and_let_in_by_the_printed_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "new", "--role", "operator", "--name", "ci", "--expires", "90d"]) == 0
    out = capsys.readouterr().out
    (token,) = ANYWHERE.findall(out)
    entry = parse(out[out.index("admin:") :], "").data
    assert isinstance(entry, dict)
    assert token not in json.dumps(entry)
    found = Admin.model_validate(entry["admin"]).tokens[0]
    assert (found.name, found.role, found.hash) == ("ci", "operator", hash_of(token))
    assert found.expires is not None
    async with administered(tmp_path, **entry["admin"]) as running:
        assert (await running.ask("/api/v1/sessions", bearer(token))).status == 404


def test_token_can_go_to_a_file_that_only_its_owner_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    command = ["token", "new", "--role", "metrics", "--name", "prometheus", "--output", str(file)]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert told == {"entry": {"name": "prometheus", "role": "metrics", "hash": hash_of(token)}}
    file.rename(tmp_path / "other")
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"The token is in {file}, which only its owner may read.\n")
    assert file.read_text().strip() not in out
    (tmp_path / "other").replace(file)
    capsys.readouterr()
    assert main(command) == 1
    assert "file exists" in capsys.readouterr().err
    assert file.read_text().strip() == token


def test_json_has_token_and_entry(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = set()
    for _ in range(2):
        assert main(["token", "new", "--role", "admin", "--name", "a", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["entry"]["hash"] == hash_of(told["token"])
        tokens.add(told["token"])
    assert len(tokens) == 2


def test_limits_are_part_of_the_entry(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["token", "new", "--name", "guard", "--role", "operator", "--only-lowers"]
    assert main([*command, "--cohort", "modern", "--cohort", "a, b"]) == 0
    out = capsys.readouterr().out
    entry = parse(out[out.index("admin:") :], "").data
    assert isinstance(entry, dict)
    (token,) = Admin.model_validate(entry["admin"]).tokens
    assert token.limits == Limits(("modern", "a, b"), only_lowers=True)
    assert main(["token", "new", "--name", "a", "--role", "viewer", "--only-lowers"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "limits are for the roles that change something" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--role", "operator", "--name", "a", "--cohort", ""],
        ["--role", "operator", "--name", "a", "--cohort", "a\nb"],
        ["--role", "root", "--name", "a"],
        ["--role", "admin", "--name", "a b"],
        ["--role", "admin", "--name", ""],
        ["--role", "admin"],
        ["--role", "admin", "--name", "a", "--expires", "soon"],
        ["--role", "admin", "--name", "a", "--expires", "0d"],
    ],
)
def test_what_cannot_be_a_token_is_a_mistake_in_the_command_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["token", "new", *arguments])
    assert raised.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "_name" not in said.err
