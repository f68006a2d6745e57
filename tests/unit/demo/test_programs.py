"""The child processes of the demonstration: their ports and their logs."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from demo.programs import Program, free_ports, running, shown_path


def test_free_ports_are_distinct_and_the_preferred_ones_where_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        first, second, third = free_ports((taken, 0, 0))
        assert len({taken, first, second, third}) == 4
        assert free_ports((second, second))[0] == second
        assert free_ports((second, second))[1] != second


@pytest.mark.parametrize("given_back", [False, True])
async def test_a_port_that_is_lost_after_it_was_chosen_is_replaced(
    tmp_path: Path, given_back: bool
) -> None:
    (port,) = free_ports((0,))
    tried: list[int] = []
    with socket.socket() as thief:

        def command(ports: tuple[int, ...]) -> list[str]:
            tried.extend(ports)
            if len(tried) == 1:
                thief.bind(("127.0.0.1", port))
                thief.listen()
            server = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1"]
            return [*server, str(ports[0])]

        async def ready(program: Program, ports: tuple[int, ...]) -> bool:
            if given_back and not program.running:
                thief.close()
            return any(f"port {ports[0]} " in line for line in program.said())

        program = Program("a server", tmp_path / "log")
        async with running(program, (port,), command, ready, os.environ) as ports:
            assert tried[0] == port
            assert ports == (tried[1],)
            assert program.running
    assert len(tried) == 2
    assert not program.running


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    program = Program("a server", tmp_path / "log")
    assert program.said() == []
    program.log.write_text("".join(f"line {n}\n" for n in range(30)))
    assert program.said() == [f"line {n}" for n in range(10, 30)]


def test_a_path_is_shown_as_it_is_written_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "a" / "b") == "a/b"
    assert shown_path(Path("/elsewhere/a")) == "/elsewhere/a"
