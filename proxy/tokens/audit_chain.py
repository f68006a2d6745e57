"""The lines of the audit: each bound to all before it by a hash, and to a key by a MAC.

A line is one JSON object. What it says comes first; then, always of the same length:

    ,"key":"<16 digits>","chain":"<64 digits>","mac":"<64 digits>"}

`key` names the key of the MAC; `chain` is the SHA-256 over the chain of the line before and the
bytes up to `,"chain"`, as they stand in the file; `mac` is an HMAC of that, under a key that
`store.keys[0]` gives. Who has no key
can compute a chain but no MAC, and a MAC of today attests every line before it, whichever keys
theirs are of: so a chain goes on over a rotation of keys.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from proxy.tokens.sealing import read_key

MAX_LINE: Final = 512 * 1024
"""Bytes of the longest line, its end included. Of details that are longer their digest is kept."""

BEGINS: Final = "audit file begins"
"""The first line of each file: `file`, its number; `audit`, the name of the chain; `previous`, the
chain of the line before; `oldest`, the number of the oldest file that is kept."""

TORN: Final = "audit line torn"
"""What stands before it is half a line that a crash has left: `bytes` of it, and their `sha256`."""

UNATTESTED: Final = "audit end unattested"
"""The line before, `line`, is attested by no key that was configured when this one was written."""

MISSING: Final = "audit lines missing"
"""The store knew of a line, `line`, that was not in the files any more, or another one."""

FOREIGN: Final = "audit files foreign"
"""Among the full files were `count` that are none of the chain's: `files`, the names of some."""

LOST: Final = "audit lines lost"
"""So many lines, `lines`, could not be written."""

RESERVED: Final = frozenset({BEGINS, TORN, UNATTESTED, MISSING, FOREIGN, LOST})
"""What the audit says of itself."""

_END: Final = re.compile(
    rb'(.*,"key":"([0-9a-f]{16})"),"chain":"([0-9a-f]{64})","mac":"([0-9a-f]{64})"\}', re.DOTALL
)
_END_LENGTH: Final = len(',"chain":"","mac":""}\n') + 64 + 64
# Never change them: every line in every file would be unattested.
_KEY_INFO: Final = b"segue: audit lines"
_NAME_INFO: Final = b"segue: names of audit keys"
_OF_LINE: Final = b"line\0"
_OF_HEAD: Final = b"head\0"


class Link(NamedTuple):
    """Where a chain has got to: the number of a line, from 1 on, and its chain, 32 bytes."""

    sequence: int
    chain: bytes


START: Final = Link(0, bytes(32))
"""Before the first line."""


class Entry(NamedTuple):
    """What a line is to say.

    Attributes:
        time: when it happened, as RFC 3339 has it, UTC.
        event: what happened.
        author: who did it.
        role: what they were allowed then; empty where that is nobody's, as for a signal.
        details: what else; JSON.
    """

    time: str
    event: str
    author: str
    role: str
    details: Mapping[str, object]


class AuditLine(NamedTuple):
    """A line as it stands in a file; that it can be read says nothing of whether it is right.

    Attributes:
        body: the bytes that its chain is computed over.
        sequence, entry: what it says.
        key, chain, mac: its end; the key by its name.
    """

    body: bytes
    sequence: int
    entry: Entry
    key: str
    chain: bytes
    mac: bytes

    @property
    def link(self) -> Link:
        """Where the chain has got to, if the line is right."""
        return Link(self.sequence, self.chain)


class AuditKeys:
    """Makes MACs under the first of the configured keys, and checks those under any of them."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Derive what is needed.

        Args:
            keys: as `sealing.read_key` reads them; the first is the one in use.

        Raises:
            ValueError: there is none, or one is no key.
        """
        raw = [binascii.a2b_base64(read_key(key).translate(_TO_STANDARD)) for key in keys]
        if not raw:
            raise ValueError("expected at least one key")
        self._secrets = {
            _derived(key, _NAME_INFO)[:8].hex(): _derived(key, _KEY_INFO) for key in raw
        }
        self.current = next(iter(self._secrets))

    def mac(self, purpose: bytes, data: bytes) -> bytes:
        """The MAC under the key in use."""
        return hmac.digest(self._secrets[self.current], purpose + data, "sha256")

    def attests(self, key: str, purpose: bytes, data: bytes, mac: bytes) -> bool | None:
        """Whether a MAC is right; None where its key is not among these."""
        secret = self._secrets.get(key)
        if secret is None:
            return None
        return hmac.compare_digest(hmac.digest(secret, purpose + data, "sha256"), mac)

    def attest(self, line: AuditLine) -> bool | None:
        """Whether the MAC of a line is right; None where its key is not among these."""
        return self.attests(line.key, _OF_LINE, line.chain, line.mac)


_TO_STANDARD: Final = str.maketrans("-_", "+/")


def _derived(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)


def following(previous: bytes, body: bytes) -> bytes:
    """The chain of a line with this body after one with the chain `previous`."""
    return hashlib.sha256(previous + body).digest()


def written_line(entry: Entry, link: Link, keys: AuditKeys) -> tuple[bytes, Link]:
    """The line after `link`, with its line break, and where the chain has got to with it."""
    sequence = link.sequence + 1
    body = _body(sequence, entry, keys.current)
    if len(body) + _END_LENGTH > MAX_LINE:
        told = {"left_out": {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}}
        body = _body(sequence, entry._replace(details=told), keys.current)
    chain = following(link.chain, body)
    mac = keys.mac(_OF_LINE, chain)
    end = f',"chain":"{chain.hex()}","mac":"{mac.hex()}"}}\n'
    return body + end.encode(), Link(sequence, chain)


def _body(sequence: int, entry: Entry, key: str) -> bytes:
    said = {"seq": sequence, **entry._asdict(), "key": key}
    # ASCII: whatever a name is made of, it moves no cursor of whoever reads the file.
    return json.dumps(said, separators=(",", ":"), default=str)[:-1].encode()


def read_line(raw: bytes) -> AuditLine | None:
    """Read a line, with or without its line break; None where it is none of Segue's."""
    found = _END.fullmatch(raw.removesuffix(b"\n"))
    if found is None:
        return None
    try:
        said = json.loads(found[1] + b"}")
    except (ValueError, RecursionError):
        return None
    match said:
        case {
            "seq": int(sequence),
            "time": str(time),
            "event": str(event),
            "author": str(author),
            "role": str(role),
            "details": dict(details),
        } if sequence > 0:
            entry = Entry(time, event, author, role, details)
        case _:
            return None
    key, chain, mac = (each.decode() for each in found.groups()[1:])
    return AuditLine(found[1], sequence, entry, key, bytes.fromhex(chain), bytes.fromhex(mac))


class FileBegins(NamedTuple):
    """What the first line of a file says; see `BEGINS`."""

    file: int
    audit: str
    previous: bytes
    oldest: int

    def details(self) -> dict[str, object]:
        """It as the details of that line."""
        return {**self._asdict(), "previous": self.previous.hex()}


_HEX: Final = re.compile(r"[0-9a-f]{64}")
_AUDIT: Final = re.compile(r"[0-9a-f]{16}")


def read_begin(line: AuditLine | None) -> FileBegins | None:
    """Read the first line of a file; None where it is none."""
    if line is None or line.entry.event != BEGINS:
        return None
    match line.entry.details:
        case {
            "file": int(file),
            "audit": str(audit),
            "previous": str(previous),
            "oldest": int(oldest),
        } if _HEX.fullmatch(previous) and _AUDIT.fullmatch(audit) and 0 < oldest <= file:
            return FileBegins(file, audit, bytes.fromhex(previous), oldest)
    return None


class Head(NamedTuple):
    """What the store keeps of a chain: how far it has got.

    Attributes:
        audit: the name of the chain.
        file: the number of the file that the line is in.
        link: of the line.
        place: the name of the state directory, that tells nothing of it.
    """

    audit: str
    file: int
    link: Link
    place: str = ""


MOST_HEADS: Final = 50
"""Heads in one value of the store, of chains whose names begin alike."""

MOST_VALUES: Final = 256
"""Values in which all heads together are kept; see `value_name`."""


def value_name(audit: str) -> str:
    """The name of the value in the store that the head of a chain is in.

    Several chains share one, so that state directories that come and go, as those of containers do,
    leave no more than `MOST_VALUES` of them.
    """
    return f"audit:{audit[:2]}"


def value_names() -> tuple[str, ...]:
    """The names of all values that heads are in."""
    return tuple(f"audit:{number:02x}" for number in range(MOST_VALUES))


def with_head(value: bytes | None, head: Head, keys: AuditKeys) -> bytes:
    """A value of the store with this head, which has a MAC of its own, in it.

    Those that were written longest ago make way; what cannot be read makes way too.

    Args:
        value: what the store has so far; None for nothing.
        head: to be written.
        keys: the first of them attests it.
    """
    audit, file, (sequence, chain), place = head
    mac = keys.mac(_OF_HEAD, _head_data(head)).hex()
    told: dict[str, Any] = {"file": file, "seq": sequence, "chain": chain.hex(), "place": place}
    heads = {name: each for name, each in _heads(value).items() if name != audit}
    heads[audit] = told | {"key": keys.current, "mac": mac}
    for name in list(heads)[:-MOST_HEADS]:
        del heads[name]
    return json.dumps(heads, separators=(",", ":")).encode()


def has_head(value: bytes | None, audit: str) -> bool:
    """Whether a value of the store says anything of this chain, or nothing that can be read."""
    return value is not None and (audit in _heads(value) or not _heads(value))


def read_head(value: bytes | None, audit: str, keys: AuditKeys) -> Head | None:
    """Read the head of a chain; None where there is none, or none of the keys attests it."""
    match _heads(value).get(audit):
        case {
            "file": int(file),
            "seq": int(sequence),
            "chain": str(chain),
            "place": str(place),
            "key": str(key),
            "mac": str(mac),
        } if _HEX.fullmatch(chain) and _HEX.fullmatch(mac):
            head = Head(audit, file, Link(sequence, bytes.fromhex(chain)), place)
            if keys.attests(key, _OF_HEAD, _head_data(head), bytes.fromhex(mac)):
                return head
    return None


def heads_at(value: bytes | None, place: str, keys: AuditKeys) -> list[Head]:
    """The heads in a value that are of this state directory, and attested by one of the keys."""
    found = (read_head(value, audit, keys) for audit in _heads(value))
    return [head for head in found if head is not None and head.place == place]


def _heads(value: bytes | None) -> dict[str, Any]:
    """What a value says of each chain; nothing where it cannot be read."""
    try:
        read = json.loads(value or b"{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _head_data(head: Head) -> bytes:
    audit, file, (sequence, chain), place = head
    # JSON's quotes keep the parts apart, whatever they are.
    return json.dumps([audit, file, sequence, chain.hex(), place]).encode()
