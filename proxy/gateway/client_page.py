"""The reference client: a page that the public listener serves itself, below a reserved prefix.

Its files are the same for everybody and hold no secret. What they have to know of the proxy in
front of them is in one more file, `config.json`, which is made of the configuration that serves.
"""

from __future__ import annotations

from typing import Final

import msgspec

from proxy.configuration.reading import Config
from proxy.errors import MethodNotAllowed, NotServed
from proxy.gateway.context import RequestContext
from proxy.http.headers import Fields
from proxy.http.responses import Reply
from proxy.static_files import CLIENT, SECURITY_FIELDS, Asset, Assets, answered, made
from proxy.versions.sources import VersionSource

PREFIX: Final = b"/_segue/"
"""Of all that Segue serves itself on the public listener."""

PLACE: Final = b"/_segue/client"
CONFIG: Final = "config.json"

_METHODS: Final = ("GET", "HEAD")


class ClientPage:
    """Serves it."""

    def __init__(self) -> None:
        self._assets = Assets(CLIENT)
        self._told: tuple[Config, Asset] | None = None

    async def answer(self, context: RequestContext) -> Reply:
        """Answer a request for a path that begins with the prefix.

        Raises:
            MethodNotAllowed: it would change something.
            NotServed: there is no such file.
        """
        request = context.request
        if request.method not in _METHODS:
            raise MethodNotAllowed("the files of the client are read by GET", b"GET, HEAD")
        if not request.payload.is_eof():
            context.client.persistent = False
        if context.path == PLACE:
            # Relative: a proxy may have taken off what it begins with.
            return Reply(308, _fields({"Location": "client/"}), b"")
        asset = await self._file(context)
        if asset is None:
            raise NotServed("the client has no such file")
        values = request.shape.values
        codings = [each.decode("latin-1") for each in values(request.fields, b"accept-encoding")]
        known = b",".join(values(request.fields, b"if-none-match")).decode("latin-1").split(",")
        # Weak comparison (RFC 9110 section 13.1.2).
        tags = [each.strip().removeprefix("W/").strip('"') for each in known]
        status, fields, body = answered(asset, codings, tags)
        return Reply(status, _fields(fields), body)

    async def _file(self, context: RequestContext) -> Asset | None:
        start, slash, name = context.path.partition(PLACE + b"/")
        if start or not slash:
            return None
        if name == CONFIG.encode():
            return self._configuration(context.snapshot.config)
        return await self._assets.named(name.decode("latin-1") or "index.html")

    def _configuration(self, config: Config) -> Asset:
        if self._told is None or self._told[0] is not config:
            body = msgspec.json.encode(told(config))
            self._told = config, made("application/json", body)
        return self._told[1]


def told(config: Config) -> dict[str, object]:
    """What the client is told: `config.json`, as docs/clients.md describes it."""
    client, sessions, versions = config.client, config.sessions, config.versions
    version, sources = str(client.version), versions.sources
    by_header = VersionSource.HEADER in sources
    by_subprotocol = VersionSource.SUBPROTOCOL in sources
    return {
        "dev_mode": client.dev_mode,
        "version": version,
        "header": versions.header if by_header else None,
        "subprotocol": versions.subprotocol_prefix + version if by_subprotocol else None,
        "paths": {
            "login": sessions.paths.login[0] if sessions.paths.login else None,
            "refresh": sessions.paths.refresh,
            "logout": sessions.paths.logout,
            **client.paths.model_dump(),
        },
        "tokens": {"refresh_before": client.refresh_before},
    }


def _fields(own: dict[str, str]) -> Fields:
    return [(name.encode(), value.encode()) for name, value in {**SECURITY_FIELDS, **own}.items()]
