"""A client as it must not be, and its server: it opens a WebSocket at each render, and keeps them.

It fetches its job anew after each frame, draws itself with what it gets, and opens another socket
with that; so whatever the server sends doubles its sockets, up to what the browser lets it have. A
normal end (1000) and a refusal (1008, 4001, 4003) are final to it; on all else it connects again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

PAGE = """<!doctype html><title>A client</title><script>
const FINAL = [1000, 1008, 4001, 4003];
const token = Math.random();
const seen = {renders: 0, opened: 0, closed: {}, reconnects: 0, shown: 0};
function connect(attempt) {
    const url = location.origin.replace("http", "ws") + "/ws/jobs/1/?token=" + token;
    const socket = new WebSocket(url);
    socket.onopen = () => { seen.opened += 1; attempt = 0; };
    socket.onmessage = async () => {
        const job = await (await fetch("/api/jobs/1/")).json();
        seen.shown = Math.max(seen.shown, job.events);
        render();
    };
    socket.onclose = (event) => {
        seen.closed[event.code] = (seen.closed[event.code] || 0) + 1;
        if (!FINAL.includes(event.code) && attempt < 5) {
            seen.reconnects += 1;
            setTimeout(() => connect(attempt + 1), 100 * 2 ** attempt);
        }
    };
}
function render() {
    seen.renders += 1;
    connect(0);
}
render();
</script>"""


@dataclass
class RenderingServer:
    """The server of that page.

    Attributes:
        events: that it has sent.
        open: its WebSockets.
        most: how many there were at the same time.
        handshakes, fetches: how many there were.
        closed: WebSockets that have ended, by the code that it was told.
    """

    events: int = 0
    open: set[web.WebSocketResponse] = field(default_factory=set)
    most: int = 0
    handshakes: int = 0
    fetches: int = 0
    closed: Counter[int | None] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """What serves it."""
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/api/jobs/1/", self._job)
        app.router.add_get("/ws/jobs/1/", self._socket)
        app.on_shutdown.append(self._end)
        return app

    async def send(self) -> None:
        """Send an event to all who are there."""
        self.events += 1
        for socket in tuple(self.open):
            try:
                await socket.send_json({"kind": "jobStatus", "status": str(self.events)})
            except ConnectionError:
                continue  # It is about to be forgotten.

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _job(self, _: web.Request) -> web.Response:
        self.fetches += 1
        return web.json_response({"events": self.events})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self.handshakes += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open.add(socket)
        self.most = max(self.most, len(self.open))
        self.changed.set()
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        finally:
            self.open.discard(socket)
            self.closed[socket.close_code] += 1
            self.changed.set()
        return socket

    async def _end(self, _: web.Application) -> None:
        for socket in tuple(self.open):
            await socket.close(code=WSCloseCode.OK)
