"""`segue audit verify`: whether the audit in the state directory is as Segue wrote it.

It reads files, and asks no running Segue: who has the machine could have that one say anything.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.cli.configuration import Subparsers, add_config, add_state_directory, reading
from proxy.cli.exit_codes import ExitCode
from proxy.cli.parser import add_json
from proxy.cli.screen import Screen
from proxy.cli.styled import Span, Style
from proxy.cli.terminal import counted
from proxy.configuration.sessions import StoreSettings
from proxy.errors import ConfigError, Diagnostic
from proxy.process.assembly import state_directory
from proxy.storage.audit_files import CURRENT, AuditFiles
from proxy.storage.state_directory import KEY_FILE, development_key
from proxy.tokens.audit_chain import AuditKeys, Head
from proxy.tokens.audit_verdict import AuditCheck, Finding, Verdict

_NO_HEAD: Final = "nothing is known of how far the lines went: an end that was cut off is not found"


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "look after the audit"
    command = commands.add_parser("audit", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "find lines that were altered, removed, put in or cut off; exit code 1 if there are any"
    action = actions.add_parser("verify", help=text, description=text.capitalize() + ".")
    add_config(action)
    add_state_directory(action)
    add_json(action)
    # What `reading` looks for: nothing of an audit hangs on where Segue listens.
    action.set_defaults(run=run, listen=None, upstream=None, admin=None)


def run(options: argparse.Namespace) -> int:
    """Verify, and say what was found.

    Raises:
        ConfigError: it cannot be read.
    """
    env = os.environ
    given = {} if options.state_dir is None else {"SEGUE_STATE_DIR": options.state_dir}
    directory = state_directory({**env, **given})
    keys = _keys(reading(options).config.store, directory)
    verdict = verified(AuditFiles(directory, keys), keys, directory, None)
    if options.json:
        print(json.dumps(_json(directory, verdict)))
    else:
        screen = Screen.of_stdout()
        for line in _lines(directory, verdict):
            screen.line(line)
    return ExitCode.OK if verdict.intact else ExitCode.FAILED


def verified(files: AuditFiles, keys: AuditKeys, directory: Path, head: Head | None) -> Verdict:
    """Go through all files.

    Args:
        files: of the state directory.
        keys: the configured ones.
        directory: for what is said of it.
        head: what the store says; read before this, for lines are appended meanwhile.

    Raises:
        ConfigError: one cannot be read, or there is none.
    """
    check = AuditCheck(keys, head)
    try:
        with files.opened() as opened:
            for each in opened:
                check.file(each.name)
                for line in each.lines():
                    check.line(line)
    except FileNotFoundError:
        opened = []
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError([Diagnostic(str(directory), 0, 0, "audit", reason)]) from None
    if not opened:
        message = "there is none: no process has run here, or its files were removed"
        raise ConfigError([Diagnostic(str(directory), 0, 0, "audit", message)])
    verdict = check.end()
    if head is None:
        verdict.notes.append(Finding("", 0, 0, _NO_HEAD))
    if opened[-1].name != CURRENT:
        verdict.faults.append(Finding(CURRENT, 0, 0, "the file is missing"))
    return verdict


def _keys(store: StoreSettings, directory: Path) -> AuditKeys:
    """The configured keys; where there are none, that of the state directory, if it is there."""
    if store.keys:
        return AuditKeys(store.keys)
    if not (directory / KEY_FILE).exists():
        message = "there is no key: store.keys is empty, and the state directory has none"
        raise ConfigError([Diagnostic(str(directory), 0, 0, "audit", message)])
    return AuditKeys([development_key(directory)])


def _json(directory: Path, verdict: Verdict) -> dict[str, object]:
    return {
        "directory": str(directory),
        "intact": verdict.intact,
        "audit": verdict.audit,
        "files": verdict.files,
        "lines": verdict.lines,
        "first": verdict.first,
        "last": verdict.last.sequence,
        "faults": [each._asdict() for each in verdict.faults],
        "notes": [each._asdict() for each in verdict.notes],
        "more": verdict.more,
    }


def _lines(directory: Path, verdict: Verdict) -> Iterator[Span]:
    for fault in verdict.faults:
        yield Span(_told(fault), Style.BAD)
    for note in verdict.notes:
        yield Span(f"note: {_told(note)}")
    if verdict.more:
        yield Span(f"... and {verdict.more} more")
    read = f"{counted(verdict.lines, 'line')} in {counted(verdict.files, 'file')}"
    span = f"{verdict.first} to {verdict.last.sequence}"
    if verdict.intact:
        yield Span(f"{directory}: intact, {read} ({span})")
    else:
        found = counted(len(verdict.faults), "fault")
        text = f"{directory}: NOT as it was written, {found} in {read} ({span})"
        yield Span(text, Style.BAD)


def _told(found: Finding) -> str:
    place = f"{found.file}:{found.line}" if found.line else found.file
    place = place or "store"
    return f"{place}: {found.what}"
