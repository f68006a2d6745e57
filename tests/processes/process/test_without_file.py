"""Segue starts without a configuration file: from variables alone, in an empty directory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aiohttp

from tests.support.checkout import ROOT
from tests.support.rig import answering, raw_server
from tests.support.waiting import PATIENCE

COHORTS = '[{name: modern, versions: ">=2", http: [{path: /job, to_client: [jobs]}]}]'
MAPPING = """\
name: jobs
description: For this test.
channel: http
direction: to_client
rules:
  - name: prompt
    match: {field: initial_prompt, exists: true}
    do: [{rename: {initial_prompt: prompt}}]
    examples: [{in: {initial_prompt: a}, out: {prompt: a}}]
"""
BODY = b'{"initial_prompt": "a"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


async def run(directory: Path, **variables: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SEGUE_LOG__FORMAT": "json"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "run"),
        cwd=directory,
        env={**environment, **variables},
        stderr=asyncio.subprocess.PIPE,
    )


async def test_variables_alone_bind_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/jobs.yaml").write_text(MAPPING)
    async with raw_server(answering(ANSWER % (len(BODY), BODY))) as server:
        process = await run(
            tmp_path,
            SEGUE_UPSTREAM__URL=server.url,
            SEGUE_LISTEN__ADDRESS="127.0.0.1:0",
            SEGUE_ADMIN__ADDRESS="127.0.0.1:0",
            SEGUE_COHORTS=COHORTS,
            SEGUE_VERSIONS__SOURCES="query, header",
        )
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while (told := json.loads(await process.stderr.readline()))["event"] != "listening":
                pass
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://{told['address']}/job?client_version=2") as answer,
            ):
                assert await answer.json() == {"prompt": "a"}
            process.terminate()
            await process.communicate()
    assert process.returncode == 0


async def test_what_is_missing_is_said_of_its_variable(tmp_path: Path) -> None:
    process = await run(tmp_path)
    async with asyncio.timeout(PATIENCE):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().startswith("SEGUE_UPSTREAM__URL: upstream.url: required")
    assert "config.yaml: no such file" in err.decode()
