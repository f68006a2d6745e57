"""The texts around the frames: where everything is, what became of the kinds, the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from demo.clients import Client
from demo.logs import NAMES
from demo.programs import shown_path
from demo.screen import Screen, Span, Style
from demo.stage import Where
from demo.verdict import MAPPED, Counts, Dialect, Frame
from proxy.cli.styled import Column, Line, Piece

_COLUMNS: Final = (
    *(Column("mapping"), Column("direction"), Column("outcome")),
    Column("messages", right=True),
)


def places(screen: Screen, where: Where) -> None:
    """Say where everything listens."""
    screen.line("  proxy     ", Span(f"http://{where.proxy}", Style.HEADING))
    screen.line(f"  admin     http://{where.admin}   /metrics /readyz /healthz")
    screen.line(f"  backend   http://{where.backend}   the old server, unchanged")


def logs(screen: Screen, directory: Path) -> None:
    """Say where the logs are; nothing where there are none."""
    files = [name for name in NAMES if (directory / name).is_file()]
    if files:
        screen.line()
        screen.line("Logs, kept until the next time:")
        for name in files:
            screen.line(f"  {shown_path(directory / name)}")


def clients(screen: Screen, everybody: Sequence[Client]) -> None:
    """Introduce the clients."""
    width = max(len(client.name) for client in everybody)
    for client in everybody:
        screen.line("  ", Span(f"{client.name:<{width}}", Style.HEADING), f"  {client.told}")


def kinds(screen: Screen, server: Client, others: Sequence[Client]) -> None:
    """Say how often the server sent each kind, and which kind each client got for it."""
    rows: list[Line] = []
    for kind, count in Counter(frame.kind for frame in server.frames).items():
        style = Style.OLD if kind in MAPPED else Style.PLAIN
        row: list[Piece] = [Span(kind, style), str(count)]
        for client in others:
            pairs = zip(server.frames, client.frames, strict=False)
            kinds_got = dict.fromkeys(got.kind or "?" for sent, got in pairs if sent.kind == kind)
            became = " or ".join(kinds_got) or "nothing"
            mark = "=" if became == kind else "→"
            row.append(Span(f"{mark} {became}", style if became == kind else Style.NEW))
        rows.append(tuple(row))
    columns = [Column("server sent"), Column("frames", right=True)]
    columns += (Column(client.name, cut=True) for client in others)
    screen.table(columns, rows, indent=2)
    if any(frame.kind not in MAPPED for frame in server.frames):
        screen.line(
            Span("  No rule names the answer to a bad message: it passes as it is.", Style.DIM)
        )


def summary(client: Client, sent: Sequence[Frame]) -> str:
    """What is claimed of a client's frames, if nothing is found wrong."""
    count = f"{len(client.frames)} of {len(sent)} frames"
    if client.dialect is Dialect.OLD:
        return f"{client.name}: {count}, byte for byte what the server sent, in order"
    return f"{client.name}: {count}, new kinds, all other fields equal, in order"


def finding(screen: Screen, claim: str, wrong: Sequence[str]) -> None:
    """Write a claim, and what speaks against it."""
    mark = Span("✗", Style.BAD) if wrong else Span("✓", Style.GOOD)
    screen.line("  ", mark, f" {claim}")
    for text in wrong:
        screen.line("      ", Span(text, Style.BAD))


def counts(screen: Screen, messages: Counts) -> None:
    """Write the proxy's counts of messages as a table."""
    rows = [(*key, str(count)) for key, count in sorted(messages.items()) if count]
    screen.table(_COLUMNS, rows, indent=6)


def conclusion(screen: Screen, found: int) -> None:
    """Write the last line of the verdict."""
    screen.line()
    if found:
        noun = "difference" if found == 1 else "differences"
        screen.line(Span(f"  {found} {noun} found.", Style.BAD))
    else:
        screen.line(Span("  Everything arrived as it should.", Style.GOOD))
