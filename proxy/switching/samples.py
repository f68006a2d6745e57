"""What each process has counted of its switches, how that is written down, and the sum over all.

A process counts from its start; what counts for a guard is what came since the newest revision of
the switch, in windows. What a process writes is of the newest two windows, so that the sum over
the fleet needs nothing but what each says of itself: one that has died has said it, too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, NamedTuple

import msgspec

from proxy.switching.canary import Sketch
from proxy.switching.guards import NO_FIGURES, Figures, Samples

_LONGEST: Final = 256
"""Characters of the name of a switch."""


class Since(NamedTuple):
    """What samples are of: those of another revision are never added to them.

    Attributes:
        revision: that set the switch last; 0 for none.
        at: when that was made, in seconds since 1970; 0 where nobody knows. It tells a revision
            from another one of its number, which a store has that went back.
    """

    revision: int
    at: float


class Counted(NamedTuple):
    """What a process has counted of a switch since its start.

    Attributes:
        figures: all.
        users: to whom the mapping was applied since the revision; None where that is not asked.
    """

    figures: Figures
    users: Sketch | None = None


class SwitchSamples(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process says of one switch.

    Attributes:
        switch: its name.
        revision, at: see `Since`.
        window: the number of the newest window.
        now, before: what was counted in it, and in the one before.
        users: a sketch of them, compressed; None where they are not asked.
    """

    switch: Annotated[str, msgspec.Meta(max_length=_LONGEST)]
    revision: int
    at: float
    window: int
    now: Figures = NO_FIGURES
    before: Figures = NO_FIGURES
    users: Annotated[bytes, msgspec.Meta(max_length=2 * Sketch.REGISTERS)] | None = None


class _Begun:
    """A switch that is sampled."""

    __slots__ = ("base", "before", "since", "window")

    def __init__(self, since: Since, window: int, base: Figures) -> None:
        self.since = since
        self.window = window
        self.base = base
        self.before = NO_FIGURES


class Sampler:
    """Makes samples of what a process has counted."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}

    def knows(self, switch: str, since: Since) -> bool:
        """Whether samples of this revision have begun."""
        begun = self._begun.get(switch)
        return begun is not None and begun.since == since

    def sample(self, switch: str, since: Since, window: int, counted: Counted) -> SwitchSamples:
        """What came since the revision, in this window and in the one before.

        Args:
            switch: its name.
            since: its newest revision. What was counted before it is first asked for counts for
                none: it may be of either.
            window: the number of the window.
            counted: since the process began.
        """
        begun = self._begun.get(switch)
        if begun is None or begun.since != since:
            begun = self._begun[switch] = _Begun(since, window, counted.figures)
        if window > begun.window:
            came = counted.figures - begun.base
            begun.before = came if window == begun.window + 1 else NO_FIGURES
            begun.base, begun.window = counted.figures, window
        return SwitchSamples(
            switch,
            since.revision,
            since.at,
            begun.window,
            counted.figures - begun.base,
            begun.before,
            None if counted.users is None else zlib.compress(bytes(counted.users), 9),
        )

    def keep(self, switches: Iterable[str]) -> None:
        """Forget all others."""
        self._begun = {name: self._begun[name] for name in switches if name in self._begun}


def summed(said: Iterable[SwitchSamples], switch: str, since: Since, window: int) -> Samples:
    """Add up what all processes say of a switch.

    Args:
        said: of any switches.
        switch, since: what is asked for.
        window: the number of the window; clocks may differ by less than one.
    """
    now = before = NO_FIGURES
    users: Sketch | None = None
    for each in said:
        if (each.switch, each.revision, each.at) != (switch, *since):
            continue
        match each.window - window:
            case 0:
                now, before = now + each.now, before + each.before
            case -1:
                before += each.now
            case 1:
                now += each.before
        sketch = _sketch(each.users)
        if sketch is not None:
            users = users or Sketch()
            users.merge(sketch)
    return Samples(window, now, before, None if users is None else users.count())


def _sketch(written: bytes | None) -> Sketch | None:
    if written is None:
        return None
    try:
        return Sketch.read(zlib.decompressobj().decompress(written, Sketch.REGISTERS + 1))
    except (zlib.error, ValueError):
        return None


def write_samples(said: Iterable[SwitchSamples], most: int, documents: int) -> list[bytes]:
    """Write samples, in as many documents as it takes; what finds no room is left out.

    Args:
        said: in the order in which they are to find room.
        most: bytes of a document.
        documents: how many there may be.
    """
    written: list[list[bytes]] = []
    left = 0
    for each in said:
        text = msgspec.json.encode(each)
        if len(text) + 1 > left:
            if len(written) == documents:
                break
            written.append([])
            left = most - 2
        written[-1].append(text)
        left -= len(text) + 1
    return [b"[" + b",".join(texts) + b"]" for texts in written]


def read_samples(documents: Mapping[str, bytes], ending: str) -> list[SwitchSamples]:
    """Read what processes have written; what cannot be read is left out.

    Args:
        documents: by their names, others among them.
        ending: what the names have in common.
    """
    found: list[SwitchSamples] = []
    for name, document in documents.items():
        if ending in name:
            try:
                found += _READER.decode(document)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue  # Of a later version of Segue.
    return found


_READER: Final = msgspec.json.Decoder(list[SwitchSamples])
