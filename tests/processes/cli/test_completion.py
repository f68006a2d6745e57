"""Completion, in the real shells: what a Tab brings."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.cli.completion import SCRIPTS
from proxy.cli.main import main
from tests.support.waiting import PATIENCE

CASES = [
    ("segue valid", {"validate"}),
    ("segue sessions en", {"end", "end-user"}),
    ("segue sessions list --us", {"--user"}),
    ("segue run --config here.ya", {"here.yaml"}),
    ("segue run --config here.yaml --ups", {"--upstream"}),
    ("segue explain --direction ", {"to_client", "to_server"}),
    ("segue token new --role op", {"operator"}),
    ("segue test here", {"here.yaml"}),
    ("segue schema ", {"config", "mapping"}),
    ("segue run --listen ", set()),
    ("segue switch set ", set()),
    ("segue switch set --perc", {"--percent"}),
    ("segue switch set modern/old-to-new sh", {"shadow"}),
    ("segue nonsense --us", set()),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "here.yaml").touch()
    return tmp_path


@pytest.fixture
def script(directory: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Path]:
    def write(shell: str) -> Path:
        assert main(["completion", shell]) == 0
        file = directory / f"completion.{shell}"
        file.write_text(capsys.readouterr().out)
        return file

    return write


def test_three_shells() -> None:
    assert set(SCRIPTS) == {"bash", "fish", "zsh"}


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_bash(
    line: str, expected: set[str], script: Callable[[str], Path], directory: Path
) -> None:
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    asking = """
        source completion.bash
        complete -p segue >/dev/null
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _segue
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    script("bash")
    done = subprocess.run(
        ["bash", "--norc", "-u", "-c", asking, "bash", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(filter(None, done.stdout.split("\n"))) == expected
    assert done.stderr == ""


@pytest.mark.needs_fish
@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish(
    line: str, expected: set[str], script: Callable[[str], Path], directory: Path
) -> None:
    script("fish")
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source completion.fish; complete -C {shlex.quote(line)}"],
        cwd=directory,
        env={**os.environ, "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {each.split("\t")[0] for each in filter(None, done.stdout.split("\n"))}
    assert found == expected
    assert done.stderr == ""


@contextmanager
def zsh(directory: Path) -> Iterator[Callable[[str, str], str]]:
    """A zsh with a terminal: send it something; what it shows until a pattern comes."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(directory)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb", "ZDOTDIR": "."})

    def send(text: str, until: str) -> str:
        os.write(terminal, text.encode())
        shown, deadline = "", time.monotonic() + PATIENCE
        while not re.search(until, shown):
            assert select.select([terminal], [], [], deadline - time.monotonic())[0], shown
            shown += os.read(terminal, 65536).decode(errors="replace")
        return shown

    try:
        yield send
    finally:
        os.write(terminal, b"\x03\nexit\n")
        os.close(terminal)
        os.waitpid(child, 0)


@pytest.mark.needs_zsh
def test_zsh(script: Callable[[str], Path], directory: Path) -> None:
    script("zsh")
    with zsh(directory) as send:
        # What is asked is echoed in pieces; what is answered is not.
        send("PS1=; unsetopt zle_bracketed_paste; segue() { print -r -- '<'\"$@\"'>' }\n", "")
        send(
            "autoload -Uz compinit; compinit -u -D; source completion.zsh; print 're''ady'\n",
            "ready",
        )
        for line, expected in CASES:
            if len(expected) == 1:
                words = line.split()[1:-1]
                found = send(f"{line}\t\n", r"<[^>']*>")
                assert f"<{' '.join([*words, *expected])}>" in found
        send("segue explain --direction \t", "to_")
        assert "to_client" in send("\t", "to_server")
