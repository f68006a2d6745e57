"""The state directory: for the processes of one machine, and for their user alone."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.errors import ConfigError, Diagnostic
from proxy.tokens.sealing import new_key, read_key

KEY_FILE: Final = "sessions.key"

_MAX_KEY_FILE: Final = 1024


def prepare_directory(directory: Path) -> None:
    """Make the directory where it is missing, for this user alone.

    Raises:
        ConfigError: it cannot be made, or is not a directory.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(directory, error) from None


def check_private(directory: Path, *, user: int | None = None) -> None:
    """See that nobody but its user, and root, can put files there, or read what is there.

    A directory that is missing, or that this user cannot enter, has nothing of Segue's in it.

    Args:
        directory: the state directory.
        user: who runs Segue, and has to be its owner; None where somebody only looks.

    Raises:
        ConfigError: it leads elsewhere, belongs to somebody else, or is open to others; with the
            command that mends it.
    """
    try:
        is_link = stat.S_ISLNK((link := directory.lstat()).st_mode)
        status = directory.stat()
    except OSError:
        return  # Whoever uses it says why that is not possible.
    mode, owner = stat.S_IMODE(status.st_mode), status.st_uid
    if is_link and link.st_uid != 0:
        # Root's are: systemd makes one for a unit with a user of its own (`DynamicUser`).
        raise _unsafe(
            directory,
            f"it is a symbolic link of the user {link.st_uid}: name the directory that is meant",
        )
    if not stat.S_ISDIR(status.st_mode) or not os.access(directory, os.X_OK):
        return
    if user is not None and owner not in (0, user):
        raise _unsafe(
            directory,
            f"it belongs to the user {owner}, and not to {user}, who runs Segue:"
            f" chown {user} {directory}",
        )
    if mode & 0o022:
        raise _unsafe(
            directory,
            f"others may write to it (mode {mode:04o}): chmod 700 {directory}, or name a directory"
            " in it, which Segue makes for itself",
        )
    if mode & 0o055 and owner == (os.geteuid() if user is None else user):
        raise _unsafe(directory, f"others may read it (mode {mode:04o}): chmod 700 {directory}")


def check_directory(directory: Path) -> None:
    """Find what would keep `prepare_directory` from its work, or files from being made there.

    Raises:
        ConfigError: the directory, or where it is missing what it would be made in, is none, or
            this user may not write to it.
    """
    place = directory
    try:
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unusable(place, error) from None


def check_development_key(directory: Path) -> None:
    """Find what would keep `development_key` from its work; makes nothing.

    Raises:
        ConfigError: the key cannot be made or read, is no key, or others may read it.
    """
    path = directory / KEY_FILE
    check_directory(directory)
    if path.exists():
        _read(path)


def development_key(directory: Path) -> str:
    """The key of this state directory; made at the first time, readable for this user alone.

    Processes that start at the same moment get the same one.

    Raises:
        ConfigError: it cannot be made or read, is no key, or others may read it.
    """
    prepare_directory(directory)
    path = directory / KEY_FILE
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise _unusable(path, error) from None
    return _read(path)


def _read(path: Path) -> str:
    try:
        # Without waiting: nobody may ever write to a FIFO.
        with open(path, encoding="ascii", errors="replace", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            mode = status.st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError([Diagnostic(str(path), 0, 0, "", "not a file")])
            text = file.read(_MAX_KEY_FILE).strip()
    except OSError as error:
        if error.errno == errno.ELOOP:
            message = "it is a symbolic link, which leads to a key of somebody else's choice"
            raise ConfigError([Diagnostic(str(path), 0, 0, "", message)]) from None
        raise _unusable(path, error) from None
    if status.st_uid not in (0, os.geteuid(), path.parent.stat().st_uid):
        message = f"this key belongs to the user {status.st_uid}, who knows it: remove it"
        raise ConfigError([Diagnostic(str(path), 0, 0, "", message)])
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError([Diagnostic(str(path), 0, 0, "", "others may read this key: chmod 600")])
    try:
        return read_key(text)
    except ValueError as error:
        raise ConfigError([Diagnostic(str(path), 0, 0, "", str(error))]) from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _make(path: Path) -> None:
    # Written whole under another name first: nobody reads half a key, and the first one stays.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{new_key()}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()


def _unusable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or "cannot be used").lower()
    return ConfigError([Diagnostic(str(path), 0, 0, "", f"state directory: {reason}")])


def _unsafe(directory: Path, reason: str) -> ConfigError:
    return ConfigError([Diagnostic(str(directory), 0, 0, "", f"state directory: {reason}")])
