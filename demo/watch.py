"""`python -m demo.watch URL`: one client of a version, live; what is said to it as it comes.

It logs in as the demonstration's user, makes a job, says something, and prints each frame, until
the job is done or nothing has come for ten seconds.

Exit codes: 0, frames came; 1, none did, or something did not answer; 2, the command line is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp

from demo.clients import Client
from demo.faults import ShowFailed
from demo.rest import ACCOUNT, Rest
from demo.screen import Screen, Span, Style, columns_of, harmless, value_text
from demo.verdict import Dialect, Frame, json_text

_SILENCE: Final = 10.0
_PROMPT: Final = "A recipe box"
_ORIGIN: Final = re.compile(r"https?://[^/?#@\s]{1,300}/?")
_VERSION: Final = re.compile(r"[!-~]{1,64}")
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch one job; return the exit code."""
    parsed = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    screen = Screen.on(sys.stdout, colour=not parsed.no_color)
    try:
        return asyncio.run(_watch(screen, parsed.url, parsed.client_version or ""))
    except ShowFailed as failure:
        sys.stderr.write(f"demo.watch: {failure}\n")
        return 1
    except BrokenPipeError:
        # Whoever read has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo.watch",
        description="One client of the demonstration, live: logs in, makes a job, says something,"
        " and prints the frames as they come.",
    )
    parser.add_argument("url", type=_origin, metavar="URL", help="where Segue is, or the server")
    parser.add_argument(
        "--client-version",
        type=_version,
        metavar="VERSION",
        help="the client's version (default: it tells none)",
    )
    parser.add_argument("--no-color", action="store_true", help="plain text (also: NO_COLOR)")
    return parser


def _origin(text: str) -> str:
    try:
        # A port is a number up to 65535, or this raises.
        fits = _ORIGIN.fullmatch(text) is not None and urlsplit(text).port != 0
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError("expected an address such as http://127.0.0.1:8080")
    return text.removesuffix("/")


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError("expected a version such as 2.1.0")
    return text


async def _watch(screen: Screen, origin: str, version: str) -> int:
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, origin, version)
        answer = await rest.call("POST", "/api/auth/login/", ACCOUNT)
        if answer.status != 200:
            answer = await rest.expected("POST", "/api/auth/register/", 201, ACCOUNT)
        rest.access = answer.text("access")
        job = (await rest.expected("POST", "/api/jobs/", 201, {"prompt": _PROMPT})).text("id")
        client = Client(
            "the client",
            "",
            Dialect.NEW,
            query=f"client_version={quote(version, safe='')}" if version else "",
        )
        news = asyncio.Event()
        async with client.connected(http, origin, quote(job, safe=""), rest.access, news.set):
            await client.say(kind="chat", content="Recipes, sorted by season, please")
            await _print_all(screen, client, news)
    return 0 if client.frames else 1


async def _print_all(screen: Screen, client: Client, news: asyncio.Event) -> None:
    shown = 0
    while True:
        news.clear()
        for frame in client.frames[shown:]:
            shown += 1
            _print(screen, shown, frame)
        if client.saw_the_end or not client.is_open:
            return
        try:
            async with asyncio.timeout(_SILENCE):
                await news.wait()
        except TimeoutError:
            return


def _print(screen: Screen, number: int, frame: Frame) -> None:
    kind = harmless(frame.kind) or "(no kind)"
    if frame.content is None:
        rest = frame.payload.decode(errors="replace")
    else:
        rest = json_text(tuple(pair for pair in frame.content if pair[0] != "kind"))
    head = f"{number:>3}  "
    room = screen.room - len(head) - max(columns_of(kind), len("agentDialogue")) - 2
    kind += " " * (len("agentDialogue") - columns_of(kind))
    screen.line(head, Span(kind, Style.HEADING), f"  {value_text(rest, room)}")


if __name__ == "__main__":
    sys.exit(main())
