"""Room on the disk that is kept for the worst moment: a file that is given up when it is full.

A write-ahead log that has filled the disk cannot be emptied, because what is in it needs room in
the file that it belongs to. The reserve is that room.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SIZE: Final = 1 << 20
"""Bytes. More than what a write-ahead log holds between two checkpoints (`sqlite_file`)."""

_PIECE: Final = 1 << 16


class Reserve:
    """A file beside the one that it is for; the processes that share that one share it too."""

    def __init__(self, of: Path) -> None:
        self._path = of.with_name(f"{of.name}-reserve")

    def keep(self, spare: int = 0) -> None:
        """Make it whole, where it is not.

        Args:
            spare: bytes that there has to be room for besides; they are not kept.

        Raises:
            OSError: there is no room for it, and then it takes none; or none besides.
        """
        # What is random takes its room on file systems that compress, too.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        there = os.fstat(file).st_size
        try:
            os.lseek(file, 0, os.SEEK_END)
            while there < SIZE + spare:
                there += os.write(file, os.urandom(min(_PIECE, SIZE + spare - there)))
        except OSError:
            if there < SIZE:
                self.give_up()
            raise
        finally:
            if there > SIZE:
                os.ftruncate(file, SIZE)
            os.close(file)

    def give_up(self) -> None:
        """Leave its room to whoever is faster."""
        self._path.unlink(missing_ok=True)
