"""Lines of the audit, and what is found of those that were changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.tokens.audit_chain import (
    BEGINS,
    LOST,
    MAX_LINE,
    MISSING,
    MOST_HEADS,
    MOST_VALUES,
    START,
    TORN,
    UNATTESTED,
    AuditKeys,
    Entry,
    FileBegins,
    Head,
    Link,
    has_head,
    heads_at,
    read_begin,
    read_head,
    read_line,
    value_name,
    value_names,
    with_head,
    written_line,
)
from proxy.tokens.audit_verdict import MOST, AuditCheck, Verdict

OLD, NEW, OTHER = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
KEYS = AuditKeys([NEW, OLD])
AUDIT = "0123456789abcdef"
TIME = "2027-01-31T00:00:00.000Z"


def entry(event: str = "reloaded", **details: object) -> Entry:
    return Entry(TIME, event, "ci (token)", "operator", details)


def begin(file: int, previous: bytes, oldest: int = 1, audit: str = AUDIT) -> Entry:
    return entry(BEGINS, **FileBegins(file, audit, previous, oldest).details())


def appended(lines: list[bytes], entries: Iterable[Entry], link: Link, keys: AuditKeys) -> Link:
    for each in entries:
        line, link = written_line(each, link, keys)
        lines.append(line)
    return link


def files(
    *sizes: int, keys: Sequence[AuditKeys] = (KEYS,), oldest: int = 1
) -> tuple[list[list[bytes]], list[Link]]:
    """Files of so many lines, their beginnings counted, and all links; keys take turns by files."""
    made: list[list[bytes]] = []
    links = [START]
    for number, size in enumerate(sizes, 1):
        using = keys[(number - 1) % len(keys)]
        said = [begin(number, links[-1].chain, min(oldest, number))]
        said += [entry(count=n, file=number) for n in range(size - 1)]
        made.append([])
        for each in said:
            links.append(appended(made[-1], [each], links[-1], using))
    return made, links


def verdict(
    made: Iterable[Sequence[bytes]], keys: AuditKeys = KEYS, head: Head | None = None
) -> Verdict:
    check = AuditCheck(keys, head)
    for number, lines in enumerate(made, 1):
        check.file(f"file {number}")
        for line in lines:
            check.line(line)
    return check.end()


def told(found: Verdict) -> list[str]:
    return [each.what for each in found.faults]


def head_at(link: Link, file: int = 1) -> Head:
    return Head(AUDIT, file, link)


def test_what_was_written_is_read() -> None:
    line, link = written_line(entry(names=["a"], none=None), START, KEYS)
    read = read_line(line)
    assert read is not None
    assert (read.sequence, read.link) == (1, link)
    assert read.entry == entry(names=["a"], none=None)
    assert read.key == KEYS.current
    assert KEYS.attest(read) is True
    assert read_line(line.removesuffix(b"\n")) == read
    assert json.loads(line)["role"] == "operator"


def test_files_that_nobody_has_touched_are_intact() -> None:
    made, links = files(4, 3, 2)
    found = verdict(made, head=head_at(links[-1], 3))
    assert found.intact
    assert (found.lines, found.files, found.first, found.last) == (9, 3, 1, links[-1])
    assert (found.audit, found.notes) == (AUDIT, [])


@given(st.data())
def test_a_changed_byte_is_found(data: st.DataObject) -> None:
    made, _ = files(4, 3)
    lines = made[data.draw(st.integers(0, 1))]
    # Of the last lines the end itself is what attests; all others have one after them.
    index = data.draw(st.integers(0, len(lines) - 1))
    line = bytearray(lines[index])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    # Whether the file's very last line break is there says nothing of any line.
    assume(not (lines is made[-1] and index == len(lines) - 1 and at == len(line) - 1))
    lines[index] = bytes(line)
    assert not verdict(_split(made)).intact


@given(st.data())
def test_lines_that_were_removed_are_found(data: st.DataObject) -> None:
    made, links = files(4, 3, 3)
    every = [(number, line) for number, lines in enumerate(made) for line in lines]
    first = data.draw(st.integers(0, len(every) - 1))
    last = data.draw(st.integers(first + 1, len(every)))
    left = every[:first] + every[last:]
    changed = [[line for n, line in left if n == number] for number in range(3)]
    found = verdict([lines for lines in changed if lines], head=head_at(links[-1], 3))
    assert not found.intact


@given(st.data())
def test_lines_that_changed_places_are_found(data: st.DataObject) -> None:
    made, _ = files(5, 5)
    places = [(n, i) for n, lines in enumerate(made) for i in range(len(lines))]
    (n, i), (m, j) = data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=2))
    assume((n, i) != (m, j))
    made[n][i], made[m][j] = made[m][j], made[n][i]
    assert not verdict(made).intact


@given(st.data())
def test_a_line_that_was_put_in_is_found(data: st.DataObject) -> None:
    made, links = files(5, 3)
    at = data.draw(st.integers(0, 5))
    source = data.draw(st.sampled_from(("copied", "of no key", "of another key", "no line")))
    line = {
        "copied": made[0][2],
        "of no key": written_line(entry(), links[at], KEYS)[0].replace(b'"mac":"', b'"mac":"0', 1),
        "of another key": written_line(entry(), links[at], AuditKeys([OTHER]))[0],
        "no line": b"nothing\n",
    }[source]
    made[0].insert(at, line)
    assert not verdict(made).intact


@given(st.integers(0, 6), st.integers(0, 100))
def test_an_end_that_was_cut_off_is_found_by_the_head(left: int, bytes_of_the_next: int) -> None:
    made, links = files(7)
    cut = made[0][:left] + [made[0][left][:bytes_of_the_next]] * bool(bytes_of_the_next)
    found = verdict([cut], head=head_at(links[-1]))
    assert any("the end was cut off" in each for each in told(found))


@given(st.integers(1, 6), st.sampled_from((OTHER, NEW)))
def test_an_end_that_was_written_anew_is_found(at: int, key: str) -> None:
    made, links = files(7)
    forged = made[0][:at]
    # With the right key only by what the store knows.
    link = appended(forged, [entry(forged=n) for n in range(7 - at)], links[at], AuditKeys([key]))
    assert link.sequence == 7
    found = verdict([forged], head=head_at(links[-1]))
    assert "line 7 is another one than the one that the store knows of" in told(found)
    assert verdict([forged]).intact is (key == NEW)


def test_words_say_which_line_and_what() -> None:
    made, _ = files(6, 3)
    altered = [[*made[0][:3], made[0][3].replace(b"operator", b"viewer"), *made[0][4:]], made[1]]
    (fault,) = verdict(altered).faults
    assert (fault.file, fault.line, fault.sequence) == ("file 1", 4, 4)
    assert fault.what == "the line was altered, or put in place of another one"
    (fault,) = verdict([made[0][:2] + made[0][4:], made[1]]).faults
    assert (fault.line, fault.what) == (3, "lines are missing before it: 3 to 4")
    (fault,) = verdict([made[0][:5], made[1]]).faults
    assert (fault.file, fault.line) == ("file 2", 1)
    assert fault.what == "lines are missing before it: 6"
    assert told(verdict([made[0][:3] + made[0][2:], made[1]])) == [
        "the line is out of order, or there twice: it comes after line 3"
    ]


def test_files_that_are_missing_are_told() -> None:
    made, links = files(3, 3, 3, 3)
    assert told(verdict([made[0], made[3]])) == ["the files before this one are missing: 2 to 3"]
    assert told(verdict(made[2:])) == ["the oldest files are missing: 1 to 2"]
    found = verdict(made[:3], head=head_at(links[-1], 4))
    assert told(found) == [
        "the end was cut off: the store knows of lines that are missing: 10 to 12"
    ]
    assert found.faults[0].file == "file 3"


def test_files_that_segue_has_removed_are_not_missing() -> None:
    lines: list[bytes] = []
    link = appended(lines, [begin(3, bytes(32), oldest=3), entry()], Link(8, bytes(32)), KEYS)
    found = verdict([lines])
    assert found.intact
    assert (found.first, found.last) == (9, link)
    found = verdict([lines], head=head_at(Link(5, bytes(32))))
    assert found.intact
    assert [each.what for each in found.notes] == [
        "line 5, of which the store knows, is not among the files",
        (
            "the store knows of lines up to 5, of 10: had the lines after it been cut off, nothing"
            " would say so"
        ),
    ]


def test_files_in_the_wrong_places_are_told() -> None:
    made, links = files(3, 3)
    assert "the file has the number of one before it" in told(verdict([*made, made[1]]))
    assert told(verdict([made[0][1:]]))[0] == ("the file does not begin as one of the audit does")
    other: list[bytes] = []
    appended(other, [begin(3, links[-1].chain, audit="f" * 16)], links[-1], KEYS)
    assert told(verdict([*made, other])) == ["the file is of another chain"]
    inner: list[bytes] = list(made[1])
    appended(inner, [begin(3, links[-1].chain)], links[-1], KEYS)
    assert told(verdict([made[0], inner])) == ["the beginning of a file stands within one"]
    late: list[bytes] = []
    appended(late, [begin(1, bytes(32))], Link(4, bytes(32)), KEYS)
    assert told(verdict([late])) == ["the first file of all does not begin with line 1"]


def test_a_chain_goes_on_over_a_rotation_of_keys() -> None:
    old, new = AuditKeys([OLD]), AuditKeys([NEW])
    made, links = files(4, 3, keys=(old, new))
    # What is of the old key is attested by the first line of the new one, when the old one is gone.
    found = verdict(made, new, head_at(links[-1], 2))
    assert found.intact
    made[0][1] = made[0][1].replace(b"operator", b"viewer")
    assert told(verdict(made, new)) == ["the line was altered, or put in place of another one"]


def test_lines_that_no_known_key_attests_are_told() -> None:
    old = AuditKeys([OLD])
    made, links = files(3, 3, keys=(AuditKeys([NEW]), old))
    assert told(verdict(made, AuditKeys([NEW]))) == [
        "attested by no key that is configured: 4 to 6; was the old key taken away?"
    ]
    assert verdict(made, KEYS).intact
    # Segue did not know that key either when it went on: that it did so attests nothing.
    going_on = [entry(UNATTESTED, line=6, key=old.current), entry()]
    appended(made[1], going_on, links[-1], AuditKeys([NEW]))
    assert told(verdict(made, AuditKeys([NEW]))) == [
        "attested by no key that is configured: 4 to 6; was the old key taken away?"
    ]
    assert verdict(made, KEYS).intact


def test_the_first_line_of_a_file_does_not_attest_what_the_next_one_denies() -> None:
    old, new = AuditKeys([OLD]), AuditKeys([NEW])
    made, links = files(3, keys=(old,))
    second: list[bytes] = []
    said = [begin(2, links[-1].chain), entry(UNATTESTED, line=3, key=old.current), entry()]
    appended(second, said, links[-1], new)
    assert told(verdict([made[0], second], new)) == [
        "attested by no key that is configured: 1 to 3; was the old key taken away?"
    ]


def torn(fragment: bytes) -> Entry:
    import hashlib  # noqa: PLC0415

    return entry(TORN, bytes=len(fragment), sha256=hashlib.sha256(fragment).hexdigest())


def test_half_a_line_that_a_crash_has_left_is_no_fault() -> None:
    made, links = files(3)
    fragment = written_line(entry(), links[-1], KEYS)[0][:40]
    found = verdict([[*made[0], fragment]])
    assert found.intact
    assert [each.what for each in found.notes] == [
        "half a line of 40 bytes, which a crash may have left"
    ]
    mended = [*made[0], fragment + b"\n"]
    appended(mended, [torn(fragment), entry()], links[-1], KEYS)
    found = verdict([mended])
    assert found.intact
    assert [each.what for each in found.notes] == [
        "half a line of 40 bytes, which a crash has left"
    ]


def test_half_a_line_before_another_file_is_explained_there() -> None:
    made, links = files(3)
    fragment = b'{"seq":4,"ti'
    second: list[bytes] = []
    appended(second, [begin(2, links[-1].chain), torn(fragment), entry()], links[-1], KEYS)
    assert verdict([[*made[0], fragment], second]).intact


@pytest.mark.parametrize(
    "left",
    [[b"other bytes\n"], [b"half", b"a line\n"], [b"half a\n", b"line\n"], [b"half a line\n"]],
)
def test_bytes_that_are_not_explained_are_a_fault(left: list[bytes]) -> None:
    made, links = files(3)
    explained: list[bytes] = []
    appended(explained, [torn(b"half a line") if len(left) > 1 else entry()], links[-1], KEYS)
    found = verdict([[*made[0], *left, *explained]])
    assert [each.endswith("bytes that are no lines of the audit") for each in told(found)] == [True]
    found = verdict([[*made[0], *left]])
    assert [each.endswith("bytes that are no lines of the audit") for each in told(found)] == [True]


def test_what_the_audit_says_of_itself_is_told() -> None:
    made, links = files(2)
    said = [entry(LOST, lines=7), entry(MISSING, line=9), entry(MISSING, line=0)]
    appended(made[0], said, links[-1], KEYS)
    found = verdict(made)
    assert [each.what for each in found.notes] == ["7 lines before it could not be written"]
    assert told(found) == [
        f"line 9 was missing, or another one: found by Segue itself at {TIME}",
        (
            "what the store knew of the audit was altered, or of an unknown key: found by Segue"
            f" itself at {TIME}"
        ),
    ]


def test_no_more_is_kept_than_anybody_reads() -> None:
    made, links = files(2)
    appended(made[0], [entry(LOST, lines=1)] * (MOST + 1), links[-1], KEYS)
    found = verdict(made)
    assert (len(found.notes), found.more) == (MOST, 1)
    found = verdict([[made[0][0]] * (MOST + 2)])
    assert (len(found.faults), found.more > 0) == (MOST, True)


def test_details_that_are_too_long_leave_their_digest() -> None:
    line, link = written_line(entry(text="x" * MAX_LINE), START, KEYS)
    assert len(line) < 1000
    read = read_line(line)
    assert read is not None
    assert set(read.entry.details) == {"left_out"}
    assert read.link == link
    # One that just fits is whole.
    room = MAX_LINE - len(written_line(entry(text=""), START, KEYS)[0])
    for size, whole in ((room, True), (room + 1, False)):
        line, _ = written_line(entry(text="x" * size), START, KEYS)
        assert (len(line) == MAX_LINE) is whole


@pytest.mark.parametrize(
    "said",
    [
        b"[1]",
        b"not JSON",
        b'{"seq":0,"time":"","event":"","author":"","role":"","details":{}}',
        b'{"seq":1,"time":"","event":"","author":"","role":""}',
        b'{"seq":"1","time":"","event":"","author":"","role":"","details":{}}',
        b"[" * 100_000 + b"]",
    ],
)
def test_what_is_no_line_is_none(said: bytes) -> None:
    end = f',"key":"{"0" * 16}","chain":"{"0" * 64}","mac":"{"0" * 64}"}}'.encode()
    assert read_line(said[:-1] + end) is None
    assert read_line(said) is None


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    read_line(data)
    read_head(data, AUDIT, KEYS)
    with_head(data, head_at(START), KEYS)
    verdict([[data, data]])


def test_names_move_no_cursor() -> None:
    line, _ = written_line(entry(name="\x1b[2J\u202e\ud800"), START, KEYS)
    assert line.isascii()
    assert b"\x1b" not in line
    read = read_line(line)
    assert read is not None
    assert read.entry.details == {"name": "\x1b[2J\u202e\ud800"}


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"file": 0, "audit": AUDIT, "previous": "0" * 64, "oldest": 0},
        {"file": 1, "audit": "x", "previous": "0" * 64, "oldest": 1},
        {"file": 1, "audit": AUDIT, "previous": "0", "oldest": 1},
        {"file": 1, "audit": AUDIT, "previous": "0" * 64, "oldest": 2},
    ],
)
def test_what_is_no_beginning_is_none(details: dict[str, object]) -> None:
    line = read_line(written_line(entry(BEGINS, **details), START, KEYS)[0])
    assert read_begin(line) is None
    assert read_begin(read_line(written_line(entry(), START, KEYS)[0])) is None
    assert read_begin(None) is None


def test_heads_are_attested() -> None:
    head = head_at(Link(7, bytes(range(32))), 3)
    value = with_head(None, head, AuditKeys([OLD]))
    assert read_head(value, AUDIT, KEYS) == head
    assert read_head(value, AUDIT, AuditKeys([NEW])) is None
    assert read_head(value.replace(b'"seq":7', b'"seq":6'), AUDIT, KEYS) is None
    assert read_head(value, "f" * 16, KEYS) is None
    assert (has_head(value, AUDIT), has_head(value, "f" * 16)) == (True, False)
    # Of another chain it says nothing, and nobody else's can be passed off as its own.
    swapped = value.replace(AUDIT.encode(), b"f" * 16)
    assert read_head(swapped, "f" * 16, KEYS) is None


@pytest.mark.parametrize(
    "value", [b"[]", b"1", b"not JSON", b"[" * 100_000, b'{"0123456789abcdef":{"seq":1}}']
)
def test_what_is_no_head_is_told_from_none(value: bytes) -> None:
    assert read_head(value, AUDIT, KEYS) is None
    assert has_head(value, AUDIT)
    assert not has_head(None, AUDIT)
    assert read_head(None, AUDIT, KEYS) is None
    again = with_head(value, head_at(Link(1, bytes(32))), KEYS)
    assert read_head(again, AUDIT, KEYS) == head_at(Link(1, bytes(32)))


def test_chains_share_a_value_and_the_oldest_make_way() -> None:
    value = None
    names = [f"01{n:014x}" for n in range(MOST_HEADS + 1)]
    for name in names:
        assert value_name(name) == value_name(AUDIT) == "audit:01"
        value = with_head(
            value, Head(name, 999_999, Link(2**53, bytes([255] * 32)), "f" * 16), KEYS
        )
    assert value is not None
    assert len(value) <= 16 * 1024
    assert not has_head(value, names[0])
    assert read_head(value, names[-1], KEYS) is not None
    # Whoever is written again is the newest.
    value = with_head(value, head_at(START)._replace(audit=names[1]), KEYS)
    value = with_head(value, head_at(START), KEYS)
    assert has_head(value, names[1])
    assert not has_head(value, names[2])


def test_heads_are_found_by_the_place_of_their_files_where_a_key_attests_them() -> None:
    assert value_names()[0] == "audit:00"
    assert len(set(value_names())) == MOST_VALUES
    assert value_name(AUDIT) in value_names()
    here, there = head_at(START)._replace(place="here"), Head("01" * 8, 1, START, "there")
    foreign = Head("01" + "f" * 14, 1, START, "here")
    value = with_head(with_head(None, here, KEYS), there, KEYS)
    value = with_head(value, foreign, AuditKeys([OTHER]))
    assert heads_at(value, "here", KEYS) == [here]
    assert heads_at(value, "there", KEYS) == [there]
    assert heads_at(value, "", KEYS) == []
    assert heads_at(None, "here", KEYS) == heads_at(b"[]", "here", KEYS) == []
    # Whoever moves a head to another place has no MAC for it.
    moved = value.replace(b'"there"', b'"here"')
    assert heads_at(moved, "here", KEYS) == [here]


def test_keys_are_needed_and_do_not_show() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        AuditKeys([])
    with pytest.raises(ValueError, match="expected a key"):
        AuditKeys(["no key"])
    # The standard alphabet is the same key.
    assert AuditKeys([NEW.translate(str.maketrans("-_", "+/"))]).current == KEYS.current
    line, _ = written_line(entry(), START, KEYS)
    assert bytes([2] * 8).hex() not in line.decode()


def _split(made: Iterable[Sequence[bytes]]) -> list[list[bytes]]:
    """As a file is read: a changed line break joins lines, and a new one parts them."""
    return [b"".join(lines).splitlines(keepends=True) for lines in _broken(made)]


def _broken(made: Iterable[Sequence[bytes]]) -> Iterable[Sequence[bytes]]:
    # `splitlines` of bytes also breaks at carriage returns, which files of lines do not.
    for lines in made:
        yield [line.replace(b"\r", b"\x0b") for line in lines]
