"""A rewriting proxy by the book: aiohttp's server and client, as its documentation shows them.

    python aiohttp_proxy.py PORT ORIGIN ACCESS_LOG

It runs on uvloop, as Segue does, so that what differs is the way and not the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import aiohttp
import uvloop
from aiohttp import WSMsgType, web
from multidict import CIMultiDict

KINDS = {
    "jobStatus": "status",
    "agentDialogue": "step",
    "stageUpdate": "chat",
    "prdReady": "app",
}
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
ORIGIN = web.AppKey("origin", str)
CLIENT = web.AppKey("client", aiohttp.ClientSession)


def forwarded(request: web.Request) -> CIMultiDict[str]:
    """The fields for the origin."""
    fields = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in HOP_BY_HOP and not name.lower().startswith("sec-websocket-")
    )
    fields["X-Forwarded-For"] = request.remote or ""
    fields["X-Forwarded-Proto"] = request.scheme
    return fields


def rewrite(text: str) -> str:
    """Change the kind of a message."""
    message = json.loads(text)
    message["kind"] = KINDS.get(message["kind"], message["kind"])
    return json.dumps(message)


async def to_server(client: web.WebSocketResponse, server: aiohttp.ClientWebSocketResponse) -> None:
    """Forward what the client sends."""
    async for message in client:
        if message.type is WSMsgType.TEXT:
            await server.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await server.send_bytes(message.data)
    await server.close(code=client.close_code or 1000)


async def to_client(server: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
    """Forward what the origin sends, rewritten."""
    async for message in server:
        if message.type is WSMsgType.TEXT:
            await client.send_str(rewrite(message.data))
        elif message.type is WSMsgType.BINARY:
            await client.send_bytes(message.data)
    await client.close(code=server.close_code or 1000)


async def serve(request: web.Request) -> web.StreamResponse:
    """Relay one request or one WebSocket."""
    app = request.app
    url = f"{app[ORIGIN]}{request.raw_path}"
    if request.headers.get("Upgrade", "").lower() == "websocket":
        async with app[CLIENT].ws_connect(url, headers=forwarded(request)) as server:
            client = web.WebSocketResponse()
            await client.prepare(request)
            await asyncio.gather(to_server(client, server), to_client(server, client))
            return client
    async with app[CLIENT].request(
        request.method,
        url,
        headers=forwarded(request),
        data=request.content if request.can_read_body else None,
        allow_redirects=False,
    ) as answer:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response


async def main() -> None:
    """Serve until the process is ended."""
    port, origin, log = sys.argv[1:]
    logging.basicConfig(filename=log, format="%(message)s", level=logging.INFO)
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", serve)
    app[ORIGIN] = f"http://127.0.0.1:{origin}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
        app[CLIENT] = client
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(port), backlog=4096).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
