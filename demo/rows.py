"""Frames side by side: what the server sent, and what each client got for it.

A wide terminal has a column for each with all fields; a narrower one shows the server's fields
once, and beside them the kind that each client got.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from demo.clients import Client
from demo.screen import (
    Line,
    Screen,
    Span,
    Style,
    columns_of,
    fitted,
    harmless,
    size_text,
    value_text,
)
from demo.verdict import MAPPED, NEW_KINDS, Dialect, Frame, fault, json_text

_WIDE: Final = 128
_NUMBER: Final = 3
_SEPARATOR: Final = 3
_KIND: Final = max(map(len, NEW_KINDS))
_FRESH: Final = frozenset(NEW_KINDS[kind] for kind in MAPPED)
_SAME: Final = {Dialect.OLD: "same bytes", Dialect.NEW: "same fields"}


class Rows:
    """The table that grows while the script plays."""

    def __init__(self, screen: Screen, server: Client, clients: Sequence[Client]) -> None:
        self._screen = screen
        self._server = server
        self._clients = clients
        self._wide = screen.room >= _WIDE
        self._names = max(len(client.name) for client in clients)
        if self._wide:
            columns = 1 + len(clients)
            each = (screen.room - _NUMBER - 1 - _SEPARATOR * (columns - 1)) // columns
            self._widths = [_NUMBER + 1 + each] + [each] * len(clients)
        else:
            right = self._names + 2 + _KIND + 1 + len("✓ same fields")
            self._widths = [screen.room - _SEPARATOR - right, right]
        self._shown = 0

    @property
    def shown(self) -> int:
        """How many frames have been shown."""
        return self._shown

    def head(self) -> None:
        """Write the titles of the columns."""
        titles = ["SERVER SENT", "CLIENTS GOT"]
        if self._wide:
            titles = ["SERVER SENT", *(f"{client.name.upper()} GOT" for client in self._clients)]
        titles[0] = f"{'#':>{_NUMBER}} {titles[0]}"
        self._screen.beside(
            [
                (width, [(Span(title, Style.HEADING),)])
                for width, title in zip(self._widths, titles, strict=True)
            ]
        )

    def show(self) -> None:
        """Write the next frame as the server sent it and as each client got it."""
        number = self._shown
        self._shown += 1
        sent = _frame(self._server, number)
        pairs = [(client, _frame(client, number)) for client in self._clients]
        first = self._widths[0] - _NUMBER - 1
        left = _numbered(number + 1, _cell(sent, first, size=True))
        if self._wide:
            cells = [
                [*_cell(got, width), _judged(client, sent, got)]
                for (client, got), width in zip(pairs, self._widths[1:], strict=True)
            ]
        else:
            cells = [[self._brief(client, sent, got) for client, got in pairs]]
        rule: list[Line] = [(Span("─" * self._screen.room, Style.DIM),)]
        self._screen.beside([(self._screen.room, rule)])
        self._screen.beside(list(zip(self._widths, [left, *cells], strict=True)))

    def _brief(self, client: Client, sent: Frame | None, got: Frame | None) -> Line:
        return (
            Span(f"{client.name:<{self._names}}  "),
            *fitted((_kind(got),), _KIND),
            Span(" "),
            *_judged(client, sent, got),
        )


def _frame(client: Client, number: int) -> Frame | None:
    return client.frames[number] if number < len(client.frames) else None


def _numbered(number: int, lines: Sequence[Line]) -> list[Line]:
    margins = [f"{number:>{_NUMBER}} ", *[" " * (_NUMBER + 1)] * (len(lines) - 1)]
    return [(Span(margin, Style.DIM), *line) for margin, line in zip(margins, lines, strict=True)]


def _cell(frame: Frame | None, width: int, *, size: bool = False) -> list[Line]:
    """A frame's kind, and below it its other fields."""
    if frame is None:
        return [(Span("nothing", Style.BAD),)]
    head: Line = (_kind(frame),)
    if size:
        head += (Span(f"  {size_text(len(frame.payload))}", Style.DIM),)
    if frame.content is None:
        text = frame.payload.decode(errors="replace")
        return [head, (value_text(text, width),)]
    fields = [(harmless(name), value) for name, value in frame.content if name != "kind"]
    names = min(max((columns_of(name) for name, _ in fields), default=0), width // 2)
    lines: list[Line] = [head]
    for name, value in fields:
        value_shown = value_text(json_text(value), width - names - 1)
        lines.append((*fitted((Span(name, Style.DIM),), names), " ", value_shown))
    return lines


def _kind(frame: Frame | None) -> Span:
    if frame is None:
        return Span("nothing", Style.BAD)
    if frame.kind in _FRESH:
        return Span(frame.kind, Style.NEW)
    if frame.kind in MAPPED:
        return Span(frame.kind, Style.OLD)
    return Span(harmless(frame.kind) or "(no kind)")


def _judged(client: Client, sent: Frame | None, got: Frame | None) -> Line:
    wrong = fault(client.dialect, sent, got)
    if wrong is None:
        return (Span(f"✓ {_SAME[client.dialect]}", Style.GOOD),)
    return (Span("✗ differs", Style.BAD),)
