"""The reference client's files on the public listener, and what they are told of the proxy."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.static_files import SECURITY_FIELDS
from tests.support.checkout import ROOT
from tests.support.rig import Segue, answering, raw_server, segue, status_of

ENABLED = {"SEGUE_CLIENT__ENABLED": "true"}
PREACT = "vendored/preact/preact.mjs"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def fetched(
    proxy: Segue, path: str, method: str = "GET", **fields: str
) -> tuple[int, Mapping[str, str], bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as client,
        client.request(
            method,
            f"{proxy.url}{path}",
            headers={name.replace("_", "-"): value for name, value in fields.items()},
            allow_redirects=False,
        ) as response,
    ):
        return response.status, response.headers, await response.read()


async def told(proxy: Segue) -> Any:
    status, fields, body = await fetched(
        proxy, "/_segue/client/config.json", Accept_Encoding="identity"
    )
    assert (status, fields["Content-Type"]) == (200, "application/json")
    return json.loads(body)


async def test_it_is_off_unless_the_configuration_enables_it() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url) as proxy:
        assert (await fetched(proxy, f"/_segue/client/{PREACT}"))[2] == b"ok"
        assert heads[0].startswith(f"GET /_segue/client/{PREACT} ".encode())


async def test_nothing_below_the_prefix_reaches_the_server_and_all_else_does() -> None:
    heads: list[bytes] = []
    async with raw_server(answering(OK, heads)) as server, segue(server.url, ENABLED) as proxy:
        for path in ("/_segue/", "/_segue/other", "/_segue/client/none.js", "/_segue/clients/"):
            status, fields, body = await fetched(proxy, path)
            assert (status, fields["Content-Type"]) == (404, "application/problem+json")
            assert "the client has no such file" in json.loads(body)["detail"]
        assert not heads
        for path in ("/_segue", "/_segueway/", "/api/_segue/client/"):
            assert (await fetched(proxy, path))[2] == b"ok"
        assert await proxy.metric("segue_errors_total", error="not_served") == 4


async def test_a_file_is_compressed_validated_and_allows_nothing_of_others() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        path, seen = f"/_segue/client/{PREACT}", set()
        plain = (ROOT / "proxy/assets" / PREACT).read_bytes()
        for coding in ("gzip", "identity"):
            status, fields, body = await fetched(proxy, path, Accept_Encoding=coding)
            assert (status, fields["Vary"]) == (200, "Accept-Encoding")
            assert SECURITY_FIELDS.items() <= dict(fields).items()
            assert "unsafe" not in fields["Content-Security-Policy"]
            assert (gzip.decompress(body) if coding == "gzip" else body) == plain
            tag = fields["ETag"]
            assert re.fullmatch(r'"[^"]+"', tag)  # A strong one.
            seen.add(tag)
            for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
                again = await fetched(proxy, path, Accept_Encoding=coding, If_None_Match=known)
                assert (again[0], again[1]["ETag"], again[2]) == (304, tag, b"")
                assert "Content-Type" not in again[1]
            other = await fetched(proxy, path, Accept_Encoding=coding, If_None_Match='"other"')
            assert other[0] == 200
        assert len(seen) == 2


async def test_what_pages_share_is_beside_the_clients_own_files() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        for name in ("tokens.css", "view.js", "icons.js", "dialog.js"):
            assert (await fetched(proxy, f"/_segue/client/{name}"))[0] == 200
        status, fields, _ = await fetched(proxy, "/_segue/client")
        assert (status, fields["Location"]) == (308, "client/")


async def test_the_head_of_a_file_has_its_length_and_no_body() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        request = f"%s /_segue/client/{PREACT} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        async with proxy.client() as peer:
            await peer.send(request % b"HEAD")
            head = await peer.read_head()
            await peer.send(request % b"GET")
            got, body = await peer.read_response()
        assert f"Content-Length: {len(body)}\r\n".encode() in head
        assert head.split(b"X-Request-Id")[0] == got.split(b"X-Request-Id")[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_files_are_only_read(method: str) -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        status, fields, _ = await fetched(proxy, f"/_segue/client/{PREACT}", method)
        assert (status, fields["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "../config.yaml",
        "vendored/../../../errors.py",
        "vendored/%2e%2e%2f%2e%2e%2fadmin/access.py",
        "/etc/passwd",
        "//etc/passwd",
        "vendored/preact/LICENSE",
        "vendored/",
        "config.json%00.js",
        "%ff\u00e9",
    ],
)
async def test_nothing_else_is_served(path: str) -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        target = f"/_segue/client/{path}".encode()
        answer = await proxy.ask(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        assert status_of(answer) in (400, 404)
        assert b"root:" not in answer
        assert b"import" not in answer


async def test_a_body_that_nobody_reads_ends_the_connection_with_the_answer() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        answer = await proxy.ask(
            b"GET /_segue/client/config.json HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n"
        )
        assert status_of(answer) == 200
        assert b"Connection: close" in answer


async def test_the_client_is_told_dev_mode_its_version_paths_and_times() -> None:
    async with raw_server(answering(OK)) as server, segue(server.url, ENABLED) as proxy:
        assert await told(proxy) == {
            "dev_mode": False,
            "version": "2.0",
            "header": "X-Client-Version",
            "subprotocol": "client-version.2.0",
            "paths": {
                "login": "/api/auth/login/",
                "registration": "/api/auth/register/",
                "refresh": "/api/auth/token/refresh/",
                "logout": "/api/auth/logout/",
                "me": "/api/auth/me/",
                "jobs": "/api/jobs/",
                "job_messages": "/api/job-messages/",
                "apps": "/api/apps/",
                "purge": "/api/jobs/purge/",
                "sockets": "/ws/jobs/",
            },
            "tokens": {"refresh_before": 300.0},
        }


async def test_what_it_is_told_is_what_is_configured() -> None:
    env = {
        **ENABLED,
        "SEGUE_CLIENT__DEV_MODE": "true",
        "SEGUE_CLIENT__VERSION": "2.10",
        "SEGUE_CLIENT__REFRESH_BEFORE": "1m",
        "SEGUE_CLIENT__PATHS__APPS": "/v2/apps/",
        "SEGUE_SESSIONS__PATHS__REFRESH": "/v2/refresh/",
        "SEGUE_VERSIONS__SOURCES": "subprotocol,query",
        "SEGUE_VERSIONS__SUBPROTOCOL_PREFIX": "app.",
    }
    async with raw_server(answering(OK)) as server, segue(server.url, env) as proxy:
        answer = await told(proxy)
        assert (answer["dev_mode"], answer["version"]) == (True, "2.10")
        assert (answer["header"], answer["subprotocol"]) == (None, "app.2.10")
        assert answer["paths"]["apps"] == "/v2/apps/"
        assert answer["paths"]["refresh"] == "/v2/refresh/"
        assert answer["tokens"] == {"refresh_before": 60}


async def test_a_reload_changes_what_it_is_told(tmp_path: Path) -> None:
    async with raw_server(answering(OK)) as server:
        config = tmp_path / "config.yaml"
        text = f"upstream: {{url: '{server.url}'}}\nclient: {{enabled: true, dev_mode: %s}}\n"
        config.write_text(text % "false", "utf-8")
        (tmp_path / "mappings").mkdir()
        async with segue(None, {}, config) as proxy:
            assert (await told(proxy))["dev_mode"] is False
            tag = (await fetched(proxy, "/_segue/client/config.json"))[1]["ETag"]
            config.write_text(text % "true", "utf-8")
            async with proxy.admin() as admin, admin.post("/api/v1/reload", json={}) as answer:
                assert answer.status == 200
            assert (await told(proxy))["dev_mode"] is True
            status, _, _ = await fetched(proxy, "/_segue/client/config.json", If_None_Match=tag)
            assert status == 200
