"""What can be tried while everything keeps running: commands that work as they are printed.

They are of one piece with the running demonstration: its addresses, its configuration, its logs.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Final

from demo.programs import shown_path
from demo.report import places
from demo.rest import ACCOUNT
from demo.screen import Screen, Span, Style
from demo.stage import Where

_VERSION: Final = "2.1.0"
_MAPPING: Final = "old-to-new.yaml"
_SWITCH: Final = "modern/old-to-new"


def invitation(screen: Screen, where: Where, config: Path, logs: Path) -> None:
    """Say where everything listens and what can be tried, until Ctrl-C."""
    screen.heading("Everything keeps running")
    places(screen, where)
    screen.line(f"  logs      {shown_path(logs)}   proxy.log, backend.log")
    screen.heading("Try it")
    body = f'{{"email": "{ACCOUNT["email"]}", "password": "{ACCOUNT["password"]}"}}'
    for command in (
        f"curl -s http://{where.admin}/metrics | grep ^segue_messages_total",
        f"ACCESS=$(curl -s http://{where.proxy}/api/auth/login/ \\",
        "    -H 'Content-Type: application/json' \\",
        f"    -d '{body}' \\",
        '    | sed \'s/.*"access":"\\([^"]*\\)".*/\\1/\')',
        f'curl -s http://{where.proxy}/api/jobs/ -H "Authorization: Bearer $ACCESS"',
    ):
        screen.line(f"  {command}")
    switch = f"{_segue()} switch"
    place = f"--state-dir {_word(where.proxy_state)}"
    turned = f'{_SWITCH} off --reason "a look at the old dialect" --open-sockets next_message'
    _commands(
        screen,
        ("who gets what; then off for all, and as it was:",),
        f"{switch} list {place}",
        f"{switch} set {turned} {place}",
        f'{switch} restore {_SWITCH} --reason "seen" {place}',
    )
    mappings = config.parent / "mappings"
    if (mappings / _MAPPING).is_file():
        _editing(screen, where, config, mappings, logs)
    screen.line()
    screen.line("Ctrl-C ends it.")


def _editing(screen: Screen, where: Where, config: Path, mappings: Path, logs: Path) -> None:
    segue, file, folder = _segue(), _word(config), _word(mappings)
    reload = f"{segue} reload --state-dir {_word(where.proxy_state)}"
    watch = f"{_word(Path(sys.executable))} -m demo.watch http://{where.proxy}"
    watch += f" --client-version {_VERSION}"
    screen.heading("Edit the mapping while it runs")
    _commands(
        screen,
        ("what becomes of a message, by the files as they are:",),
        f"{segue} explain --config {file} --client-version {_VERSION}"
        """ --frame '{"kind": "agentDialogue"}'""",
        (
            'another word for "step", here and in the inverse. Segue looks at the files',
            "every two seconds; `reload` waits until the change is in force:",
        ),
        f"sed -i 's/\\bstep\\b/stride/' {folder}/*.yaml",
        reload,
        ("a new client, live; open WebSockets keep the mapping that they began with:",),
        watch,
    )
    screen.heading("Make a mistake: the mapping of before goes on serving")
    _commands(
        screen,
        ("what was wrong, and where, by three who say it:",),
        f"sed -i 's/\\bset:/sett:/' {folder}/{_MAPPING}",
        f"{segue} validate --config {file}",
        reload,
        f"grep 'configuration problem' {_word(logs / 'proxy.log')}",
        watch,
        ("everything as it was:",),
        f"sed -i 's/\\bsett:/set:/; s/\\bstride\\b/step/' {folder}/*.yaml",
    )


def _commands(screen: Screen, *lines: str | tuple[str, ...]) -> None:
    """Commands as they are, and before them what they are for, as comments of a shell."""
    for line in lines:
        if isinstance(line, str):
            screen.line(f"  {line}")
        else:
            for comment in line:
                screen.line(Span(f"  # {comment}", Style.DIM))


def _segue() -> str:
    beside = Path(sys.executable).with_name("segue")
    return _word(beside) if beside.is_file() else f"{_word(Path(sys.executable))} -m proxy"


def _word(path: Path) -> str:
    return shlex.quote(shown_path(path))
