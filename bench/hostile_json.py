"""What a mebibyte of JSON that strict parsers refuse costs: in disguise, and token by token.

`python -m bench.hostile_json` prints milliseconds of CPU for each.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Final

from msgspec import Raw

from proxy.mapping.json import tolerant
from proxy.mapping.json.objects import open_object

SIZE: Final = 1 << 20
ROUNDS: Final = 5


def filled(begin: str, unit: str, end: str) -> str:
    """As many units as make up a mebibyte, between a beginning and an end."""
    return begin + unit * (SIZE // len(unit)) + end


def numbered(template: str, begin: str, end: str) -> str:
    """The same of units that differ."""
    units: list[str] = []
    size = 0
    while size < SIZE:
        units.append(template.format(len(units)))
        size += len(units[-1])
    return begin + "".join(units) + end


def texts() -> dict[str, str]:
    """Each is hostile in a way of its own."""
    zigzag = "[" * 800 + "]" * 800 + ","
    return {
        "an array of numbers, and NaN": filled('{"a":[NaN', ",1", "]}"),
        "an array of NaN": filled('{"a":[NaN', ",NaN", "]}"),
        "an array of empty objects": filled('{"a":[NaN', ",{}", "]}"),
        "empty strings": filled('{"a":[NaN', ',""', "]}"),
        "strings of escapes": filled('{"a":["\\ud800', "\\n", '"]}'),
        "strings with an escape": filled('{"a":["\\ud800"', ',"\\n"', "]}"),
        "arrays inside each other": filled('{"a":[', zigzag, "NaN]}"),
        "members of one name": filled('{"a":NaN', ',"":1', "}"),
        "members of many names": numbered(',"{}":1', '{"a":NaN', "}"),
        "members of many names, and NaN last": numbered(',"{}":1', '{"a":1', ',"a":NaN}'),
        "names with an escape": numbered(',"\\n{}":1', '{"a":1', "}"),
        "names with two spellings": numbered(',"a{0}":1,"\\u0061{0}":1', '{"a":1', "}"),
        "names with two spellings that have escapes": numbered(
            ',"a\\u0061{0}":1,"\\u0061a{0}":1', '{"a":1', "}"
        ),
        "names with half of a surrogate pair": numbered(',"\\ud800{}":1', '{"a":1', "}"),
        "members of many names, as JSON has them": numbered(',"{}":1', '{"a":1', "}"),
        "an unfinished array": filled('{"a":[NaN', ",1", ""),
    }


def token_by_token(text: bytes) -> None:
    """What was done before, and is for what is nested too deeply."""
    members, spellings = {}, {}
    for spelling, value in tolerant.split(text.decode()) or ():
        if "\\" in spelling:
            key = json.loads(spelling)
            spellings[key] = spelling.encode()
        else:
            key = spelling[1:-1]
        members[key] = Raw(value.encode())


def measured(work: Callable[[bytes], object], text: bytes) -> float:
    """Milliseconds of CPU, the least of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        work(text)
        best = min(best, time.process_time() - begun)
    return best * 1000


def main() -> None:
    """Measure, and print."""
    sys.stdout.write("| a mebibyte of | token by token, ms | in disguise, ms |\n|---|---:|---:|\n")
    for name, text in texts().items():
        data = text.encode()
        before, after = measured(token_by_token, data), measured(open_object, data)
        sys.stdout.write(f"| {name} | {before:.0f} | {after:.0f} |\n")


if __name__ == "__main__":
    main()
