"""Schema-driven fuzzing of the admin API: `python -m tools.api_fuzz SCHEMATHESIS SECONDS [SEED]`.

A Segue is started, and schemathesis asks it what its own description (`/api/v1/openapi.json`)
allows, and what it does not: no answer may be a fault of Segue's, none of another form than is
described, nothing that is described may be refused as malformed, nothing else accepted. The process
has to live, and its log has no fault in it.

What ends the process is asked by somebody whose role is not enough, and streams, which have no end
of their own, are left out: they have tests.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from proxy.admin.drain import DRAIN
from proxy.admin.openapi import DESCRIPTION
from proxy.tokens.admin_token import hash_of, token_from
from proxy.types import Role

ROOT: Final = Path(__file__).resolve().parent.parent

_START: Final = 60.0
"""Seconds for the start, and for the end."""

_MARGIN: Final = 240
"""Seconds beyond those asked for: its first phases, and the shrinking of what is found, take what
they take."""


def main() -> int:
    """Fuzz; the exit code is 0 where nothing was found."""
    schemathesis, seconds = str(Path(sys.argv[1]).absolute()), int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)  # noqa: S311
    print(f"seed {seed}", flush=True)
    with TemporaryDirectory() as name:
        directory = Path(name)
        tokens = {role: token_from(secrets.token_bytes(32)) for role in (Role.OPERATOR, Role.ADMIN)}
        with _segue(directory, tokens) as (process, url, log):
            document = _description(url, tokens[Role.ADMIN])
            left_out = [DRAIN.place, *_streams(document)]
            failed = []
            for role, filters in (
                (Role.ADMIN, [each for path in left_out for each in ("--exclude-path", path)]),
                (Role.OPERATOR, ["--include-path", DRAIN.place]),
            ):
                _configure(directory, tokens[role])
                command = [
                    *(schemathesis, "--config-file", str(directory / "schemathesis.toml")),
                    *("run", url + DESCRIPTION.place, "--seed", str(seed)),
                    *("--max-time", str(seconds), "--continue-on-failure", "--no-color"),
                    *filters,
                ]
                done = subprocess.run(
                    command, cwd=directory, check=False, timeout=seconds + _MARGIN
                )
                if done.returncode:
                    failed.append(str(role))
            if process.poll() is not None:
                failed.append("the process has ended")
        faults = [line for line in _lines(log) if line.get("level") in ("error", "critical")]
        failed += [f"in its log: {line.get('event')}" for line in faults]
        for line in faults:
            print(json.dumps(line), file=sys.stderr)
    print(f"Found something: {', '.join(failed)}" if failed else "Nothing was found.")
    return 1 if failed else 0


@contextmanager
def _segue(
    directory: Path, tokens: dict[Role, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """Run one with sessions, cohorts and mappings; yields it, its admin listener's URL, its log."""
    config, log = directory / "config.yaml", directory / "log"
    settings = {
        "upstream": {"url": "http://127.0.0.1:9"},
        "sessions": {"enabled": True},
        "mappings": {"directory": str(ROOT / "mappings")},
        "cohorts": [
            {"name": "modern", "versions": ">=2", "websocket": {"to_client": ["old-to-new"]}}
        ],
        "log": {"format": "json"},
        "admin": {
            "allow_raw_recordings": True,
            "tokens": [
                {"name": str(role), "role": str(role), "hash": hash_of(token)}
                for role, token in tokens.items()
            ],
        },
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "proxy", "run", "--config", str(config)),
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
        *("--state-dir", str(directory / "state")),
    ]
    env = {name: text for name, text in os.environ.items() if not name.startswith("SEGUE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stderr=output
        )
    try:
        yield process, f"http://{_admin_address(process, log)}", log
    finally:
        process.terminate()
        try:
            process.wait(_START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _admin_address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        for line in _lines(log):
            if line.get("event") == "listening":
                return str(line["admin"])
        time.sleep(0.05)
    raise SystemExit(f"Segue has not started:\n{log.read_text(encoding='utf-8')}")


def _lines(log: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.startswith("{") and line.endswith("}")
    ]


def _description(url: str, token: str) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 (the URL is this module's)
        url + DESCRIPTION.place, headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=_START) as answer:  # noqa: S310
        document: dict[str, Any] = json.load(answer)
    return document


def _streams(document: dict[str, Any]) -> Iterator[str]:
    """The paths that have a stream."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            kinds = {
                kind
                for status, response in operation["responses"].items()
                if status.startswith("2")
                for kind in response.get("content", {})
            }
            if kinds - {"application/json"}:
                yield path


def _configure(directory: Path, token: str) -> None:
    """Tell schemathesis the token by a file: nobody sees it in a list of processes."""
    text = f"""\
[headers]
Authorization = "Bearer {token}"

[parameters]
# Schemathesis takes the quotes off what it makes by a pattern for a field.
"header.If-Match" = '"7"'

[checks.ignored_auth]
# The eleventh wrong credential of a minute is 429, which this check takes for a fault.
enabled = false

[checks.allow_header_conformance]
# `/sessions/end` is a session by its form, too: Allow has the methods of both paths.
enabled = false

[checks.positive_data_acceptance]
# What no schema can know: what there is, what it is called, and which revision is the newest.
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "428", "429", "503"]

[[operations]]
include-path = "/api/v1/switches/{{cohort}}/{{mapping}}"
# What belongs together (a range and a name, a canary and its percentage) its schema does not say.
checks.positive_data_acceptance.enabled = false
"""
    (directory / "schemathesis.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
