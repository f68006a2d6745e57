"""What is kept of how mappings are needed: buckets of a day, in UTC, and how they are added up.

Each process writes a bucket of its own for each day; what the fleet has seen is their sum. To add
up is commutative, associative and, but for the counts of messages, idempotent: who was counted
twice is counted once. So buckets of processes that are gone can be folded into one at any time.

Time is told in slots of five minutes: which of them a process ran in (`up`), and in which of those
it would have seen a need of a mapping (`watched`), or not (`blind`). A slot is watched by the fleet
where some process watched, and none that ran was blind.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from proxy.switching.canary import Sketch
from proxy.switching.table import SwitchName, read_name

DAY: Final = 86_400
"""Seconds of a bucket."""

SLOT: Final = 300
"""Seconds of a slot."""

SLOTS: Final = DAY // SLOT

MAX_VERSIONS: Final = 20
"""Versions of clients that a bucket tells apart: those seen most."""

MAX_VERSION: Final = 64
"""Characters of one; longer ones are `other`."""

OTHER: Final = "other"
"""In place of all others."""

MAX_MAPPINGS: Final = 200
"""Mappings of cohorts that a bucket has; of more nothing is kept, and nothing is said."""

MAX_DOCUMENT: Final = 256 * 1024
"""Bytes of a bucket as it is written, compressed."""

_MAX_WRITTEN: Final = 1024 * 1024
"""Bytes of it before that."""

_FORMAT: Final = 1
_ALL: Final = (1 << SLOTS) - 1
_BITMAP: Final = SLOTS // 8


class UnreadableDay(ValueError):
    """What is stored is no bucket, or one of a later version of Segue."""


def day_of(moment: float) -> int:
    """The day of a moment, in days since 1970, in UTC."""
    return int(moment // DAY)


def slot_of(moment: float) -> int:
    """The slot of a moment in its day."""
    return int(moment % DAY // SLOT)


@dataclass(slots=True)
class MappingDay:
    """How one mapping of one cohort was needed in a day.

    Attributes:
        watched, blind: slots, as bits.
        last: when a message last needed it, in seconds since 1970; 0 for never.
        messages: that needed it: were changed or dropped by it, or failed in it.
        ignored: messages that did, of clients that `switching.sunset.ignore` names.
        users: about how many users those messages were of, without the ignored.
        versions: how many of them came from which version.
    """

    watched: int = 0
    blind: int = 0
    last: float = 0.0
    messages: int = 0
    ignored: int = 0
    users: Sketch = field(default_factory=Sketch)
    versions: dict[str, int] = field(default_factory=dict)

    def note(self, now: float, messages: int, versions: Mapping[str, int]) -> None:
        """Count messages that needed it.

        Args:
            now: when, in seconds since 1970.
            messages: how many.
            versions: from which versions they came, as far as that is known.
        """
        self.last = max(self.last, now)
        self.messages += messages
        _add(self.versions, versions)


@dataclass(slots=True)
class Day:
    """What one process, or several, have seen in a day.

    Attributes:
        up: the slots in which any of them ran, as bits.
        mappings: by the names of their switches.
        open: WebSockets that a mapping applied to when it was written; of one process alone.
        written: when that was, by the clock of its process, in seconds since 1970; 0 for a sum.
    """

    up: int = 0
    mappings: dict[SwitchName, MappingDay] = field(default_factory=dict)
    open: dict[SwitchName, int] = field(default_factory=dict)
    written: float = 0.0

    def of(self, name: SwitchName) -> MappingDay | None:
        """The part of one mapping, made where there is room for it; None where there is none."""
        found = self.mappings.get(name)
        if found is None and len(self.mappings) < MAX_MAPPINGS:
            found = self.mappings[name] = MappingDay()
        return found


def merged(days: Iterable[Day]) -> Day:
    """Add up what several processes have seen in the same day."""
    total = Day()
    for each in days:
        for name in {*total.mappings, *each.mappings}:
            into, more = total.mappings.get(name), each.mappings.get(name)
            if into is None:
                # Those that were added so far knew nothing of it: while they ran they were blind.
                into = total.mappings[name] = MappingDay(blind=total.up)
            if more is None:
                into.blind |= each.up
            else:
                _merge(into, more)
        total.up |= each.up
    return total


def watched(mapping: MappingDay) -> int:
    """The slots in which every need would have been seen, as bits."""
    return mapping.watched & ~mapping.blind


def _merge(into: MappingDay, more: MappingDay) -> None:
    into.watched |= more.watched
    into.blind |= more.blind
    into.last = max(into.last, more.last)
    into.messages += more.messages
    into.ignored += more.ignored
    into.users.merge(more.users)
    _add(into.versions, more.versions)


def _add(versions: dict[str, int], more: Mapping[str, int]) -> None:
    """Count versions, and keep no more of them apart than is kept for long."""
    for told, count in more.items():
        version = told if len(told) <= MAX_VERSION else OTHER
        versions[version] = versions.get(version, 0) + count
    if len(versions) > 4 * MAX_VERSIONS:
        kept = dict(shown(versions, 2 * MAX_VERSIONS))
        versions.clear()
        versions.update(kept)


def shown(versions: Mapping[str, int], most: int = MAX_VERSIONS) -> list[tuple[str, int]]:
    """The versions that were seen most, those first, and how many were of another one."""
    named = sorted(
        ((version, count) for version, count in versions.items() if version != OTHER),
        key=lambda item: (-item[1], item[0]),
    )
    rest = versions.get(OTHER, 0) + sum(count for _, count in named[most:])
    return [*named[:most], *([(OTHER, rest)] if rest else [])]


# How they are written: MessagePack, compressed. Text in it comes from files and from versions by
# their numbers alone; what is read is held to its bounds all the same.

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Moment = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Bits = Annotated[bytes, msgspec.Meta(min_length=_BITMAP, max_length=_BITMAP)]
_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Version = Annotated[str, msgspec.Meta(max_length=MAX_VERSION)]


class _MappingText(msgspec.Struct, array_like=True):
    watched: _Bits
    blind: _Bits
    last: _Moment
    messages: _Count
    ignored: _Count
    users: Annotated[bytes, msgspec.Meta(max_length=Sketch.REGISTERS)]
    versions: Annotated[dict[_Version, _Count], msgspec.Meta(max_length=MAX_VERSIONS + 1)]


class _DayText(msgspec.Struct):
    format: int
    up: _Bits
    written: _Moment
    mappings: Annotated[dict[_Name, _MappingText], msgspec.Meta(max_length=MAX_MAPPINGS)]
    open: Annotated[dict[_Name, _Count], msgspec.Meta(max_length=MAX_MAPPINGS)]


_READER: Final = msgspec.msgpack.Decoder(_DayText)
_NOBODY: Final = bytes(Sketch.REGISTERS)


def write_day(day: Day, *, counted: bool = True) -> bytes:
    """Write a bucket down.

    Args:
        day: the bucket.
        counted: whether its counts of messages are to be counted: where they are in another bucket
            already, only what may be told twice is written.
    """
    text = _DayText(
        _FORMAT,
        _written(day.up),
        day.written,
        {
            str(name): _MappingText(
                _written(each.watched),
                _written(each.blind),
                each.last,
                each.messages if counted else 0,
                each.ignored if counted else 0,
                b"" if bytes(each.users) == _NOBODY else bytes(each.users),
                dict(shown(each.versions)) if counted else {},
            )
            for name, each in list(day.mappings.items())[:MAX_MAPPINGS]
        },
        {str(name): count for name, count in list(day.open.items())[:MAX_MAPPINGS]},
    )
    document = zlib.compress(msgspec.msgpack.encode(text), 1)
    if len(document) > MAX_DOCUMENT and counted:
        return write_day(day, counted=False)
    return document


def read_day(document: bytes) -> Day:
    """Read what `write_day` wrote.

    Raises:
        UnreadableDay: it is none.
    """
    inflate = zlib.decompressobj()
    try:
        written = inflate.decompress(document, _MAX_WRITTEN)
        if not inflate.eof or inflate.unused_data:
            raise UnreadableDay("not whole, or too large")
        text = _READER.decode(written)
        if text.format != _FORMAT:
            raise UnreadableDay(f"of format {text.format}")
        return Day(
            int.from_bytes(text.up),
            {
                read_name(name): MappingDay(
                    int.from_bytes(each.watched),
                    int.from_bytes(each.blind),
                    each.last,
                    each.messages,
                    each.ignored,
                    Sketch.read(each.users) if each.users else Sketch(),
                    each.versions,
                )
                for name, each in text.mappings.items()
            },
            {read_name(name): count for name, count in text.open.items()},
            text.written,
        )
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise UnreadableDay(str(error)) from None


def _written(bits: int) -> bytes:
    return (bits & _ALL).to_bytes(_BITMAP)


BLIND_DAY: Final = Day(up=_ALL)
"""What stands for a bucket that cannot be read: whoever wrote it ran, and tells nothing."""
