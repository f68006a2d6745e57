"""Times as text and as numbers, exactly: integers and digits, never a float.

ISO 8601 is read in the form of RFC 3339, section 5.6, and a little beyond: a space or a small `t`
for the `T`, seconds left out, a comma before the fraction, `+0200` and `+02`. Written is RFC 3339.
The calendar is the Gregorian one, also before it was introduced, years 0001 to 9999. There are no
leap seconds in epoch time: a text with second 60 is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_DIGITS: Final = 18
"""How many digits of a fraction of a second are understood."""

_DATE_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})"
    rf"(?::([0-9]{{2}})(?:[.,]([0-9]{{1,{MAX_DIGITS}}}))?)?"
    r"(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")
_EPOCH: Final = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,30}))?")

_DAY: Final = 86_400
_CUMULATIVE: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Untimely(ValueError):
    """It is no time that can be understood, or written as asked. Its text holds no value."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a time is written.

    Attributes:
        digits: of the fraction of a second; None for as many as there are.
        cut: whether more digits are cut off, towards the past, and not refused.
        offset: from UTC, for ISO 8601; assumed where a text that is read has none.
    """

    digits: int | None = None
    cut: bool = False
    offset: str | None = None


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time.

    Attributes:
        units: since 1970-01-01T00:00:00Z, in units of 10 to the power of minus `digits` seconds.
        digits: of the fraction of a second that were given.
    """

    units: int
    digits: int

    def styled(self, style: Style) -> Instant:
        """Give the same time with the digits that are asked for.

        Raises:
            Untimely: it has more of them.
        """
        if style.digits is None or style.digits == self.digits:
            return self
        if style.digits > self.digits:
            return Instant(self.units * 10 ** (style.digits - self.digits), style.digits)
        whole, rest = divmod(self.units, 10 ** (self.digits - style.digits))
        if rest and not style.cut:
            raise Untimely(f"the time has more than {style.digits} digits of a second")
        return Instant(whole, style.digits)


def read_offset(text: str) -> int:
    """Read an offset from UTC, such as `Z`, `+02:00` or `-0330`; in seconds.

    Raises:
        Untimely: it is none.
    """
    if text in ("Z", "z"):
        return 0
    found = _OFFSET.fullmatch(text)
    hours, minutes = (int(found[2]), int(found[3] or 0)) if found else (24, 0)
    if found is None or hours > 23 or minutes > 59:
        raise Untimely("expected an offset from UTC: `Z` or as `+02:00`")
    seconds = hours * 3_600 + minutes * 60
    return -seconds if found[1] == "-" else seconds


def read_iso(text: str, style: Style) -> Instant:
    """Read ISO 8601.

    Raises:
        Untimely: it is not understood, names no time, or has no offset and none is assumed.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise Untimely("the text is not a date and time in ISO 8601")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    if not (year and 1 <= month <= 12 and 1 <= day <= _length(year, month)):
        raise Untimely("the date does not exist")
    if hour > 23 or minute > 59 or second > 59:
        raise Untimely("the time of day does not exist in epoch time")
    offset = found[8] or style.offset
    if offset is None:
        raise Untimely("the text has no offset from UTC (`offset` says which to assume)")
    seconds = _days(year, month, day) * _DAY + hour * 3_600 + minute * 60 + second
    seconds -= read_offset(offset)
    fraction = found[7] or ""
    return Instant(seconds * 10 ** len(fraction) + int(fraction or 0), len(fraction))


def write_iso(instant: Instant, style: Style) -> str:
    """Write ISO 8601, in the style's offset.

    Raises:
        Untimely: it has too many digits, or the year is not of four.
    """
    instant = instant.styled(style)
    if instant.digits > MAX_DIGITS:
        raise Untimely(f"the time has more than {MAX_DIGITS} digits of a second")
    offset = style.offset or "Z"
    seconds, fraction = divmod(instant.units, 10**instant.digits)
    days, second = divmod(seconds + read_offset(offset), _DAY)
    year, month, day = _date(days)
    if not 1 <= year <= 9_999:
        raise Untimely("the year is not between 1 and 9999")
    written = f"{year:04}-{month:02}-{day:02}T{second // 3600:02}:{second // 60 % 60:02}"
    written += f":{second % 60:02}"
    if instant.digits:
        written += f".{fraction:0{instant.digits}}"
    return written + offset


def read_epoch(text: str, scale: int) -> Instant:
    """Read a number of seconds (`scale` 0) or milliseconds (`scale` 3) since 1970.

    Raises:
        Untimely: it is written with an exponent, or has more digits than a time has use for.
    """
    found = _EPOCH.fullmatch(text)
    if found is None:
        raise Untimely("the number is not a time since 1970 in plain digits")
    fraction = found[3] or ""
    units = int(found[2] + fraction)
    # In milliseconds the last three digits before the point are a fraction of a second.
    return Instant(-units if found[1] else units, len(fraction) + scale)


def write_epoch(instant: Instant, scale: int, style: Style) -> str:
    """Write the number of seconds or milliseconds since 1970.

    Raises:
        Untimely: it has too many digits.
    """
    instant = instant.styled(style)
    digits = instant.digits - scale
    units = instant.units * 10 ** max(-digits, 0)
    if digits <= 0:
        return str(units)
    whole, fraction = divmod(abs(units), 10**digits)
    return f"{'-' if units < 0 else ''}{whole}.{fraction:0{digits}}"


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _length(year: int, month: int) -> int:
    return 29 if month == 2 and _leap(year) else _LENGTHS[month - 1]


def _days(year: int, month: int, day: int) -> int:
    """Count the days from 1970-01-01 to a date."""
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400
    days += _CUMULATIVE[month - 1] + (month > 2 and _leap(year)) + day
    return days - 719_163  # the days from 0001-01-01 to 1970-01-01, and one for counting from 1


def _date(days: int) -> tuple[int, int, int]:
    """Give the date so many days after 1970-01-01."""
    # Years from March on put the leap day last; 146,097 days are 400 years.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
