"""A page that does what today's client does: a fetch after every frame, a socket at each render.

It opens a WebSocket at each render, fetches the job after every frame of each of them, and renders
what came. `fetch` is the browser's own: identical GETs wait for each other in its cache.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp
from playwright.async_api import Page

from tests.support.jobs import Job
from tests.support.rig import Segue

CLIENT: Final = """
async ([path, job, token, chats, most]) => {
    const url = `/api/jobs/${job}/`;
    const socketUrl = `${location.origin.replace("http", "ws")}/ws/jobs/${job}/?token=${token}`;
    const headers = {Authorization: `Bearer ${token}`};
    const sockets = [], seen = new Map(), waits = [], shown = [];
    let gets = 0, running = 0, stale = 0, copies = 0;

    // What an answer has to have in it, once a frame has said so.
    const holds = (frame, data) => {
        if (frame.kind === "stageUpdate" || frame.kind === "chat")
            return data.messages.some((each) => each.content === frame.content);
        if (frame.kind === "agentDialogue" || frame.kind === "step")
            return data.steps.some((each) => each.order === frame.order);
        if (frame.kind === "jobStatus" || frame.kind === "status") {
            const order = ["collecting", "queued", "running", "done"];
            return order.indexOf(data.status) >= order.indexOf(frame.status);
        }
        return true;
    };
    const render = (data) => {
        for (const each of waits)
            if (!each.done && data.messages.some((message) => message.content === each.content)) {
                each.done = true;
                shown.push(performance.now() - each.begun);
                each.resolve();
            }
        if (sockets.length < most) open();
    };
    const refetch = async () => {
        gets += 1;
        running += 1;
        const told = [...seen.values()];
        try {
            const response = await fetch(url, {headers});
            const data = await response.json();
            if (!told.every((frame) => holds(frame, data))) stale += 1;
            render(data);
        } finally {
            running -= 1;
        }
    };
    const open = () => {
        const socket = new WebSocket(socketUrl);
        sockets.push(socket);
        socket.onmessage = (event) => {
            copies += 1;
            seen.set(event.data, JSON.parse(event.data));
            refetch();
        };
        return new Promise((resolve) => { socket.onopen = resolve; });
    };
    const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

    await refetch();
    while (sockets[0].readyState !== WebSocket.OPEN) await pause(5);
    for (let turn = 0; turn < chats; turn += 1) {
        const content = `Wish ${turn}`;
        await new Promise((resolve) => {
            waits.push({content, resolve, begun: performance.now(), done: false});
            const open = sockets.findLast((each) => each.readyState === WebSocket.OPEN);
            open.send(JSON.stringify({kind: "chat", content}));
        });
        while (running) await pause(5);
    }
    // The script of the first chat has an end; then nothing more is told.
    const isDone = (frame) => frame.status === "done";
    while (![...seen.values()].some(isDone) || running) await pause(20);
    for (let quiet = 0; quiet < 10; quiet += 1) {
        await pause(50);
        if (running) quiet = 0;
    }
    for (const socket of sockets) socket.close(1000);
    return {gets, copies, messages: seen.size, stale, sockets: sockets.length, shown};
}
"""


@dataclass(frozen=True)
class Visit:
    """What a visit of the page came to.

    Attributes:
        gets: that the page made.
        asked: of them, what the server was asked.
        copies: frames that came, on all WebSockets.
        messages: those that differ.
        stale: answers that lacked what a frame had told before the page asked.
        sockets: WebSockets that were opened.
        shown: milliseconds from a chat to its being shown.
    """

    gets: int
    asked: int
    copies: int
    messages: int
    stale: int
    sockets: int
    shown: tuple[float, ...]

    def __str__(self) -> str:
        """One line for people."""
        times = sorted(self.shown)
        return (
            f"{self.gets} GETs of the page, {self.asked} at the server; {self.sockets} WebSockets,"
            f" {self.messages} messages in {self.copies} copies; {self.stale} stale; shown after"
            f" {times[len(times) // 2]:.0f} ms (median), {times[-1]:.0f} ms (longest)"
        )


async def visit(page: Page, proxy: Segue, job: Job, chats: int, most: int) -> Visit:
    """Have the page of a job's owner chat, and open so many WebSockets at most."""

    async def asked() -> float:
        return await proxy.metric("segue_coalescing_upstream_requests_total", route="job")

    before = await asked()
    token = job.account.access
    async with asyncio.timeout(600):
        told = await page.evaluate(CLIENT, ["", job.data["id"], token, chats, most])
    return Visit(
        told["gets"],
        int(await asked() - before),
        told["copies"],
        told["messages"],
        told["stale"],
        told["sockets"],
        tuple(told["shown"]),
    )


async def new_job(http: aiohttp.ClientSession, proxy: Segue) -> Job:
    """A job whose owner has logged in by Segue."""
    return await Job.create(http, proxy.url)
