"""A client's own refresh on a route whose bodies are rewritten, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.support.authority import Authority, Client, Received, authority, response
from tests.support.rig import RawPeer, segue
from tests.support.sockets import fields_of

LOGIN, REFRESH = "/api/auth/login/", "/api/auth/token/refresh/"
CONFIG: Final = """
upstream: {url: "http://127.0.0.1:1"}
versions: {default: "2"}
limits: {body: 2KiB}
sessions: {enabled: true}
cohorts:
  - name: modern
    versions: ">=2"
    http:
      - {path: /api/auth/token/refresh/, to_client: [out], to_server: [in]}
"""
OUT: Final = """
name: out
description: What the new clients call their tokens.
channel: http
direction: to_client
on_error: close
rules:
  - name: pair
    match: {field: access, exists: true}
    do:
      - rename: {access: access_token, refresh: refresh_token}
    examples:
      - {in: {access: a, refresh: r}, out: {access_token: a, refresh_token: r}}
"""
IN: Final = """
name: in
description: What the new clients send.
channel: http
direction: to_server
rules:
  - name: token
    match: {field: refresh_token, exists: true}
    do:
      - rename: {refresh_token: refresh}
    examples:
      - {in: {refresh_token: r}, out: {refresh: r}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings/out.yaml").write_text(OUT)
    (tmp_path / "mappings/in.yaml").write_text(IN)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


@pytest.mark.parametrize(
    ("more", "status", "names"),
    [
        ({}, 200, {"access_token", "refresh_token"}),
        ({"large": " " * 2048}, 200, {"access", "refresh", "large"}),
        ({"access_token": "taken"}, 502, None),
    ],
    ids=["mapped", "too large", "failed"],
)
async def test_request_and_answer_are_rewritten_and_the_session_goes_on(
    config: Path, tmp_path: Path, more: dict[str, str], status: int, names: set[str] | None
) -> None:
    async def special(server: Authority, _: RawPeer, received: Received) -> bytes | None:
        pair = json.loads(server.usual(received).partition(b"\r\n\r\n")[2])
        return response(200, json.dumps(pair | more).encode(), b'ETag: "1"')

    settings = {
        "SEGUE_SESSIONS__ENABLED": "true",
        "SEGUE_SESSIONS__REPLAY_WINDOW": "0s",
        "SEGUE_STATE_DIR": str(tmp_path / "state"),
    }
    async with (
        authority(answers={REFRESH: special}) as server,
        segue(server.url, settings, config=config) as proxy,
    ):
        client = Client(proxy)
        await client.log_in()
        body = json.dumps({"refresh_token": client.refresh}).encode()
        answered, head, said = await client.send("POST", REFRESH, body)
        assert answered == status
        assert server.presented() == [client.refresh]
        if names is not None:
            assert set(json.loads(said)) == names
            assert fields_of(head, b"content-length") == [b"%d" % len(said)]
            assert fields_of(head, b"vary") == [b"X-Client-Version"]
            assert fields_of(head, b"etag") == ([b'"1"'] if more else [])
        # Whatever its client was told, the tokens are known.
        server.answers.clear()
        assert (await client.send("POST", REFRESH, body))[0] == 200
        assert len(set(server.presented())) == 2
