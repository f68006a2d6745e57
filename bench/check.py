"""Does a proxy do its work? Checked before it is timed: what fails here is not measured."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bench.peers import Running
from bench.processes import Failed
from bench.traffic import KINDS, SOCKET_QUERY, big_body, payloads, small_body

_PATIENCE: Final = 10.0


def check(running: Running) -> None:
    """Send one of everything through a proxy.

    Raises:
        Failed: something came out wrong, or not at all.
    """
    try:
        _check_http(running)
        _check_socket(running)
    except (OSError, http.client.HTTPException, WebSocketException) as error:
        raise Failed(f"the check got {type(error).__name__}: {error}") from error


def _check_http(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=_PATIENCE)
    try:
        # Twice, because a kept connection to the origin is only used from the second on.
        for _ in range(2):
            connection.request("GET", "/api/jobs/1/")
            _expect(connection.getresponse(), small_body())
        connection.request("POST", "/api/big/", body=big_body())
        _expect(connection.getresponse(), big_body())
    finally:
        connection.close()


def _expect(response: http.client.HTTPResponse, body: bytes) -> None:
    received = response.read()
    if response.status != 200 or received != body:
        raise Failed(f"the check got {response.status} and {len(received)} bytes")


def _check_socket(running: Running) -> None:
    url = f"ws://127.0.0.1:{running.port}/ws/jobs/1/?{SOCKET_QUERY}{running.peer.query}&conn=check"
    with connect(url, compression=None, open_timeout=_PATIENCE, proxy=None) as socket:
        for sent in payloads():
            received = socket.recv(_PATIENCE)
            if not running.peer.rewrites and received != sent.decode():
                raise Failed("the check got a frame that is not the one that was sent")
            if running.peer.rewrites and json.loads(received) != _rewritten(json.loads(sent)):
                raise Failed("the check got a frame that was rewritten wrongly")


def _rewritten(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"kind": KINDS[message["kind"]]}
