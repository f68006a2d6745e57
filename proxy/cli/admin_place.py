"""How a command reaches the running Segue, and by what it shows who asks.

Without anything said it is the Unix socket of the state directory, which is its user's own. With a
token or an address it is the admin listener; where that is, the processes that run with the state
directory have written down there.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import ssl
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.admin.unix_socket import SOCKET, short_name
from proxy.cli.configuration import add_state_directory, read_text
from proxy.cli.terminal import printable
from proxy.configuration.admin import Admin
from proxy.configuration.document import parse
from proxy.configuration.units import Address, address
from proxy.errors import ConfigError, Diagnostic
from proxy.process.assembly import state_directory
from proxy.storage.processes import RunningProcess, running
from proxy.tokens.admin_token import ANYWHERE

TOKEN_VARIABLE: Final = "SEGUE_ADMIN_TOKEN"  # noqa: S105 (its name)

_MOST_OF_TOKEN_FILE: Final = 4096
_ADDRESS_VARIABLE: Final = "SEGUE_ADMIN__ADDRESS"
_TLS_VARIABLE: Final = "SEGUE_ADMIN__TLS__CERTIFICATE"
_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound)
_LOOPBACKS: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Unreachable(Exception):
    """There is nothing to ask there. The text says why and what to do, and is safe to print."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a running Segue is asked.

    Attributes:
        name: for messages: a URL without a path, or the socket.
        how: how it was found, where somebody may wonder; empty where it was named.
        address: of the admin listener; None for the Unix socket.
        path: of the Unix socket; None for the listener.
        tls: None for plain HTTP.
        token: None without one.
        credential: by what who asks is known, in words; empty for the Unix socket, and without any.
    """

    name: str
    how: str = ""
    address: Address | None = None
    path: Path | None = None
    tls: ssl.SSLContext | None = None
    token: str | None = field(default=None, repr=False)
    credential: str = ""

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """A connection, which is opened by its first request."""
        if self.path is not None:
            return _UnixConnection(self.path, timeout)
        assert self.address is not None
        host, port = self.address.host, self.address.port
        if self.tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    @property
    def fields(self) -> dict[str, str]:
        """The fields of every request."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open it.

        Raises:
            Unreachable: nobody listens there, or not for this user.
        """
        directory = self._path.parent
        elsewhere = _elsewhere(running(directory))
        try:
            status = self._path.lstat()
            if os.geteuid() not in (0, status.st_uid):
                raise Unreachable(
                    f"{self._path} is another user's (uid {status.st_uid}): ask as that user, or"
                    f" with a token ({TOKEN_VARIABLE} or --token-file)"
                )
            if not stat.S_ISSOCK(status.st_mode):
                raise Unreachable(f"{self._path} is not a socket: remove it, and restart segue")
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            with short_name(self._path) as name:
                self.sock.connect(name)
        except FileNotFoundError:
            raise Unreachable(
                f"{self._path} is not there: {elsewhere}"
                if elsewhere
                else f"{self._path} is not there: no segue runs with the state directory"
                f" {directory.absolute()}; name the right one with --state-dir, or ask"
                " by address with --admin and a token"
            ) from None
        except ConnectionRefusedError:
            raise Unreachable(
                f"{self._path} was left by a segue that has ended; "
                + (
                    elsewhere
                    or "is another one running with a state directory of its own (--state-dir)?"
                )
            ) from None
        except PermissionError:
            raise Unreachable(
                f"{self._path}: this user may not open it: ask as the user that runs segue, or with"
                f" a token ({TOKEN_VARIABLE} or --token-file)"
            ) from None


def add_address(command: argparse.ArgumentParser) -> None:
    """Give a command the flag that says where the admin listener is."""
    command.add_argument(
        "--admin",
        metavar="HOST:PORT",
        help="its admin listener, also as https://HOST:PORT (default:"
        f" ${_ADDRESS_VARIABLE}, or where the one that runs with the state directory listens, or"
        " admin.address of the configuration)",
    )


def add_admin(command: argparse.ArgumentParser) -> None:
    """Give a command the flags that say how the running Segue is reached, and who asks."""
    add_state_directory(command)
    add_address(command)
    command.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"a file with a token, to ask the admin listener with (or ${TOKEN_VARIABLE}); without"
        " a token and --admin, the Unix socket in the state directory is asked",
    )
    command.add_argument(
        "--ca-file", metavar="FILE", help="who signed the admin listener's certificate (PEM)"
    )
    command.add_argument(
        "--client-certificate", metavar="FILE", help="to show it: certificate and key (PEM)"
    )
    command.add_argument(
        "--verbose", action="store_true", help="with a refusal, also what was asked, and where"
    )


def place(options: argparse.Namespace) -> Place:
    """Where a command with `add_admin` asks.

    Raises:
        ConfigError: what names the address is none, or leaves the port open; a file cannot be read.
    """
    token = _token(options)
    if token is None and options.admin is None and options.client_certificate is None:
        path = _directory(options) / SOCKET
        _tell_of_others(path.parent)
        return Place(f"unix:{path}", path=path)
    found, is_tls, how = admin_address(options)
    name = f"{'https' if is_tls else 'http'}://{found}"
    if not is_tls and token is not None and found.host not in _LOOPBACKS:
        message = f"{name}: a token would cross the network in clear text; set admin.tls there"
        raise ConfigError([Diagnostic("--admin", 0, 0, "", message)])
    tls = _tls(options) if is_tls else None
    return Place(name, how, found, tls=tls, token=token, credential=_credential(options, token))


def probed(options: argparse.Namespace) -> Place:
    """Where the probes of this machine's Segue are; what answers them is not verified.

    Raises:
        ConfigError: as `place`.
    """
    found, is_tls, how = admin_address(options)
    if not is_tls:
        return Place(f"http://{found}", how, found)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return Place(f"https://{found}", how, found, tls=context)


def admin_address(options: argparse.Namespace) -> tuple[Address, bool, str]:
    """Where the admin listener of this machine's Segue is; whether by TLS; how that was found.

    Only these keys of the configuration are looked at: while a faulty change of the file waits to
    be mended, the process that goes on with the last good one is as healthy as before.

    Raises:
        ConfigError: what names the address is none, or leaves the port open.
    """
    section = _section(options.config)
    is_tls = bool(os.environ.get(_TLS_VARIABLE)) or (section or {}).get("tls") is not None
    source, written, how = _written(options, section)
    try:
        if isinstance(written, str) and "://" in written:
            is_tls, written = _url(written)
        found = Admin().address if written is None else address(written)
    except ValueError as error:
        raise ConfigError([Diagnostic(source, 0, 0, "admin.address", str(error))]) from None
    if not found.port:
        message = "port 0 stands for any; name the port with --admin"
        raise ConfigError([Diagnostic(source, 0, 0, "admin.address", message)])
    return Address(_ANYWHERE.get(found.host, found.host), found.port), is_tls, how


def _url(written: str) -> tuple[bool, str]:
    parts = urlsplit(written)
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or "@" in parts.netloc:
        raise ValueError('expected an address such as "127.0.0.1:9090" or "https://segue:9090"')
    return parts.scheme == "https", parts.netloc


def _written(
    options: argparse.Namespace, section: Mapping[str, Any] | None
) -> tuple[str, object, str]:
    """What names the address, the address as it says it, and how that was found."""
    if options.admin is not None:
        return "--admin", options.admin, ""
    if os.environ.get(_ADDRESS_VARIABLE):
        return _ADDRESS_VARIABLE, os.environ[_ADDRESS_VARIABLE], f"by ${_ADDRESS_VARIABLE}"
    directory = _directory(options)
    process = _process_of(running(directory), options.config)
    if process is not None:
        how = f"where the segue that runs with the state directory {directory} listens"
        return str(directory), process.admin, f"{how} (pid {process.pid})"
    nobody = f"no segue runs with the state directory {directory} and {options.config}"
    if section is None:
        return options.config, None, f"the default: {nobody}, and that file cannot be read"
    if "address" not in section:
        return options.config, None, f"the default: {nobody}, which sets no admin.address"
    return options.config, section["address"], f"by {options.config}: {nobody}"


def _process_of(found: Sequence[RunningProcess], config: str) -> RunningProcess | None:
    """The newest process of a configuration; where there is no such file, the newest of all."""
    named = Path(config)
    if not named.exists():
        return found[0] if found else None
    return next((each for each in found if _is_same(named, Path(each.config))), None)


def _is_same(named: Path, other: Path) -> bool:
    try:
        return named.absolute() == other or named.samefile(other)
    except (OSError, ValueError):  # The latter where what is written down can be no file's name.
        return False


def _section(config: str) -> Mapping[str, Any] | None:
    """The section `admin` as it is written; None where the file cannot be read."""
    try:
        data = parse(read_text(Path(config)), config).data
    except ConfigError:
        return None
    section = data.get("admin") if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _directory(options: argparse.Namespace) -> Path:
    named = getattr(options, "state_dir", None)
    return state_directory(os.environ if named is None else {"SEGUE_STATE_DIR": named})


def _tell_of_others(directory: Path) -> None:
    """The newest has the socket; that there are others is news to whoever asks one of them."""
    newest, *others = running(directory) or (None,)
    if newest is None or not others:
        return
    print(
        f"segue: {len(others) + 1} processes run with the state directory {directory}; this asks"
        f" the newest, {_named(newest)}; ask the other by --admin and a token:"
        f" {'; '.join(map(_named, others))}",
        file=sys.stderr,
    )


def _elsewhere(found: Sequence[RunningProcess]) -> str:
    """Where processes are that run with the state directory and are not at its socket."""
    if not found:
        return ""
    return (
        f"a segue runs with this state directory, but not at its socket ({_named(found[0])}): ask"
        " it by --admin and a token, or restart it"
    )


def _named(process: RunningProcess) -> str:
    return printable(f"pid {process.pid} with {process.config} at {process.admin}")


def _token(options: argparse.Namespace) -> str | None:
    source, text = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
    if options.token_file is not None:
        source, text = options.token_file, read_text(Path(options.token_file), _MOST_OF_TOKEN_FILE)
    text = text.strip()
    if not text and options.token_file is None:
        return None
    if ANYWHERE.fullmatch(text) is None:
        message = "expected a token as `segue token new` prints it, and nothing else"
        raise ConfigError([Diagnostic(source, 0, 0, "", message)])
    return text


def _credential(options: argparse.Namespace, token: str | None) -> str:
    if token is not None:
        named = options.token_file
        return f"the token in {printable(named)}" if named else f"the token of ${TOKEN_VARIABLE}"
    named = options.client_certificate
    return f"the certificate {printable(named)}" if named else ""


def _tls(options: argparse.Namespace) -> ssl.SSLContext:
    file = options.ca_file
    try:
        context = ssl.create_default_context(cafile=file)
        file = options.client_certificate
        if file is not None:
            # An encrypted key is refused rather than asked about.
            context.load_cert_chain(file, password=lambda: b"")
    except (OSError, ssl.SSLError):
        message = "cannot be read as certificates (and a key without a password) in PEM"
        raise ConfigError([Diagnostic(str(file), 0, 0, "", message)]) from None
    return context
