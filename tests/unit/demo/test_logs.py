"""Where the demonstration keeps the logs of its programs, and what is in them."""

from __future__ import annotations

import asyncio
import stat
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo import logs
from demo.faults import ShowFailed
from demo.programs import Program

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


async def copied(file: Path, *chunks: bytes) -> str:
    """What is in the log of a program that says this, piece by piece."""
    stream = asyncio.StreamReader()
    copying = asyncio.create_task(logs.copy(stream, logs.opened(file)))
    for chunk in chunks:
        stream.feed_data(chunk)
        await asyncio.sleep(0)
    stream.feed_eof()
    await copying
    return file.read_text()


def test_a_run_finds_nothing_of_the_one_before_and_leaves_other_files_alone(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "a" / "logs"
    for _ in range(2):
        with logs.kept(None, default=directory) as chosen:
            assert chosen == directory
            assert not (directory / "proxy.log").exists()
            (directory / "proxy.log").write_text("said")
            (directory / "notes.txt").write_text("mine")
    assert sorted(file.name for file in directory.iterdir()) == ["notes.txt", "proxy.log"]


def test_runs_at_the_same_time_have_directories_of_their_own_up_to_a_bound(tmp_path: Path) -> None:
    default = tmp_path / "logs"
    with ExitStack() as held:
        taken = [held.enter_context(logs.kept(None, default=default)) for _ in range(9)]
        assert [path.name for path in taken] == ["logs", *(f"logs-{n}" for n in range(2, 10))]
        with pytest.raises(ShowFailed, match="another demonstration"):
            held.enter_context(logs.kept(None, default=default))
        with pytest.raises(ShowFailed, match="another demonstration"):
            held.enter_context(logs.kept(taken[3]))
    with logs.kept(None, default=default) as path:
        assert path == default


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ShowFailed, match="Not a directory; name another directory with --logs"),
        logs.kept(tmp_path / "file" / "logs"),
    ):
        pass


def test_a_log_is_a_new_file_for_its_owner_and_never_what_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with logs.opened(tmp_path / "log") as log:
        log.write(b"said")
    assert (tmp_path / "elsewhere").read_text() == "precious"
    assert (tmp_path / "log").read_text() == "said"
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
    with pytest.raises(ShowFailed, match="cannot be written"):
        logs.opened(tmp_path / "nowhere" / "log")


@pytest.mark.parametrize("cut", range(1, 90, 11))
async def test_no_token_is_written_however_the_bytes_arrive(tmp_path: Path, cut: int) -> None:
    said = f"GET /?token={TOKEN}&x=1\nGET /?token={TOKEN}".encode()
    text = await copied(tmp_path / "log", said[:cut], said[cut:])
    assert text == "GET /?token=[token]&x=1\nGET /?token=[token]"


async def test_a_line_without_end_is_not_kept_nor_the_token_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LONGEST_LINE", 100)
    chunks = [b"before\n", b"x" * 90, b"y" * 90, TOKEN.encode(), b"z" * 500, b"\nafter\n"]
    text = await copied(tmp_path / "log", *chunks)
    assert text == "before\n[a line that is too long is not kept]\nafter\n"


async def test_a_log_is_bounded_and_the_program_is_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LARGEST", 100)
    text = await copied(tmp_path / "log", *[b"a line\n"] * 1_000)
    assert text.endswith("[the log is full; what follows is not kept]\n")
    assert len(text) <= 100 + 50


async def test_what_a_program_said_last_is_there_when_it_has_ended(tmp_path: Path) -> None:
    program = Program("a program", tmp_path / "log")
    words = f"print('{TOKEN}', flush=True); sys.exit('x' * 100_000 + ' its last word')"
    await program.start([sys.executable, "-c", f"import sys; {words}"], {})
    await program.ended()
    first, last = program.said()
    assert first == "[token]"
    assert last == "x" * 100_000 + " its last word"
