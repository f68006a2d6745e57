"""`segue audit verify`: whether the audit in the state directory is as Segue wrote it.

It reads files and the store, and asks no running Segue: who has the machine could have that one say
anything.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from proxy.cli.audit_store import Known, known
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
from proxy.tokens.audit_chain import AuditKeys
from proxy.tokens.audit_verdict import AuditCheck, Finding, Verdict

_NO_HEAD: Final = "it knows nothing of this audit: lines may be missing at its end"
_UNREAD: Final = "what it says of this audit is attested by no key that is configured"


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Put the command into place."""
    text = "look after the audit"
    command = commands.add_parser("audit", help=text, description=text.capitalize() + ".")
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "find lines that were altered, removed, put in or cut off; exit code 1 if there are any"
    action = actions.add_parser("verify", help=text, description=text.capitalize() + ".")
    add_config(action)
    add_state_directory(action)
    action.add_argument(
        "--gone",
        action="append",
        default=[],
        metavar="AUDIT",
        help="the name of an audit of this state directory whose files were taken away on purpose",
    )
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
    settings = _settings(options)
    keys = _keys(settings, directory)
    files = AuditFiles(directory, keys)
    # Before the files are read, for lines are appended meanwhile.
    said = known(settings, directory, _name_of(files, directory), files.place, keys)
    verdict = verified(files, keys, directory, said, options.gone)
    if options.json:
        print(json.dumps(_json(directory, verdict, said)))
    else:
        screen = Screen.of_stdout()
        for line in _lines(directory, verdict, said):
            screen.line(line)
    return ExitCode.OK if verdict.intact and not said.trouble else ExitCode.FAILED


def _settings(options: argparse.Namespace) -> StoreSettings:
    try:
        return reading(options).config.store
    except ConfigError:
        text = "which store and keys the audit is checked by stands in the configuration"
        print(f"segue: {text}: name a sound one with --config", file=sys.stderr)
        raise


def verified(
    files: AuditFiles, keys: AuditKeys, directory: Path, said: Known, gone: Sequence[str] = ()
) -> Verdict:
    """Go through all files.

    Args:
        files: of the state directory.
        keys: the configured ones.
        directory: for what is said of it.
        said: what the store says.
        gone: the names of audits whose files are not missed.

    Raises:
        ConfigError: one cannot be read, or there is none.
    """
    others = [head for head in said.others if head.audit not in gone]
    check = AuditCheck(keys, said.head)
    try:
        with files.opened() as opened:
            for each in opened:
                check.file(each.name, each.number)
                for line in each.lines():
                    check.line(line)
    except FileNotFoundError:
        opened = []
    except OSError as error:
        raise _unreadable(directory, error) from None
    if not opened:
        message = "there is none: no process has run here, or its files were removed"
        if others:
            lost = ", ".join(f"{head.audit} with {head.link.sequence} lines" for head in others)
            message = f"there is none, and there was one: the store knows of {lost}"
        raise ConfigError([Diagnostic(str(directory), 0, 0, "audit", message)])
    verdict = check.end()
    if said.trouble:
        text = f"it could not be asked ({said.trouble}): an end that was cut off is not found"
        verdict.notes.append(Finding("", 0, 0, text))
    elif said.head is None:
        verdict.faults.append(Finding("", 0, 0, _UNREAD if said.is_unread else _NO_HEAD))
    for head in others:
        text = f"there was another audit here, {head.audit} with {head.link.sequence} lines"
        verdict.faults.append(Finding("", 0, 0, f"{text}, and its files are gone"))
    if opened[-1].name != CURRENT:
        verdict.faults.append(Finding(CURRENT, 0, 0, "the file is missing"))
    return verdict


def _name_of(files: AuditFiles, directory: Path) -> str | None:
    """The name of the chain, as the file that is appended to says it."""
    try:
        begin = files.begin()
    except OSError as error:
        raise _unreadable(directory, error) from None
    return None if begin is None else begin.audit


def _unreadable(directory: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or str(error)).lower()
    return ConfigError([Diagnostic(str(directory), 0, 0, "audit", reason)])


def _keys(store: StoreSettings, directory: Path) -> AuditKeys:
    """The configured keys; where there are none, that of the state directory, if it is there."""
    if store.keys:
        return AuditKeys(store.keys)
    if not (directory / KEY_FILE).exists():
        message = "there is no key: store.keys is empty, and the state directory has none"
        raise ConfigError([Diagnostic(str(directory), 0, 0, "audit", message)])
    return AuditKeys([development_key(directory)])


def _json(directory: Path, verdict: Verdict, said: Known) -> dict[str, object]:
    return {
        "directory": str(directory),
        "intact": verdict.intact,
        "store": said.trouble or "up",
        "audit": verdict.audit,
        "files": verdict.files,
        "lines": verdict.lines,
        "first": verdict.first,
        "last": verdict.last.sequence,
        "faults": [each._asdict() for each in verdict.faults],
        "notes": [each._asdict() for each in verdict.notes],
        "more": verdict.more,
    }


def _lines(directory: Path, verdict: Verdict, said: Known) -> Iterator[Span]:
    for fault in verdict.faults:
        yield Span(_told(fault), Style.BAD)
    for note in verdict.notes:
        yield Span(f"note: {_told(note)}")
    if verdict.more:
        yield Span(f"... and {verdict.more} more")
    read = f"{counted(verdict.lines, 'line')} in {counted(verdict.files, 'file')}"
    span = f"{verdict.first} to {verdict.last.sequence}"
    if verdict.intact and said.trouble:
        yield Span(f"{directory}: intact as far as the files tell, {read} ({span})", Style.BAD)
    elif verdict.intact:
        yield Span(f"{directory}: intact, {read} ({span})")
    else:
        found = counted(len(verdict.faults), "fault")
        text = f"{directory}: NOT as it was written, {found} in {read} ({span})"
        yield Span(text, Style.BAD)


def _told(found: Finding) -> str:
    place = f"{found.file}:{found.line}" if found.line else found.file
    place = place or "store"
    return f"{place}: {found.what}"
