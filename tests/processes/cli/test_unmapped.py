"""The runbook of unmapped kinds: followed by its commands, it names the kind."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.rfc6455 import TEXT
from tests.support.sockets import relayed
from tests.support.waiting import PATIENCE

RUNBOOKS = ROOT / "docs" / "runbooks.md"


def commands() -> str:
    section = RUNBOOKS.read_text(encoding="utf-8").split("\n## SegueUnmappedKinds\n")[1]
    found = re.search(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].replace("MAPPING", "old-to-new").replace("--count 200", "--count 3")


async def test_the_runbook_of_unmapped_kinds_names_the_kind_by_a_recording(tmp_path: Path) -> None:
    async with relayed(None, b"X-Client-Version: 2.0") as pair:
        script = f'segue() {{ "{sys.executable}" -m proxy "$@"; }}\n{commands()}'
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            script,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SEGUE_STATE_DIR": pair.segue.state_directory,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stderr.readline() == b"recording; Ctrl-C ends it\n"
            for kind in (b"jobStatus", b"brandNew", b"brandNew"):
                await pair.server.send(TEXT, b'{"jobId": "j", "kind": "' + kind + b'"}')
                await pair.client.message()
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert out.decode().split() == ["2", '"kind":', '"brandNew"', "1", '"kind":', '"jobStatus"']
        unmapped = {"mapping": "old-to-new", "kind": "other"}
        assert await pair.segue.metric("segue_unmapped_kinds_total", **unmapped) == 2
