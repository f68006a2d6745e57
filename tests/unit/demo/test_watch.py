"""The client that is watched live: its command line, and what it says where nobody answers."""

from __future__ import annotations

import asyncio

import pytest

from demo.programs import HOST, free_ports
from demo.watch import main

URL = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [""],
        ["127.0.0.1:8080"],
        ["ftp://127.0.0.1"],
        ["http://"],
        [f"{URL}/path"],
        [f"{URL}?query"],
        ["http://user:password@127.0.0.1"],
        ["http://127.0.0.1:65536"],
        ["http://127.0.0.1:0"],
        ["http://127.0.0.1:x"],
        ["http://[::1"],
        ["http://a\nb"],
        [URL, "--client-version", ""],
        [URL, "--client-version", "2.1\r\nX: y"],
        [URL, "--client-version", "2" * 65],
    ],
)
def test_a_command_line_that_is_wrong_is_said_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_where_nobody_listens_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports((0,))
    assert main([f"http://{HOST}:{port}/"]) == 1
    assert capsys.readouterr().err.startswith("demo.watch: POST /api/auth/login/: no answer (")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access": 1}', b"[" * 100_000])
def test_what_no_server_of_ours_answers_is_said_without_a_traceback(
    body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def watched() -> int:
        async with await asyncio.start_server(answer, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(main, [f"http://{HOST}:{port}"])

    assert asyncio.run(watched()) == 1
    assert capsys.readouterr().err.startswith("demo.watch: an answer ")
