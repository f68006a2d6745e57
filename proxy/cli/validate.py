"""`segue validate`: what a start would refuse, without making, opening or connecting anything."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

from proxy.cli.configuration import (
    Subparsers,
    add_config,
    add_overrides,
    add_state_directory,
    snapshot,
)
from proxy.cli.parser import add_json
from proxy.configuration.sections import CoalescingRoute
from proxy.errors import ConfigError, Diagnostic
from proxy.mapping.engine.program import Program
from proxy.process.assembly import connections_of, state_directory
from proxy.process.certificates import faults, warnings
from proxy.process.traces import exporter
from proxy.process.version import segue_version
from proxy.process.without_effect import without_effect
from proxy.sessions.store.opening import check_store
from proxy.snapshot import Snapshot
from proxy.storage.state_directory import check_private


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "check what a start would, without making, opening or connecting anything"
    command = commands.add_parser("validate", help=text, description=text.capitalize() + ".")
    add_config(command)
    add_overrides(command)
    add_state_directory(command)
    add_json(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Validate, and say what would be started.

    Raises:
        ConfigError: something is wrong, and the answer is for people.
    """
    try:
        loaded, ending = _checked(options)
        found = summary(options.config if loaded.source.required else None, loaded)
    except ConfigError as error:
        if not options.json:
            raise
        problems = [dataclasses.asdict(problem) for problem in error.problems]
        print(json.dumps({"config": options.config, "valid": False, "problems": problems}))
        return 1
    if options.json:
        found["warnings"] = [dataclasses.asdict(warning) for warning in ending]
        json.dump(found, sys.stdout, indent=2)
        print()
        return 0
    for warning in ending:
        print(f"warning: {warning}", file=sys.stderr)
    for line in _told(found):
        print(line)
    return 0


def _checked(options: argparse.Namespace) -> tuple[Snapshot, list[Diagnostic]]:
    """What would be started, and what to warn of."""
    loaded = snapshot(options)
    config = loaded.config
    problems: list[Diagnostic] = []
    ending: list[Diagnostic] = []
    try:
        served = connections_of(config).served
        problems += faults(served)
        ending = warnings(served)
    except ConfigError as error:
        problems += error.problems
    try:
        check_private(state_directory(loaded.source.env))
    except ConfigError as error:
        problems += error.problems
    try:
        if config.sessions.enabled:
            check_store(config.store, state_directory(loaded.source.env))
    except ConfigError as error:
        problems += error.problems
    try:
        if config.tracing.enabled:
            exporter(config.tracing, segue_version())
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return loaded, ending + without_effect(config, options.config)


def summary(file: str | None, loaded: Snapshot) -> dict[str, Any]:
    """What a start would do, in short; without a file, by variables and flags alone."""
    config = loaded.config
    default = config.versions.default
    return {
        "config": file,
        "valid": True,
        "listen": {"address": str(config.listen.address), "tls": config.listen.tls is not None},
        "admin": {"address": str(config.admin.address), "tls": config.admin.tls is not None},
        "upstream": list(config.upstream.urls),
        "mappings": list(loaded.catalog.names),
        "cohorts": [
            {
                "name": cohort.name,
                "versions": str(cohort.versions),
                "to_client": _name(loaded.catalog.for_cohort(cohort.name).to_client),
                "to_server": _name(loaded.catalog.for_cohort(cohort.name).to_server),
                "routes": [
                    {
                        "path": route.path,
                        "methods": list(route.methods),
                        "to_client": list(route.to_client),
                        "to_server": list(route.to_server),
                    }
                    for route in cohort.http
                ],
            }
            for cohort in config.cohorts
        ],
        "default": None if default is None else str(default),
        "sessions": {
            "enabled": config.sessions.enabled,
            "binding": config.sessions.binding,
            "lifetime": config.sessions.lifetime,
            "idle": config.sessions.idle,
        },
        "coalescing": [_coalescing(route) for route in config.coalescing],
        "per_session": [
            {
                "path": bound.path,
                "most": bound.most,
                "excess": bound.excess,
                "code": bound.code,
                "pace": bound.pace,
                "cookies": list(bound.cookies),
            }
            for bound in config.websocket.per_session
        ],
    }


def _coalescing(route: CoalescingRoute) -> dict[str, Any]:
    fresh = route.fresh_until
    return {
        "name": route.name,
        "path": route.path,
        "fresh_until": None
        if fresh is None
        else {
            "message": {".".join(map(str, field)): name for field, name in fresh.message},
            "socket": fresh.socket,
        },
        "at_most": route.at_most,
        "settle": route.settle,
    }


def _name(program: Program | None) -> str | None:
    return None if program is None else program.name


def _told(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['config'] or 'variables and flags, without a file'}: valid"
    yield f"  listen    {found['listen']['address']}{' (TLS)' if found['listen']['tls'] else ''}"
    yield f"  admin     {found['admin']['address']}{' (TLS)' if found['admin']['tls'] else ''}"
    yield f"  upstream  {', '.join(found['upstream'])}"
    yield f"  mappings  {', '.join(found['mappings']) or 'none'}"
    for cohort in found["cohorts"]:
        bound = _bound(cohort["to_client"], cohort["to_server"])
        yield f"  cohort    {cohort['name']} {cohort['versions']}: {bound}"
        for route in cohort["routes"]:
            methods = ",".join(route["methods"]) or "any method"
            chains = _bound("+".join(route["to_client"]), "+".join(route["to_server"]))
            yield f"    route   {methods} {route['path']}: {chains}"
    default = found["default"]
    yield f"  default   {default if default is not None else 'none (no mapping)'}"
    yield f"  sessions  {_sessions(found['sessions'])}"
    for route in found["coalescing"]:
        yield f"  coalesce  {route['name']} GET {route['path']}: {_kept(route)}"
    for bound in found["per_session"]:
        beside = f", or cookies {', '.join(bound['cookies'])}" if bound["cookies"] else ""
        yield (
            f"  sockets   {bound['path']}: {bound['most']} of a session{beside}; of more,"
            f" the oldest closes with {bound['code']}, at {bound['pace']:g} handshakes/s"
        )


def _sessions(told: dict[str, Any]) -> str:
    if not told["enabled"]:
        return "off"
    bound = "bound to a cookie" if told["binding"] == "cookie" else "bound to nothing but tokens"
    return f"kept for {told['lifetime']:g} s, {told['idle']:g} s of them idle; {bound}"


def _kept(route: dict[str, Any]) -> str:
    """How an answer is used."""
    fresh = route["fresh_until"]
    if fresh is None:
        return "shared by those who ask at the same moment"
    told = ", ".join(f"{field} = {{{name}}}" for field, name in fresh["message"].items())
    where = fresh["socket"] or "any WebSocket with that in its path"
    settle = f", asked {route['settle']:g} s after it" if route["settle"] else ""
    return f"kept until a message with {told} on {where}{settle}, {route['at_most']:g} s at most"


def _bound(to_client: str | None, to_server: str | None) -> str:
    named = (("to client:", to_client), ("to server:", to_server))
    return ", ".join(f"{way} {name}" for way, name in named if name) or "no mapping"
