"""What is done to one client's messages and bodies, and to which routes' bodies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from proxy.http.routing import Routes
from proxy.mapping.engine.program import Program


@dataclass(frozen=True, slots=True)
class RoutePrograms:
    """What is done to the bodies of one route; None where nothing is.

    Attributes:
        pattern: the path, as the configuration has it.
        methods: upper-case; empty for all.
        to_server: for request bodies.
        to_client: for response bodies.
    """

    pattern: str
    methods: frozenset[str] = frozenset()
    to_server: Program | None = None
    to_client: Program | None = None


@dataclass(frozen=True, slots=True)
class Programs:
    """What is done to one client's messages; None where nothing is.

    Attributes:
        to_client: for the WebSocket messages that the server sends.
        to_server: for those that the client sends.
        routes: for the bodies of HTTP.
    """

    to_client: Program | None = None
    to_server: Program | None = None
    routes: Routes[RoutePrograms] | None = field(default=None, compare=False)

    def route(self, method: str, path: bytes) -> RoutePrograms | None:
        """Tell what is done to the bodies of a request and its response.

        Args:
            method: as it stands in the request line.
            path: of the request's target as the server is sent it, without the query.
        """
        return None if self.routes is None else self.routes.find(method, path)


NO_PROGRAMS: Final = Programs()
