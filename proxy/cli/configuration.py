"""Which configuration a command works with, and reading files within bounds."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from proxy.configuration import reading as configuration
from proxy.configuration.reading import Config, ConfigReading
from proxy.control.loading import MAX_FILE, load
from proxy.errors import ConfigError, Diagnostic
from proxy.snapshot import Snapshot

Subparsers = argparse._SubParsersAction  # noqa: SLF001 (argparse has no public name for its type)

_DEFAULT_CONFIG: Final = "config.yaml"


def add_config(command: argparse.ArgumentParser) -> None:
    """Give a command the flag that names the configuration."""
    command.add_argument(
        "--config",
        action=_Named,
        metavar="FILE",
        default=os.environ.get("SEGUE_CONFIG") or _DEFAULT_CONFIG,
        help="the configuration (default: $SEGUE_CONFIG, or config.yaml if there is one)",
    )
    command.set_defaults(config_is_named=bool(os.environ.get("SEGUE_CONFIG")))


class _Named(argparse.Action):
    """Takes the name of the configuration, and notes that somebody named it: it has to be there."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 (an action gets it)
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002 (an action gets it)
    ) -> None:
        namespace.config = values
        namespace.config_is_named = True


def add_overrides(command: argparse.ArgumentParser) -> None:
    """Give a command the flags that win over the configuration."""
    command.add_argument("--listen", metavar="HOST:PORT", help="overrides listen.address")
    command.add_argument("--upstream", metavar="URL", help="overrides upstream.url")
    command.add_argument("--admin", metavar="HOST:PORT", help="overrides admin.address")


def add_state_directory(command: argparse.ArgumentParser) -> None:
    """Give a command the flag for the directory of what outlives the process."""
    command.add_argument(
        "--state-dir",
        metavar="DIRECTORY",
        help="sessions, the key that seals them, the admin socket (default: $SEGUE_STATE_DIR,"
        " or .segue)",
    )


def snapshot(options: argparse.Namespace) -> Snapshot:
    """Read and validate the configuration and every mapping, as a start would.

    Raises:
        ConfigError: with every problem that was found.
    """
    state_dir = getattr(options, "state_dir", None)
    env = os.environ if state_dir is None else {**os.environ, "SEGUE_STATE_DIR": state_dir}
    named = options.config_is_named
    return load(Path(options.config), env, _flags(options), required=named)


def reading(options: argparse.Namespace) -> ConfigReading:
    """Read and validate the configuration alone, and keep where its values came from.

    Raises:
        ConfigError: with every problem that was found.
    """
    file = options.config
    is_there = options.config_is_named or Path(file).exists()
    text = read_text(Path(file)) if is_there else ""
    flags = _flags(options)
    return configuration.read(text, file, os.environ, flags, _read_named, is_there=is_there)


def mappings_directory(options: argparse.Namespace, config: Config) -> Path:
    """The directory of mapping files."""
    return Path(options.config).parent / config.mappings.directory


def read_text(file: Path, most: int = MAX_FILE) -> str:
    """Read a file of UTF-8 text; `-` is standard input.

    Args:
        file: its name.
        most: the number of bytes that it may have.

    Raises:
        ConfigError: it cannot be read, is larger, or is not UTF-8.
    """
    return decoded(read_bytes(file, most), str(file))


def read_bytes(file: Path, most: int = MAX_FILE) -> bytes:
    """Read a file; `-` is standard input.

    Raises:
        ConfigError: it cannot be read, or has more than `most` bytes.
    """
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(most + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError([Diagnostic(str(file), 0, 0, "", reason)]) from None
    if len(data) > most:
        raise ConfigError([Diagnostic(str(file), 0, 0, "", f"larger than {most} bytes")])
    return data


def decoded(data: bytes, file: str) -> str:
    """Read bytes as UTF-8.

    Raises:
        ConfigError: they are something else.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError([Diagnostic(file, 0, 0, "", "not UTF-8 text")]) from None


def _read_named(file: str) -> str:
    return read_text(Path(file))


def _flags(options: argparse.Namespace) -> dict[str, object]:
    return {
        name: value
        for name in ("listen", "upstream", "admin")
        if (value := getattr(options, name, None)) is not None
    }
