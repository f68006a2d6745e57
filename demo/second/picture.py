"""The live table of the second act: the switch, and what each client gets.

On a terminal it is drawn anew in its place. Where the cursor cannot be moved, it is written when
a step is over, and only the lines that are others then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from demo.screen import Line, Screen, Span, Style, columns_of, cut, fitted, harmless
from demo.second.board import Sight
from demo.second.users import Seat
from demo.verdict import MAPPED, NEW_KINDS, Frame
from proxy.cli.styled import Piece, state

_FRESH: Final = frozenset(NEW_KINDS[kind] for kind in MAPPED)
_KIND: Final = max(map(len, NEW_KINDS))
_VERSION: Final = 7
_GETS: Final = 4
_GAP: Final = 2
_SO_FAR: Final = "so far: o old, N new, | a step"
_OUTCOMES: Final = {
    "mapped": "mapped",
    "passed": "the same",
    "dropped": "dropped",
    "failed": "failed",
    "skipped": "not looked at",
}


def picture(
    screen: Screen,
    seats: Sequence[Seat],
    name: str,
    sight: Sight,
    newest: int,
    shadowed: Mapping[str, int],
) -> list[Line]:
    """Draw what is now.

    Args:
        screen: what it must fit.
        seats: the clients.
        name: of the switch.
        sight: its state.
        newest: the newest revision.
        shadowed: what would have become of messages, by outcome; empty before there was a shadow.
    """
    title = f"  {name}  "
    now = f"{sight.state:<10}"
    more = f"  revision {newest}  sockets behind: {sight.behind}"
    head: list[Piece] = [
        Span(title, Style.HEADING),
        state(now),
        cut(more, screen.room - columns_of(title + now)),
    ]
    below = "not in shadow yet"
    if any(shadowed.values()):
        counts = (
            f"{shadowed[each]} {word}" for each, word in _OUTCOMES.items() if shadowed.get(each)
        )
        below = f"in shadow would have been: {', '.join(counts)}"
    if sight.inside is not None:
        below = f"users in it: {sight.inside}, not in it: {sight.outside}; {below}"
    names = max(len(seat.client.name) for seat in seats)
    widths = (names, _VERSION, _GETS, _KIND)
    room = screen.room - 2 - sum(widths) - _GAP * len(widths)
    titles = (*("client", "version", "gets", "last frame"), _SO_FAR)
    lines: list[Line] = [
        (),
        tuple(head),
        (Span(f"  {cut(below, screen.room - 2)}", Style.SHADOW),),
        (),
        _row(
            tuple(Span(title, Style.HEADING) for title in titles[:-1]),
            widths,
            (Span(cut(titles[-1], room), Style.HEADING),),
        ),
    ]
    for seat in seats:
        frames = seat.client.frames
        last, gets = _last(frames)
        cells = (Span(seat.client.name), Span(seat.version), gets, last)
        lines.append(_row(cells, widths, _so_far(seat, room)))
    return lines


def _row(cells: Sequence[Span], widths: Sequence[int], rest: Sequence[Span]) -> Line:
    pieces: list[Piece] = ["  "]
    for cell, width in zip(cells, widths, strict=True):
        pieces += (*fitted((cell,), width), " " * _GAP)
    pieces += rest
    return tuple(pieces)


def _last(frames: Sequence[Frame]) -> tuple[Span, Span]:
    if not frames:
        return Span("nothing", Style.DIM), Span("-", Style.DIM)
    frame = frames[-1]
    style = Style.NEW if _is_new(frame) else Style.OLD
    kind = harmless(frame.kind) or "(no kind)"
    return Span(kind, style), Span("new" if _is_new(frame) else "old", style)


def _so_far(seat: Seat, room: int) -> list[Span]:
    """A letter for each frame, the last ones where there is no room for all."""
    bars = {cut.begun for cut in seat.cuts[1:]}
    letters: list[Span] = []
    for number, frame in enumerate(seat.client.frames):
        if number in bars:
            letters.append(Span("|", Style.DIM))
        is_new = _is_new(frame)
        letters.append(Span("N" if is_new else "o", Style.NEW if is_new else Style.OLD))
    if len(letters) > room:
        return [Span("…", Style.DIM), *letters[len(letters) - room + 1 :]]
    return letters


def _is_new(frame: Frame) -> bool:
    return frame.kind in _FRESH


def told(screen: Screen, number: int, title: str, more: str) -> None:
    """Write that a step begins."""
    if not screen.is_live:
        screen.line()
    head = f"  revision {number}  {title}"
    text = harmless(more)
    line: list[Piece] = [Span(head, Style.HEADING)]
    if text:
        line.append(Span(f"  {cut(text, screen.room - columns_of(head) - 2)}", Style.DIM))
    screen.line(*line)
