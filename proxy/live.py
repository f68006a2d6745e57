"""The immutable snapshot that serves traffic: configuration, version rules, catalogue of mappings.

It is read and validated whole before it is swapped in with one assignment; on any error the one
that serves stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from proxy import config as configuration
from proxy.config import Config
from proxy.documents import Document, parse
from proxy.errors import ConfigError, Problem
from proxy.mapping.catalog import Catalog, CohortBinding
from proxy.mapping.catalog import build as build_catalog
from proxy.selection import VersionRules
from proxy.values import VersionSource

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes of the largest configuration or mapping file that is read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a request needs to know of the configuration.

    Attributes:
        config: the effective configuration.
        versions: chooses a client's version and cohort.
        catalog: the compiled mappings of each cohort.
        version_header: the lower-case name of the version header; empty where it is no source.
        upstream_authority: what `Host` says where the client's is not kept.
    """

    config: Config
    versions: VersionRules
    catalog: Catalog
    version_header: bytes
    upstream_authority: bytes


class Live:
    """Holds the snapshot that serves.

    Attributes:
        current: read once for each request.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot


def load(file: Path, env: Mapping[str, str], flags: Mapping[str, object]) -> Snapshot:
    """Read and validate the configuration and every mapping, as a start would.

    Args:
        file: the configuration file; the directory of mappings is relative to it.
        env: the environment, for `SEGUE_...` overrides.
        flags: what the command line says, by the name of the flag.

    Raises:
        ConfigError: with every problem that was found.
    """
    config = configuration.load(_read(file), str(file), env, flags, _read_text)
    directory = file.parent / config.mappings.directory
    documents, problems = _read_mappings(directory)
    bindings = {
        cohort.name: CohortBinding(
            to_client=tuple(cohort.websocket.to_client),
            to_server=tuple(cohort.websocket.to_server),
        )
        for cohort in config.cohorts
    }
    try:
        catalog = build_catalog(documents, bindings)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    sources = config.versions.sources
    return Snapshot(
        config=config,
        versions=config.version_rules(),
        catalog=catalog,
        version_header=(
            config.versions.header.lower().encode() if VersionSource.HEADER in sources else b""
        ),
        upstream_authority=urlsplit(config.upstream.url).netloc.encode(),
    )


def _read_mappings(directory: Path) -> tuple[list[Document], list[Problem]]:
    documents: list[Document] = []
    problems: list[Problem] = []
    for file in sorted(directory.glob("*.yaml")) if directory.is_dir() else ():
        try:
            documents.append(parse(_read(file), str(file)))
        except ConfigError as error:
            problems += error.problems
    return documents, problems


def _read_text(file: str) -> str:
    return _read(Path(file))


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_FILE:
            raise ConfigError([Problem(str(file), 0, 0, "", f"larger than {MAX_FILE} bytes")])
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(file), 0, 0, "", "not UTF-8 text")]) from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError([Problem(str(file), 0, 0, "", reason)]) from None
