"""What is fuzzed: functions that take any bytes, and fail by an exception that nobody declared.

Each of them says what has to hold beside "nothing is raised". Nothing here needs the fuzzer; the
tests run them over the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from proxy.configuration import reading
from proxy.configuration.document import parse
from proxy.configuration.sections import Versions
from proxy.errors import (
    ClientError,
    ConfigError,
    MappingFailure,
    UpstreamError,
)
from proxy.http import content_coding, cookies, cors, headers, traceparent
from proxy.http.spellings import SpelledPaths
from proxy.mapping import catalog
from proxy.mapping.compiler.compiler import compile_mapping
from proxy.mapping.engine.program import Program
from proxy.mapping.json.objects import open_object, open_tolerantly
from proxy.mapping.language.model import MappingFile
from proxy.recording import placeholders
from proxy.rewriting import MessageCounts, MessageHandling
from proxy.tokens import bodies, credentials, jwt, redaction, request_bodies
from proxy.tokens.places import TokenPlaces
from proxy.tokens.secret_paths import SecretPaths
from proxy.versions.cohorts import Cohort, Cohorts
from proxy.versions.selection import VersionRules
from proxy.versions.sources import SOURCES, Received, RequestParts, make_sources
from proxy.versions.version import Version, parse_range
from proxy.websocket import handshake
from proxy.websocket.failures import FilterLimits
from proxy.websocket.filter import FrameFilter
from proxy.websocket.handshake import offered_subprotocols

Target = Callable[[bytes], None]

HERE: Final = Path(__file__).resolve().parent
_ROOT: Final = HERE.parents[1]
_READ: Final = 1024
_SECRET_PATHS: Final = SecretPaths(["reset/{}", "/invite/{}/**"])
_PLACES: Final = TokenPlaces()
_SPELLED: Final = SpelledPaths((b"/api/auth/login/",))
_LIMITS: Final = FilterLimits(frame=70_000, message=70_000, fragments=8, control_frames=50)


@cache
def _program(file: Path) -> Program:
    document = parse(file.read_text(encoding="utf-8"), file.name)
    return Program((compile_mapping(MappingFile.model_validate(document.data)),))


def _everything() -> Program:
    return _program(HERE / "everything.yaml")


def _shipped() -> Program:
    return _program(_ROOT / "mappings/old-to-new.yaml")


def _key(_: int) -> bytes:
    return b"\x11\x22\x33\x44"


# WebSocket frames.


def frames(data: bytes) -> None:
    """Chunks make no difference, and what goes on are frames: a second frame filter finds no fault.

    The first byte says which side sends and what rewrites, the second how many cuts follow.
    """
    flags, cuts, rest = data[0:1], data[1:2], data[2:]
    masked = bool(flags and flags[0] & 1)
    rewriter = (None, _everything(), _shipped(), None)[flags[0] >> 1 & 3 if flags else 0]
    count = min(cuts[0] & 0x0F if cuts else 0, len(rest))
    stream = rest[count:]
    places = sorted({0, *(byte * len(stream) // 255 for byte in rest[:count]), len(stream)})

    def frame_filter(rewriter: Program | None) -> FrameFilter:
        handling = MessageHandling(rewriter, MessageCounts())
        return FrameFilter(masked=masked, handling=handling, random=_key, limits=_LIMITS)

    whole, pieces = frame_filter(rewriter), frame_filter(rewriter)
    out = b"".join(whole.feed(stream))
    chunks = [stream[start:stop] for start, stop in pairwise(places)]
    assert b"".join(b"".join(pieces.feed(chunk)) for chunk in chunks) == out
    assert pieces.fault == whole.fault
    assert pieces.close_code == whole.close_code
    assert pieces.at_boundary == whole.at_boundary
    assert pieces.handling.counts.received == whole.handling.counts.received
    if rewriter is None:
        assert stream.startswith(out)
    again = frame_filter(None)
    again._max_frame = again._max_message = 1 << 40  # noqa: SLF001 (what is rewritten may have grown)
    assert b"".join(again.feed(out)) == out
    assert again.fault is None


# HTTP heads.


def heads(data: bytes) -> None:
    """A head that is written has as many lines as it has fields, whatever they carry.

    The lines of `data` are a target and fields; those behind an empty one are the server's.
    """
    first, _, rest = data.partition(b"\n")
    ours, _, theirs = rest.partition(b"\n\n")
    request, response = _fields(ours), _fields(theirs)
    try:
        path, authority = headers.origin_form(first)
        assert path[:1] in (b"/", b"*")
        assert authority is None or headers.is_authority(authority)
    except ClientError:
        path = b"/"
    shape = headers.shape_of(request)
    kept = headers.forwardable(request, shape)
    assert not {b"connection", b"transfer-encoding", b"upgrade"} & {n.lower() for n, _ in kept}
    assert not shape.values(request, b"") or (b"", shape.values(request, b"")[0]) in request
    for trusted in (False, True):
        downstream = headers.Downstream("192.0.2.1", "http", trusted)
        kept += headers.forwarding_fields(request, downstream, "id", b"host")
    told = traceparent.trace_of(request, lambda bits: (1 << bits) - 1)
    kept = traceparent.carried(kept, told)
    _check_lines(kept)
    _check_handshake(request, response)
    cors.allow_header(request, response, b"X-Client-Version")
    cors.error_fields(request, ("https://app.example.com",))
    cors.error_fields(request, ("*",))
    cookies.cookies_of(request, b"name")
    _SPELLED.may_be(path)
    cookies.without_cookie(request, b"name")
    credentials.carried(request)
    handshake.same_origin(request, ())
    for secret in _PLACES.query_tokens(path):
        changed = _PLACES.with_query_token(path, secret, "new")
        assert changed.partition(b"?")[0] == path.partition(b"?")[0]
    token = _PLACES.bearer(headers.values_of(request, b"authorization"))
    if token is not None:
        _PLACES.with_bearer(request, token)


def _fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    split = [line.partition(b":") for line in lines.split(b"\n") if line]
    return [(name, value) for name, _, value in split]


def _check_lines(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        head = headers.serialize(b"GET / HTTP/1.1", fields)
    except ValueError:
        return
    assert head.count(b"\n") == head.count(b"\r") == len(fields) + 2


def _check_handshake(
    request: list[tuple[bytes, bytes]], response: list[tuple[bytes, bytes]]
) -> None:
    handshake.is_upgrade("GET", request)
    assert handshake.may_open(request, ())
    handshake.may_open(request, ("https://app.example.com",))
    offered = offered_subprotocols(headers.values_of(request, handshake.PROTOCOL))
    try:
        chosen = handshake.check_switch(request, response, offered)
        assert chosen is None or chosen in offered
        answer = handshake.switch_response(response, chosen)
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1
    except UpstreamError:
        pass


# Versions and tokens.


@cache
def _rules() -> VersionRules:
    cohorts = Cohorts([Cohort("new", parse_range(">=2")), Cohort("old", parse_range("<2"))])
    return VersionRules(
        cohorts, default=Version.parse("1.0"), sources=make_sources(SOURCES, Versions())
    )


def versions(data: bytes) -> None:
    """A version is read the same again, is in one cohort, and its selector does not travel."""
    text = data.decode("latin-1")
    version = Version.parse(text)
    if version is not None:
        assert version == version  # noqa: PLR0124 (its own comparison)
        assert not version < version  # noqa: PLR0124
    with suppress(ValueError):
        parse_range(text)
    rules = _rules()
    header, _, query = data.partition(b"\n")
    offered = offered_subprotocols([query])
    cookies = [(b"Cookie", query), (b"Cookie", header)]
    for fields in ([(b"X-Client-Version", header), *cookies], cookies):
        parts = RequestParts(b"/x?" + query, fields, offered)
        received = Received(fields, headers.shape_of(fields), parts.target, offered, None)
        selection, stripping = rules.choose(received)
        assert selection.cohort in ("new", "old")
        for source in stripping:
            parts = source.strip(parts)
        for source in rules.sources:
            assert source.strip(parts) == parts
        assert not [each for each in parts.subprotocols if each.startswith(b"client-version.")]


def secrets(data: bytes) -> None:
    """Tokens and pairs are read or refused; what looks like a token is taken out of any text."""
    text = data.decode("utf-8", "surrogateescape")
    claims = jwt.read(text)
    if claims is not None:
        assert redaction.redact(f"token={text}") != f"token={text}"
    redaction.redact(text)
    assert _SECRET_PATHS.redact(text).count("/") == text.count("/")
    spelled = jwt.canonical(text)
    assert jwt.canonical(spelled) == spelled
    bodies.read_pair(data, _PLACES)
    bodies.is_token_error(data)
    kind, _, body = data.partition(b"\n")
    for place in (("refresh",), ("data", "refresh")):
        for written in ([], [(b"Content-Type", kind)]):
            request_bodies.is_in_query(data, place)
            with suppress(ClientError):
                if request_bodies.read_token(body, place, written) is not None:
                    told, changed = request_bodies.with_current(body, place, "new", written)
                    retyped = [(b"Content-Type", told)]
                    assert request_bodies.read_token(changed, place, retyped) == "new"
    for coding in (b"gzip", kind):
        assert len(content_coding.plain(body, [(b"Content-Encoding", coding)], _READ)) <= max(
            _READ, len(body)
        )
    shown = placeholders.redacted(data, frozenset({"kind"}))
    if shown is not None:
        json.loads(shown)


# Mappings.


def mappings(data: bytes) -> None:
    """The short way and the long one, the strict reading and the tolerant one agree.

    What comes out is JSON, or the message as it was.
    """
    _check_readings(data)
    for program in (_everything(), _shipped()):
        results = [_applied(program.apply, data), _applied(program.rewrite, data)]
        assert _values(results[0]) == _values(results[1])
        told = program.trace(data)
        assert (told.failure is not None) == isinstance(results[0], str)


def _check_readings(data: bytes) -> None:
    strict, tolerant = open_object(data), open_tolerantly(data)
    if strict is None:
        assert tolerant is None
    else:
        assert tolerant is not None
        assert list(map(_pair, strict.items())) == list(map(_pair, tolerant.items()))


def _pair(item: tuple[str, object]) -> tuple[str, bytes]:
    return item[0], bytes(item[1]).strip(b" \t\n\r")  # type: ignore[call-overload]


def _applied(apply: Target | Callable[[bytes], tuple[bytes, ...] | None], data: bytes) -> object:
    try:
        return apply(data)
    except MappingFailure as failure:
        return failure.rule


def _values(result: object) -> object:
    if not isinstance(result, tuple):
        return result
    return [_compact(message) for message in result]


def _compact(message: bytes) -> object:
    members = open_object(message)
    assert members is not None, "the output is no JSON object"
    return list(map(_pair, members.items()))


# What people write.


def configurations(data: bytes) -> None:
    """Any text is a valid configuration, or a list of problems with places."""

    def refuse(_: str) -> str:
        raise OSError("there is no such file")

    text = data.decode("utf-8", "replace")
    try:
        reading.read(text, "config.yaml", {}, {}, refuse)
    except ConfigError as error:
        _check_problems(error, "config.yaml")


def mapping_files(data: bytes) -> None:
    """Any text is a valid mapping, its examples run, or a list of problems with places."""
    try:
        catalog.build([parse(data.decode("utf-8", "replace"), "mapping.yaml")], {})
    except ConfigError as error:
        _check_problems(error, "mapping.yaml")


def _check_problems(error: ConfigError, file: str) -> None:
    assert error.problems
    for problem in error.problems:
        assert problem.file == file
        assert problem.message
        assert problem.line >= 0
        assert problem.column >= 0


TARGETS: Final[Mapping[str, Target]] = {
    target.__name__: target
    for target in (
        frames,
        heads,
        versions,
        secrets,
        mappings,
        configurations,
        mapping_files,
    )
}
