"""The arguments of `segue switch`: how their values are written.

The types raise `argparse.ArgumentTypeError`, whose text says what was expected.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from typing import Final

from proxy.admin.switch_endpoints import MOST_TERM
from proxy.configuration.units import duration
from proxy.switching.setting import share_of
from proxy.switching.table import SwitchName, read_name
from proxy.types import check_label
from proxy.versions.version import parse_range

_LONGEST_OWNER: Final = 256
_LONGEST_RANGE: Final = 256


def add_switch(action: argparse.ArgumentParser) -> None:
    """Give a command the argument that names a switch."""
    action.add_argument(
        "switch",
        type=switch_name,
        metavar="SWITCH",
        help="such as modern/old-to-new; `list` shows all",
    )


def switch_name(text: str) -> SwitchName:
    """Read the name of a switch, such as `modern/old-to-new`."""
    try:
        return read_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, not {text!r}") from None


def percent(text: str) -> float:
    """Read a share of users, from 0 to 100, with or without its sign."""
    try:
        number = float(text.removesuffix("%"))
        share_of(number)
    except ValueError:
        what = "a number from 0 to 100 with at most two decimals"
        raise argparse.ArgumentTypeError(f"expected {what}, not {text!r}") from None
    return number


def versions(text: str) -> str:
    """Check that a range can be read; return it as it is written."""
    if len(text) > _LONGEST_RANGE:
        raise argparse.ArgumentTypeError(f"expected at most {_LONGEST_RANGE} characters")
    try:
        parse_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a range, not {text!r}: {error}") from None
    return text


def exception_name(text: str) -> str:
    """Check what an exception is to be called."""
    try:
        return check_label(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, not {text!r}") from None


def owner(text: str) -> str:
    """Check who answers for what is temporary."""
    if len(text) > _LONGEST_OWNER or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"expected a name in one line, at most {_LONGEST_OWNER} characters"
        )
    return text


def period(text: str) -> float:
    """Read a time with its unit; return its seconds."""
    if text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a time with its unit, such as {text[:9]}m")
    try:
        seconds = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 0 < seconds <= MOST_TERM:
        raise argparse.ArgumentTypeError("expected a time above 0, a year at most")
    return seconds


def until(text: str) -> float:
    """The seconds to a time that is told, or to a moment, which is one in UTC without an offset."""
    if "-" not in text:
        return period(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        forms = "72h, 2027-01-31, or 2027-01-31T10:00 (in UTC)"
        raise argparse.ArgumentTypeError(f"expected a time such as {forms}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    left = moment.timestamp() - time.time()
    if not 0 < left <= MOST_TERM:
        raise argparse.ArgumentTypeError("expected a time to come, in a year at most")
    return left
