r"""White space in the extensions of chunks, taken out before a parser that refuses it sees them.

RFC 9112 (section 7.1.1) has a recipient take `5 ; name = value`, and llhttp refuses it. What
decides stays the parser: it says that a head is whole and its body chunked, and reads every line
itself. Here the lines with the chunks' sizes are only followed, and of one that is what the grammar
says, spaces and tabs beside `;` and `=` are left out. At the first line that is anything else the
following ends, and the parser is given all as it comes.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 1024
"""Bytes of a line that is looked at."""

_DIGITS: Final = 16
_HEX: Final = b"0123456789abcdefABCDEF"

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_SPACE: Final = rb"[ \t]*+"

_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16}+)((?:%b;%b%b(?:%b=%b(?:%b|%b))?)*)"
    % (_SPACE, _SPACE, _TOKEN, _SPACE, _SPACE, _TOKEN, _QUOTED)
)
_BEGUN: Final = re.compile(rb"[0-9A-Fa-f]{1,16}+(?:[ \t;][\t -~\x80-\xff]*+)?+\r?")
"""What may become such a line."""

_KEPT_OR_SPACED: Final = re.compile(rb"(%b)|%b([;=])%b" % (_QUOTED, _SPACE, _SPACE))

_HEAD_END: Final = b"\r\n\r\n"


class ChunkExtensions:
    """Follows the body of one message from its first byte.

    Attributes:
        removed: bytes of white space that were taken out of the last piece.
    """

    __slots__ = ("_begun", "_is_over", "_left", "removed")

    def __init__(self) -> None:
        self._begun = b""
        self._left = 0
        self._is_over = False
        self.removed = 0

    def strip(self, data: bytes) -> bytes:
        """Give what the parser is to get for a piece; a line that is not whole waits."""
        self.removed = 0
        if self._is_over:
            return data
        if self._begun:
            data, self._begun = self._begun + data, b""
        position, size = self._left, len(data)
        parts: list[bytes] = []
        given = 0
        while position < size:
            end = data.find(b"\r\n", position, position + _LONGEST)
            if end < 0:
                if size - position < _LONGEST and _BEGUN.fullmatch(data, position):
                    self._begun = data[position:]
                    parts.append(data[given:position])
                    given = position = size
                else:
                    self._is_over = True
                break
            line = data[position:end]
            if 0 < end - position <= _DIGITS and not line.strip(_HEX):
                length = int(line, 16)
            else:
                found = _LINE.fullmatch(line)
                if found is None:
                    self._is_over = True
                    break
                digits, extensions = found.groups()
                if b" " in extensions or b"\t" in extensions:
                    shorter = digits + _KEPT_OR_SPACED.sub(rb"\1\2", extensions)
                    self.removed += len(line) - len(shorter)
                    parts += (data[given:position], shorter)
                    given = end
                length = int(digits, 16)
            if not length:
                self._is_over = True  # What is left are trailers.
                break
            position = end + 2 + length + 2
        self._left = position - size
        if not parts:
            return data
        parts.append(data[given:])
        return b"".join(parts)


def cut_behind_head(before: bytes, data: bytes) -> int:
    """Find where a head that may announce chunks ends in a piece with what comes behind it.

    It only says where to cut: a parser gets the same bytes, in two pieces. 0 is nowhere.

    Args:
        before: the last three bytes of the head, where it began in earlier pieces.
        data: the piece.
    """
    known = before + data if before else data
    end = known.find(_HEAD_END) + len(_HEAD_END)
    if end < len(_HEAD_END) or end == len(known):
        return 0
    if not before and known.find(b"hunked", 0, end) < 0:
        return 0
    return max(end - len(before), 0)


def ends_with_head(before: bytes, data: bytes) -> bool:
    """Whether the last byte of a piece is for sure the last one of the head that ends in it."""
    known = before + data
    # A line that ends with less may be the last one for a parser. What stands before the first byte
    # is only known where there is nothing.
    by_the_book = known.count(b"\n", len(before) and 1) == known.count(b"\r\n")
    end = known.find(_HEAD_END) + len(_HEAD_END)
    return by_the_book and end == len(known) and known.endswith(_HEAD_END)
