"""Versions, and ranges of versions.

Versions compare by their release numbers alone: `1.10 > 1.9`, and `2.0.0-rc.1`, `2.1.0-next.1` and
`2.0.0+build` count as their release, because a preview of a client speaks the dialect of the
release that it previews. Both PEP 440 and SemVer spellings are read. Versions come from clients
and can be of any content and length; ranges come from the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from packaging.version import InvalidVersion
from packaging.version import Version as Pep440Version

MAX_LENGTH: Final = 128
"""The longest version that is read, in characters: a release with a commit hash as its build."""
MAX_NUMBERS: Final = 8
"""The most release numbers that are read."""
MAX_DIGITS: Final = 18
"""The most digits of one number: a time stamp to the second has 14."""
MAX_COMPARATORS: Final = 16
"""The most comparators of one range."""

# SemVer 2.0.0 sections 9 and 10, with any number of release numbers and an optional leading `v`.
_SEMVER: Final = re.compile(
    r"[vV]?([0-9]+(?:\.[0-9]+)*)"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_COMPARATOR: Final = re.compile(r"(>=|<=|==|!=|>|<)\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version that was read. Equal, ordered and hashed by `epoch` and `release` only.

    Attributes:
        epoch: the PEP 440 epoch (`1!2.0`); 0 for nearly everybody.
        release: the release numbers without trailing zeros, so that `2`, `2.0` and `2.0.0` are one.
        text: the spelling that was read.
    """

    epoch: int
    release: tuple[int, ...]
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The version that `text` spells; None where it is unreadable or beyond the bounds."""
        if len(text) > MAX_LENGTH:
            return None
        text = text.strip(" \t")
        # The library below would pass over line breaks and the like at both ends.
        if not (text.isascii() and text.isprintable()):
            return None
        semver = _SEMVER.fullmatch(text)
        if semver is not None:
            numbers = semver[1].split(".")
            if len(numbers) > MAX_NUMBERS or max(map(len, numbers)) > MAX_DIGITS:
                return None
            return cls(0, _without_trailing_zeros([int(number) for number in numbers]), text)
        try:
            version = Pep440Version(text)
        except InvalidVersion:
            return None
        release = version.release
        if len(release) > MAX_NUMBERS or max(version.epoch, *release) >= 10**MAX_DIGITS:
            return None
        return cls(version.epoch, _without_trailing_zeros(release), text)

    def __str__(self) -> str:
        return self.text


class Comparator(NamedTuple):
    """One condition of a range: an operator (`>=`, `>`, `<`, `<=`, `==` or `!=`) and a version."""

    operator: str
    version: Version


@dataclass(frozen=True, slots=True)
class Range:
    """The versions for which every comparator holds. `text` is the spelling that was read."""

    comparators: tuple[Comparator, ...]
    text: str = field(compare=False)

    def __contains__(self, version: Version) -> bool:
        for operator, bound in self.comparators:
            match operator:
                case ">=":
                    holds = version >= bound
                case ">":
                    holds = version > bound
                case "<=":
                    holds = version <= bound
                case "<":
                    holds = version < bound
                case "==":
                    holds = version == bound
                case _:
                    holds = version != bound
            if not holds:
                return False
        return True

    def __str__(self) -> str:
        return self.text


def parse_range(text: str) -> Range:
    """The range that `text` spells: comparators separated by commas, as `>=2,<3`.

    Raises:
        ValueError: the text is no such list; the message says which part, and what was expected.
    """
    parts = [part.strip() for part in text.split(",", MAX_COMPARATORS)]
    if len(parts) > MAX_COMPARATORS:
        raise ValueError(f"a range has at most {MAX_COMPARATORS} parts")
    comparators = []
    for number, part in enumerate(parts, 1):
        match = _COMPARATOR.fullmatch(part)
        if match is None:
            raise ValueError(
                f"part {number} of the range has to begin with >=, >, <=, <, == or !=, "
                'as in ">=2,<3"'
            )
        version = Version.parse(match[2])
        if version is None:
            raise ValueError(
                f'part {number} of the range has to name a version after {match[1]}, as in ">=2,<3"'
            )
        comparators.append(Comparator(match[1], version))
    return Range(tuple(comparators), text)


def _without_trailing_zeros(numbers: Sequence[int]) -> tuple[int, ...]:
    end = len(numbers)
    while end and not numbers[end - 1]:
        end -= 1
    return tuple(numbers[:end])
