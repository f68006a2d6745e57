"""Make the index of another day: a newer release of everything that the lock files name.

    python3 tools/newer_releases.py DIRECTORY
    PIP_FIND_LINKS=DIRECTORY make setup

Each is an empty wheel of version 99999. A set-up that takes up one of them, or gives up at the
sight of it, works only on the day on which its lock files were made. Needs the standard library
alone, since it runs before there is an environment.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
NEWER: Final = "99999"


def write_wheel(
    directory: Path, name: str, version: str, requires: Iterable[str] = ()
) -> tuple[Path, str]:
    """Write an empty wheel; the file, and its SHA-256 in hexadecimal digits."""
    stem = f"{re.sub('[-_.]+', '_', name).lower()}-{version}"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{stem}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        ),
        f"{stem}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: newer-releases\n"
            "Root-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n"
    wheel = directory / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    """A file's hash as RECORD wants it."""
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def main() -> int:
    """Write them to the directory that is named, and say how many there are."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    texts = [path.read_text("utf-8") for path in sorted((ROOT / "requirements").glob("*.txt"))]
    names = sorted({name for text in texts for name in re.findall(r"^(\S+)==", text, re.MULTILINE)})
    for name in names:
        write_wheel(directory, name, NEWER)
    print(f"{len(names)} newer releases in {directory}")
    return 0 if names else 1


if __name__ == "__main__":
    sys.exit(main())
