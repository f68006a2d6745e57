"""Text as commands write it: short, counted, and none that could act on a terminal."""

from __future__ import annotations

import datetime as dt

from proxy.errors import printable, shortened

__all__ = ["counted", "printable", "shortened", "span", "when"]


def counted(number: int, what: str) -> str:
    """The number, and the word for one or for several of them."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A duration as people read it, in its two largest units; `over` where it is none."""
    if not 0 <= seconds < float("inf"):
        return "over" if seconds < 0 else "never"
    left, parts = int(seconds), list[str]()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
        if len(parts) == 2:
            break
    return " ".join(parts)


def when(at: float) -> str:
    """A point in time in seconds since 1970, in UTC; `?` where it is none that has a date."""
    try:
        return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "?"
