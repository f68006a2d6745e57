"""Reading a snapshot: configuration, version rules, catalogue of mappings.

It is read and validated whole before it is swapped in with one assignment; on any error the one
that serves stays. What a running process cannot change (`needs_restart`) keeps its old value.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from proxy.configuration import reading
from proxy.configuration.admin import Admin
from proxy.configuration.document import Document, parse
from proxy.configuration.environment import Kind, Override, applied, attributed, from_environment
from proxy.configuration.reading import Config
from proxy.configuration.sections import CohortSettings, LimitSettings, Mappings
from proxy.errors import ConfigError, Diagnostic
from proxy.freshness.resources import FreshRoutes
from proxy.http.routing import Routes
from proxy.mapping.catalog import Catalog, CohortBinding, RouteBinding
from proxy.mapping.catalog import build as build_catalog
from proxy.mapping.switched import SwitchedCatalog
from proxy.snapshot import Snapshot, Source, Stamp

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes of the largest configuration or mapping file that is read."""


_READ: Final = ".yaml"
_MISNAMED: Final = ".yml"

_Model = TypeVar("_Model", bound=BaseModel)

_RESTART_SECTIONS: Final = ("log", "store", "tracing")
_RESTART_KEYS: Final = frozenset({"listen.address", "admin.address"})

_DECLARED: Final[Mapping[tuple[str, ...], Kind]] = {
    ("cohorts",): Kind.LIST,
    ("mappings",): Kind.SECTION,
    ("mappings", "directory"): Kind.SCALAR,
    ("limits",): Kind.SECTION,
    ("limits", "json_depth"): Kind.SCALAR,
}
_DECLARED_VARIABLES: Final = ("SEGUE_COHORTS", "SEGUE_MAPPINGS", "SEGUE_LIMITS")


def load(
    file: Path,
    env: Mapping[str, str],
    flags: Mapping[str, object],
    seen: dict[Path, Stamp] | None = None,
    *,
    required: bool = True,
) -> Snapshot:
    """Read and validate the configuration and every mapping, as a start would.

    Args:
        file: the configuration file; the mappings and the TLS files are relative to its directory.
        env: the environment, for `SEGUE_...` overrides.
        flags: what the command line says, by the name of the flag.
        seen: is told every path that was looked at, and its state, whether it could be read or not.
        required: whether the configuration file has to be there; see `Source`.

    Raises:
        ConfigError: with every problem that was found, in configuration and mappings alike.
    """
    reader = _FileReader({} if seen is None else seen)
    # One that was there once does not go without a word: its cohorts would go with it.
    required = required or stamp(file) is not None
    if not required:
        reader.look_at([file])
    text = reader.text(file) if required else ""
    config: Config | None = None
    problems: list[Diagnostic] = []
    try:
        config = reading.load(text, str(file), env, flags, reader.named, is_there=required)
    except ConfigError as error:
        problems += error.problems
    try:
        document = parse(text, str(file))
    except ConfigError:
        raise ConfigError(problems) from None  # Nothing else is known of it.
    catalog, found = _mappings(document, file.parent, env, reader)
    problems += found
    if config is None or catalog is None or problems:
        raise ConfigError(problems)
    config = _resolved(config, file.parent)
    reader.look_at(_tls_files(config))
    fresh = [route.fresh for route in config.coalescing if route.fresh is not None]
    per_session = config.websocket.per_session
    return Snapshot(
        config=config,
        versions=config.version_rules(),
        catalog=catalog,
        switches=SwitchedCatalog(catalog, config.switching.first()),
        coalescing=Routes(config.coalescing) if config.coalescing else None,
        fresh=FreshRoutes(fresh) if fresh else None,
        socket_bounds=Routes(per_session) if per_session else None,
        source=Source(file, env, flags, required),
        files=reader.seen,
        digest=reader.digest.hexdigest()[:12],
    )


def stamp(path: Path) -> Stamp:
    """Return the state of a path; see `Stamp`."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            names = (entry.name for entry in path.iterdir())
            return tuple(sorted(name for name in names if name.endswith((_READ, _MISNAMED))))
    except OSError:
        return None
    return _stamp_of(status)


def mapping_files(directory: Path) -> tuple[list[Path], list[Diagnostic]]:
    """Return the mapping files of a directory, in order, and what else looks like one.

    Raises:
        OSError: it is no directory, or cannot be read.
    """
    entries = sorted(directory.iterdir())
    message = f"only *{_READ} is read: rename it to "
    return [entry for entry in entries if entry.name.endswith(_READ)], [
        Diagnostic(str(entry), 0, 0, "", f"{message}{entry.with_suffix(_READ).name}")
        for entry in entries
        if entry.name.endswith(_MISNAMED)
    ]


def restart_keys() -> frozenset[str]:
    """The keys and sections whose new values only a restart brings."""
    keys = {"sessions.enabled", "switching.authority", "timeouts.tls_handshake"}
    return frozenset(keys | _RESTART_KEYS | set(_RESTART_SECTIONS))


def needs_restart(serving: Config, wanted: Config) -> tuple[str, ...]:
    """Return the keys whose new values only a restart brings: sockets that are open, the log."""
    keys = [
        f"{name}.{key}"
        for name in ("admin", *_RESTART_SECTIONS, "listen")
        for key in type(getattr(wanted, name)).model_fields
        if (name in _RESTART_SECTIONS or f"{name}.{key}" in _RESTART_KEYS)
        and getattr(getattr(wanted, name), key) != getattr(getattr(serving, name), key)
    ]
    if (serving.listen.tls is None) != (wanted.listen.tls is None):
        keys.append("listen.tls")
    if _kind_of_tls(serving.admin) != _kind_of_tls(wanted.admin):
        keys.append("admin.tls")
    if serving.sessions.enabled != wanted.sessions.enabled:
        keys.append("sessions.enabled")
    if serving.switching.authority != wanted.switching.authority:
        keys.append("switching.authority")
    if serving.timeouts.tls_handshake != wanted.timeouts.tls_handshake:
        keys.append("timeouts.tls_handshake")
    return tuple(keys)


def retained(serving: Config, snapshot: Snapshot) -> Snapshot:
    """Return the new snapshot with the old values of what `needs_restart`.

    Raises:
        ConfigError: what is new cannot go with what stays, as an upstream that is this listener.
    """
    keys = needs_restart(serving, snapshot.config)
    if not keys:
        return snapshot
    source = snapshot.source
    addresses = {"listen": str(serving.listen.address), "admin": str(serving.admin.address)}
    if {"listen.address", "admin.address"} & set(keys):
        flags = {**source.flags, **addresses}
        seen = dict(snapshot.files)
        again = load(source.file, source.env, flags, seen, required=source.required)
        snapshot = replace(again, source=source)
    sections = {name: getattr(serving, name) for name in _RESTART_SECTIONS}
    for name in ("listen", "admin"):
        kept = {
            key: getattr(getattr(serving, name), key)
            for key in ("address", "tls")
            if f"{name}.{key}" in keys
        }
        sections[name] = _updated(getattr(snapshot.config, name), **kept)
    merged = _updated(
        snapshot.config,
        sessions=_updated(snapshot.config.sessions, enabled=serving.sessions.enabled),
        switching=_updated(snapshot.config.switching, authority=serving.switching.authority),
        timeouts=_updated(snapshot.config.timeouts, tls_handshake=serving.timeouts.tls_handshake),
        **sections,
    )
    return replace(snapshot, config=merged)


def _kind_of_tls(admin: Admin) -> tuple[bool, bool]:
    """Whether the listener speaks TLS, and whether it asks clients for certificates."""
    return admin.tls is not None, admin.tls is not None and admin.tls.client_ca is not None


class _FileReader:
    """Reads files, and notes their state at that moment."""

    def __init__(self, seen: dict[Path, Stamp]) -> None:
        self.seen = seen
        self.digest = hashlib.sha256()

    def text(self, file: Path) -> str:
        """Return the text of a configuration or mapping file, which counts in the digest."""
        text = self._read(file)
        # The names of mappings are in their texts; lengths keep two files from reading like one.
        self.digest.update(b"%d:" % len(text) + text.encode())
        return text

    def named(self, file: str) -> str:
        """Return the value of a setting that is in a file of its own: it may be a secret."""
        return self._read(Path(file))

    def look_at(self, paths: Iterable[Path]) -> None:
        """Note the state of what others read."""
        self.seen.update((path, stamp(path)) for path in paths)

    def _read(self, path: Path) -> str:
        self.seen[path] = stamp(path)
        try:
            # Without waiting: nobody may ever write to a FIFO.
            with open(path, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                if stat.S_ISFIFO(status.st_mode):
                    raise ConfigError([Diagnostic(str(path), 0, 0, "", "not a file but a pipe")])
                self.seen[path] = _stamp_of(status)
                data = file.read(MAX_FILE + 1)
            if len(data) > MAX_FILE:
                raise ConfigError(
                    [Diagnostic(str(path), 0, 0, "", f"larger than {MAX_FILE} bytes")]
                )
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError([Diagnostic(str(path), 0, 0, "", "not UTF-8 text")]) from None
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            raise ConfigError([Diagnostic(str(path), 0, 0, "", reason)]) from None


def _mappings(
    document: Document, base: Path, env: Mapping[str, str], reader: _FileReader
) -> tuple[Catalog | None, list[Diagnostic]]:
    """Read and bind the mappings, as far as the configuration is sound enough to say which."""
    overrides = _declared(env, reader)
    data = applied(document.data, overrides)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        return None, []
    place = _sound(Mappings, data.get("mappings") or {})
    if place is None:
        return None, []
    directory = base / place.directory
    reader.look_at([directory])
    try:
        files, problems = mapping_files(directory)
    except OSError as error:
        # The default one may be missing: whoever binds no mapping needs none.
        if "directory" in place.model_fields_set or not isinstance(error, FileNotFoundError):
            path, reason = ("mappings", "directory"), (error.strerror or "cannot be read").lower()
            unread = document.problem(path, f"{directory}: {reason}")
            return None, attributed([unread], overrides)
        files, problems = [], []
    documents = _parsed(files, problems, reader)
    cohorts = _sound(tuple[CohortSettings, ...], data.get("cohorts") or ()) or ()
    limits = _sound(LimitSettings, data.get("limits") or {}) or LimitSettings()
    try:
        bindings = _bindings(cohorts, document)
        return build_catalog(documents, bindings, limits.json_depth, str(directory)), problems
    except ConfigError as error:
        return None, [*problems, *attributed(error.problems, overrides)]


def _bindings(cohorts: Iterable[CohortSettings], document: Document) -> dict[str, CohortBinding]:
    return {
        cohort.name: CohortBinding(
            to_client=tuple(cohort.websocket.to_client),
            to_server=tuple(cohort.websocket.to_server),
            http=tuple(
                RouteBinding(
                    path=route.path,
                    methods=tuple(route.methods),
                    to_server=tuple(route.to_server),
                    to_client=tuple(route.to_client),
                )
                for route in cohort.http
            ),
            document=document,
            path=("cohorts", index, "websocket"),
            http_path=("cohorts", index, "http"),
        )
        for index, cohort in enumerate(cohorts)
    }


def _declared(env: Mapping[str, str], reader: _FileReader) -> list[Override]:
    """The overrides of what mappings are made from; their faults are reported elsewhere."""
    relevant = {name: text for name, text in env.items() if name.startswith(_DECLARED_VARIABLES)}
    return from_environment(relevant, _DECLARED, reader.named)[0]


def _sound(kind: Any, data: object) -> Any:
    """Return the validated data; None where it is wrong, which is reported elsewhere."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError:
        return None


def _parsed(
    files: Iterable[Path], problems: list[Diagnostic], reader: _FileReader
) -> list[Document]:
    documents: list[Document] = []
    for file in files:
        try:
            documents.append(parse(reader.text(file), str(file)))
        except ConfigError as error:
            problems += error.problems
    return documents


def _resolved(config: Config, base: Path) -> Config:
    """Make the names of TLS files relative to the configuration, as that of the mappings is."""
    listen, admin = config.listen, config.admin
    upstream, store, tracing = config.upstream, config.store, config.tracing
    if listen.tls is not None:
        certificate, key = str(base / listen.tls.certificate), str(base / listen.tls.key)
        listen = _updated(listen, tls=_updated(listen.tls, certificate=certificate, key=key))
    if admin.tls is not None:
        files = {key: value for key, value in admin.tls.model_dump().items() if value is not None}
        named = {key: str(base / value) for key, value in files.items()}
        admin = _updated(admin, tls=_updated(admin.tls, **named))
    if upstream.tls.ca_file is not None:
        ca_file = str(base / upstream.tls.ca_file)
        upstream = _updated(upstream, tls=_updated(upstream.tls, ca_file=ca_file))
    if store.ca_file is not None:
        store = _updated(store, ca_file=str(base / store.ca_file))
    if tracing.ca_file is not None:
        tracing = _updated(tracing, ca_file=str(base / tracing.ca_file))
    sections = {"upstream": upstream, "store": store, "tracing": tracing}
    return _updated(config, listen=listen, admin=admin, **sections)


def _tls_files(config: Config) -> list[Path]:
    names = [config.upstream.tls.ca_file]
    for tls in (config.listen.tls, config.admin.tls):
        if tls is not None:
            names += tls.model_dump().values()
    return [Path(name) for name in names if name is not None]


def _updated(model: _Model, **values: object) -> _Model:
    return model.model_copy(update=values)


def _stamp_of(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
