"""The operator: one shell that runs the commands of documents as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE

_DONE = "-- done --"


def recipes(document: str = "operations.md") -> dict[str, str]:
    """The blocks of a document that are marked to be run, by their names."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found = re.findall(r"<!-- run: ([A-Za-z-]+) -->\n```sh\n(.*?)```", text, re.DOTALL)
    return dict(found)


@dataclass
class Shell:
    """A shell that ends at the first command that fails."""

    child: asyncio.subprocess.Process

    async def look(self, commands: str) -> str:
        """Run commands that tell what is wrong, by their exit code too; what they print."""
        return await self.run(f"set +e\n{commands}\nset -e")

    async def run(self, commands: str) -> str:
        """Run commands in this shell; what they print."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(f"{commands}\necho '{_DONE}'\n".encode())
        await self.child.stdin.drain()
        output = ""
        async with asyncio.timeout(PATIENCE):
            while line := (await self.child.stdout.readline()).decode():
                if line.strip() == _DONE:
                    return output
                output += line
        raise AssertionError(f"the commands failed:\n{commands}\n{output}")


@asynccontextmanager
async def shell(directory: Path, **variables: str) -> AsyncIterator[Shell]:
    """Open a shell in a directory, with the installed `segue` on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SEGUE_")
    }
    child = await asyncio.create_subprocess_exec(
        "bash",
        "-eu",
        cwd=directory,
        env={**environment, "PATH": path, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert child.stdin is not None
    try:
        # Whatever is left in the background ends with the shell, also where a command failed.
        child.stdin.write(b"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
        yield Shell(child)
    finally:
        child.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await child.communicate()
