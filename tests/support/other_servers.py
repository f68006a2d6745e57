"""Servers of other kinds with tokens, as programs of their own: one for WSGI, one for ASGI.

Each has what such applications have in front of their routes: the WSGI one (gunicorn) takes the
method from a field, and does not care for a slash at the end, as with Werkzeug's recipe and
`strict_slashes=False`; the ASGI one (Starlette on uvicorn) merges slashes and forgets about case,
as is often asked for. They check no token: who reaches the route of refreshes gets a new pair.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.authority import token
from tests.support.checkout import ROOT

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ISSUING = ("/api/auth/register/", "/api/auth/token/refresh/")
_numbers = itertools.count(1)


def _pair() -> dict[str, str]:
    number, now = next(_numbers), time.time()
    return {
        "access": token("a", number, now, now + 3600),
        "refresh": token("r", number, now, now + 86400),
    }


def wsgi(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """The application for gunicorn."""
    method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE") or environ["REQUEST_METHOD"]
    path = environ["PATH_INFO"].rstrip("/") + "/"
    environ["wsgi.input"].read()
    reached = method == "POST" and path in _ISSUING
    status = "201 Created" if reached and "register" in path else "200 OK" if reached else "404 No"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(_pair() if reached else {}).encode()]


async def _issue(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse(_pair(), 201 if "register" in request.url.path else 200)


_routes = Starlette(routes=[Route(path, _issue, methods=["POST"]) for path in _ISSUING])


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """The application for uvicorn."""
    if "path" in scope:
        scope["path"] = re.sub("/{2,}", "/", scope["path"]).lower()
    await _routes(scope, receive, send)


@contextmanager
def other_server(kind: str) -> Iterator[str]:
    """Run one, `wsgi` or `asgi`; its URL. What is asked before it is up waits in its socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        number = str(listening.fileno())
        command = {
            "wsgi": ("gunicorn", "--bind", f"fd://{number}", "tests.support.other_servers:wsgi"),
            "asgi": ("uvicorn", "--fd", number, "tests.support.other_servers:asgi"),
        }[kind]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait()
