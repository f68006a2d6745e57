"""The files of the console: how they are sent, to whom, and that they weigh little."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from proxy.static_files import CONSOLE, SECURITY_FIELDS, read
from tests.support.administered import TOKENS, VIEWER, Administered, administered
from tests.support.checkout import ROOT

MOST = 150 * 1024
"""Bytes of all files, compressed."""

VENDORED = ROOT / "proxy/assets/vendored"

ROWS = re.compile(r"`([\w./-]+\.\w+)` \|(?: `[\w./-]+` \|)? `([0-9a-f]{64})` \|")


async def fetched(
    running: Administered, path: str, **fields: str
) -> tuple[int, Mapping[str, str], bytes]:
    host, port = running.place
    async with (
        aiohttp.ClientSession(auto_decompress=False) as client,
        client.get(
            f"http://{host}:{port}{path}",
            headers={name.replace("_", "-"): value for name, value in fields.items()},
            allow_redirects=False,
        ) as response,
    ):
        return response.status, response.headers, await response.read()


async def test_the_page_needs_no_credential_and_allows_nothing_of_others(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        status, fields, body = await fetched(running, "/console/")
        assert status == 200
        assert fields["Content-Type"] == "text/html; charset=utf-8"
        assert SECURITY_FIELDS.items() <= dict(fields).items()
        assert "unsafe" not in fields["Content-Security-Policy"]
        page = gzip.decompress(body).decode()
        assert " style=" not in page
        assert "<style" not in page
        assert not re.findall(r"<script(?![^>]* src=)", page)
        # Behind a prefix all of it is still found.
        assert not re.findall(r'(?:src|href)="(?:/|https?:)', page)
        status, fields, _ = await fetched(running, "/console")
        assert (status, fields["Location"]) == (308, "console/")


async def test_a_browser_that_has_a_file_gets_it_not_again(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        path = "/console/vendored/preact/preact.mjs"
        seen = set()
        for coding in ("gzip", "identity", "gzip;q=0", "*"):
            status, fields, body = await fetched(running, path, Accept_Encoding=coding)
            assert (status, fields["Vary"]) == (200, "Accept-Encoding")
            is_compressed = fields.get("Content-Encoding") == "gzip"
            assert is_compressed is (coding in ("gzip", "*"))
            assert (gzip.decompress(body) if is_compressed else body) == (
                VENDORED / "preact/preact.mjs"
            ).read_bytes()
            tag = fields["ETag"]
            assert re.fullmatch(r'"[^"]+"', tag)  # A strong one.
            seen.add(tag)
            for known in (tag, f'"other", {tag}', f"W/{tag}"):
                again = await fetched(running, path, Accept_Encoding=coding, If_None_Match=known)
                assert (again[0], again[1]["ETag"], again[2]) == (304, tag, b"")
            status, _, _ = await fetched(
                running, path, Accept_Encoding=coding, If_None_Match='"other"'
            )
            assert status == 200
        assert len(seen) == 2


@pytest.mark.parametrize(
    "path",
    [
        "index.htm",
        "../config.yaml",
        "%2e%2e/application.py",
        "vendored/../../../errors.py",
        "vendored/%2e%2e%2f%2e%2e%2fadmin/access.py",
        "/etc/passwd",
        "vendored/preact/LICENSE",
        "vendored/",
        "index.html%00.js",
    ],
)
async def test_nothing_else_is_served(tmp_path: Path, path: str) -> None:
    async with administered(tmp_path) as running:
        answer = await running.ask(f"/console/{path}")
        assert answer.status == 404
        assert "the console has no such file" in answer.detail or "no such path" in answer.detail


async def test_the_configuration_takes_it_away_and_brings_it_back(tmp_path: Path) -> None:
    async with administered(tmp_path, tokens=TOKENS, console=False) as running:
        for path in ("/console", "/console/", "/console/app.js"):
            answer = await running.ask(path)
            assert answer.status == 404
            assert "admin.console" in answer.detail
        await running.reload(tokens=TOKENS, console=True)
        assert (await running.ask("/console/")).status == 200


async def test_a_token_in_the_address_of_the_page_is_refused(tmp_path: Path) -> None:
    async with administered(tmp_path) as running:
        assert (await running.ask(f"/console/?token={VIEWER}")).status == 400


def test_all_files_weigh_little() -> None:
    assert sum(len(each.compressed) for each in read(CONSOLE).values()) < MOST


def test_names_are_relative_and_of_files_that_there_are() -> None:
    files = read(CONSOLE)
    for name, asset in files.items():
        if name.startswith("vendored/") or not name.endswith((".js", ".html")):
            continue
        text = asset.plain.decode()
        for found in re.findall(r'(?:from|import|src=|href=|import\()\s*"([^"]+)"', text):
            if found.startswith("#"):  # A page of the console.
                continue
            assert found.startswith("./"), (name, found)
            assert found.removeprefix("./") in files, (name, found)


@pytest.mark.parametrize("folder", [VENDORED, ROOT / "tests/support/vendored"])
def test_vendored_files_are_the_published_ones(folder: Path) -> None:
    listed = dict(ROWS.findall((folder / "README.md").read_text(encoding="utf-8")))
    found = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.suffix in {".js", ".mjs", ".css"}
    }
    assert listed == found
    for file in listed:
        assert (folder / file).with_name("LICENSE").is_file()
