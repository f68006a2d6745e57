"""Asking a running Segue on this machine: where its admin listener is, and what it answers."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from proxy.admin.endpoints import Endpoint
from proxy.cli.configuration import read_text
from proxy.cli.terminal import printable
from proxy.configuration.document import parse
from proxy.configuration.sections import Admin
from proxy.configuration.units import Address, address
from proxy.errors import ConfigError, Diagnostic

TIMEOUT: Final = 15.0
"""Seconds to wait for an answer."""

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of the longest answer, or line of one, that is read; Segue's own are far below."""

_VARIABLE: Final = "SEGUE_ADMIN__ADDRESS"
_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound)


class Refused(Exception):
    """Segue cannot be reached, or will not do it. The text says why, and is safe to print."""


def add_admin(command: argparse.ArgumentParser) -> None:
    """Give a command the flag that says where the running Segue's admin listener is."""
    command.add_argument(
        "--admin",
        metavar="HOST:PORT",
        help=f"its admin listener (default: ${_VARIABLE}, or admin.address of the configuration)",
    )


def admin_address(options: argparse.Namespace) -> Address:
    """Where the admin listener of the Segue on this machine can be reached.

    Only this one key of the configuration is looked at: while a faulty change of the file waits to
    be mended, the process that goes on with the last good one is as healthy as before.

    Raises:
        ConfigError: what names the address is none, or leaves the port open.
    """
    source, written = _written(options)
    try:
        found = Admin().address if written is None else address(written)
    except ValueError as error:
        raise ConfigError([Diagnostic(source, 0, 0, "admin.address", str(error))]) from None
    if not found.port:
        message = "port 0 stands for any; name the port with --admin"
        raise ConfigError([Diagnostic(source, 0, 0, "admin.address", message)])
    return Address(_ANYWHERE.get(found.host, found.host), found.port)


def ask(
    where: Address,
    endpoint: Endpoint,
    asked: Mapping[str, object] | None = None,
    **segments: str,
) -> dict[str, Any]:
    """Ask an endpoint; return the answer's object, empty without any.

    Args:
        where: the admin listener.
        endpoint: what is asked.
        asked: what for: goes into the body, or the query.
        segments: of its path, by their names.

    Raises:
        Refused: there is no such answer.
    """
    path = endpoint.target(asked, **segments)
    body = json.dumps(asked) if endpoint.has_body else None
    with answer(where, endpoint.method, path, body, TIMEOUT) as response:
        try:
            found = json.loads(response.read(MAX_ANSWER) or b"{}")
        except (OSError, http.client.HTTPException, ValueError):
            found = None
    if not isinstance(found, dict):
        raise Refused(f"http://{where}{path}: an answer that cannot be read")
    return found


@contextlib.contextmanager
def answer(
    where: Address, method: str, path: str, body: str | None, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    """Ask; yields a successful answer, whose body may still be on its way.

    Raises:
        Refused: nobody answers in time, or not with success.
    """
    connection = http.client.HTTPConnection(where.host, where.port, timeout=timeout)
    try:
        try:
            fields = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            if response.status >= 300:
                detail = _detail(response.read(MAX_ANSWER))
                raise Refused(f"http://{where}{path}: {response.status}: {detail}")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            raise Refused(f"http://{where}: {reason.lower()}; is segue running?") from None
        yield response
    finally:
        connection.close()


def _detail(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except ValueError:
        return "no reason given"
    return printable(str(problem.get("detail"))) if isinstance(problem, dict) else "refused"


def _written(options: argparse.Namespace) -> tuple[str, object]:
    if options.admin is not None:
        return "--admin", options.admin
    if os.environ.get(_VARIABLE):
        return _VARIABLE, os.environ[_VARIABLE]
    try:
        data = parse(read_text(Path(options.config)), options.config).data
    except ConfigError:
        return options.config, None
    section = data.get("admin") if isinstance(data, dict) else None
    return options.config, section.get("address") if isinstance(section, dict) else None
