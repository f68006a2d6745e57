"""What the second act notices, in frames written by hand, and how it is drawn."""

from __future__ import annotations

import io

import pytest

from demo.screen import Screen, columns_of
from demo.second.board import Sight
from demo.second.judgement import (
    Cut,
    Seen,
    account_faults,
    arrival_faults,
    canary_faults,
    claim,
    same_faults,
    shadow_faults,
    shadow_least,
    step_faults,
)
from demo.second.picture import picture, told
from demo.second.script import CANARY, SHADOW, STEPS
from demo.second.users import Seat
from demo.verdict import Frame, read
from proxy.cli.styled import plain

AT = {step.title: index for index, step in enumerate(STEPS)}
OFF, IN_SHADOW, IN_CANARY, ON = AT["off"], AT[SHADOW], AT[CANARY], AT["on"]
UNDONE = AT[f"undo: {CANARY}"]


def frame(number: int, letter: str) -> Frame:
    kind = {"o": "agentDialogue", "N": "step", "x": "stride"}[letter]
    return read(f'{{"kind":"{kind}", "order":{number}}}'.encode())


def seen(so_far: str, *, name: str = "user 1", user: str = "", switched: bool = True) -> Seen:
    """A client that got this, as the live table has it; `?` stands before what the server said.

    In each step that comes first: `N|?ooo`; else there is none.
    """
    letters = so_far.replace("|", "").replace("?", "")
    cuts, count = [], 0
    for step in so_far.split("|"):
        before, marked, after = step.rpartition("?")
        cuts.append(Cut(count, count + len(before) if marked else None))
        count += len(before) + len(after)
    sent = [frame(number, "o") for number in range(len(letters))]
    got = [frame(number, letter) for number, letter in enumerate(letters)]
    return Seen(name, user or name, switched, sent, got, cuts)


IN = "?NN|N?ooo|?oo|o?NNN|?N|NN?N|?N"
OUT = "?N|NN?ooo|?o|o?oo|oo?N|NN?oo|o?N"


def all_faults(one: Seen) -> list[str]:
    return [fault for step in range(len(one.cuts)) for fault in step_faults(one, step)]


@pytest.mark.parametrize("so_far", [IN, OUT])
def test_frames_turn_once_between_asking_and_answer(so_far: str) -> None:
    assert len(STEPS) == so_far.count("|") + 1
    one = seen(so_far)
    assert all_faults(one) == []
    assert arrival_faults(one) == []


@pytest.mark.parametrize(
    ("so_far", "fault"),
    [
        # What was said after the answer has the dialect of before.
        ("?N|?No", "user 1, frame 2: new kinds, expected the server's bytes"),
        # And so has what came after that.
        ("?N|?oN", "user 1, frame 3: new kinds, expected the server's bytes"),
        # While it is turned: back again.
        ("?N|NoN?o", "user 1, frame 4: new kinds, expected the server's bytes"),
        ("?NoN", "user 1, frame 2: the server's bytes, expected new kinds"),
        # Off to shadow changes nothing that anybody gets, for no message.
        ("?N|?o|N?o", "user 1, frame 3: new kinds, expected the server's bytes"),
        # In the canary, and out of it for one message.
        ("?N|?o|?o|?NoN", "user 1, frame 5: the server's bytes, expected new kinds"),
        ("?N|oo", "user 1: what the server said then did not come in time"),
    ],
)
def test_a_frame_of_the_wrong_dialect_is_a_fault(so_far: str, fault: str) -> None:
    assert all_faults(seen(so_far)) == [fault]


def test_a_client_of_another_cohort_must_get_the_servers_bytes_all_the_time() -> None:
    assert all_faults(seen("?oo|?o|o?o", name="old client", switched=False)) == []
    assert all_faults(seen("?oN|?o", name="old client", switched=False)) == [
        "old client, frame 2: new kinds, expected the server's bytes"
    ]


def test_many_faults_of_one_client_are_the_first_three() -> None:
    assert all_faults(seen("?N|?oNNNNN"))[3:] == ["and 2 more"]


def test_a_frame_that_is_lost_too_many_or_changed_is_a_fault() -> None:
    one = seen("?NxN")
    assert arrival_faults(one) == ['user 1, frame 2: the kind is "stride", expected "step"']
    assert all_faults(one) == []
    assert arrival_faults(one._replace(got=one.got[:1], sent=one.sent[:2])) == [
        "user 1, frame 2: missing"
    ]
    assert arrival_faults(one._replace(got=one.got[::2], sent=one.sent[:1])) == [
        "user 1, frame 2: the server sent no such frame"
    ]
    other = one.got[0]._replace(payload=b"{}", content=())
    assert len(arrival_faults(one._replace(got=[other]))) == 3


USERS = [
    seen(IN, user="user 1"),
    seen(IN, name="user 1, again", user="user 1"),
    seen(OUT, name="user 2"),
    seen(OUT, name="user 3"),
    seen("?o|?o|?o|?o|?o|?o|?o", name="old client", switched=False),
]


def test_a_canary_is_by_user_and_counted_as_the_admin_api_counts_it() -> None:
    assert canary_faults(USERS, IN_CANARY, (1, 2)) == []
    # Two of few may look like one to a sketch, but one does not look like none.
    assert canary_faults(USERS, IN_CANARY, (1, 1)) == []
    assert canary_faults(USERS, IN_CANARY, (0, 3)) == [
        "the admin API counts 0 users who are in it, expected 1",
        "the admin API counts 3 users who are not in it, expected 2",
    ]
    assert len(canary_faults(USERS, IN_CANARY, (None, None))) == 2


def test_a_user_with_two_dialects_is_a_fault_of_a_canary() -> None:
    users = [USERS[0], USERS[1]._replace(got=seen(OUT).got, sent=seen(OUT).sent), *USERS[2:]]
    assert canary_faults(users, IN_CANARY, (1, 2)) == [
        "user 1 got the server's bytes with one login, and not with another"
    ]


def test_a_canary_that_comes_back_has_the_same_users() -> None:
    assert same_faults(USERS, UNDONE) == []
    moved = seen(OUT.replace("?oo|o?N", "?NN|N?N"), name="user 2")
    assert same_faults([*USERS[:2], moved, *USERS[3:]], UNDONE) == ["user 2 was moved"]
    assert all_faults(moved) == [
        f"user 2, frame {number}: new kinds, expected the server's bytes" for number in (16, 17)
    ]


def test_what_is_claimed_says_how_many_got_what() -> None:
    assert claim(USERS, OFF, 1) == "revision 1, off: all 3 users got the server's bytes"
    assert claim(USERS, IN_CANARY, 3) == "revision 3, canary 50%: 1 of 3 users got new frames"
    assert claim(USERS, UNDONE, 5).endswith("1 of 3 users got new frames, the same ones")


def test_a_shadow_counts_what_came_by_and_would_map_all_of_it() -> None:
    # So far two with each login of the first user, and one each with those of the others.
    assert shadow_least([seen("?N|?o|o?oo"), seen("?N|?o|?o"), seen("?N|?o|o")], IN_SHADOW) == 3
    # In the end: at most `oo|o` twice, and `o|o` twice.
    for total in (6, 7, 10):
        assert shadow_faults(USERS, IN_SHADOW, {"mapped": total - 1, "skipped": 1}, 6) == []
    for total in (5, 11):
        assert shadow_faults(USERS, IN_SHADOW, {"mapped": total}, 6) == [
            f"{total} messages are counted, expected 6 to 10"
        ]
    assert shadow_faults(USERS, IN_SHADOW, {"mapped": 5, "failed": 1}, 6) == [
        "1 would have been failed, expected 0"
    ]
    assert shadow_faults(USERS, IN_SHADOW, {"passed": 6}, 6) == [
        "6 would have been passed, expected 0",
        "none would have been mapped",
    ]


def test_the_metrics_must_count_each_frame_once() -> None:
    users = [seen("?NNN|?oo"), seen("?o|?o", name="old client", switched=False)]
    before = {("old-to-new", "to_client", "mapped"): 10, ("none", "to_server", "passed"): 4}
    after = {
        ("old-to-new", "to_client", "mapped"): 13,
        ("none", "to_client", "passed"): 2,
        ("new-to-old", "to_client", "passed"): 2,
        ("none", "to_server", "passed"): 9,
    }
    assert account_faults(users, before, after) == []
    after["none", "to_client", "passed"] = 1
    assert account_faults(users, before, after) == ["all others to_client together: 3, expected 4"]
    after["old-to-new", "to_client", "mapped"] = 12
    assert len(account_faults(users, before, after)) == 2


def seat(so_far: str) -> Seat:
    one = Seat("user 1")
    written = seen(so_far)
    one.client.frames += written.got
    one.direct.frames += written.sent
    one.cuts += written.cuts
    return one


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_live_table_fits_and_has_a_letter_for_each_frame(width: int) -> None:
    screen = Screen(io.StringIO(), {}, width=width)
    seats = [seat(IN), seat("?N|" + "o" * 300), Seat("user 3")]
    sight = Sight("canary 50%", 3, 2, 1, 2)
    lines = picture(screen, seats, "modern/old-to-new", sight, 3, {"mapped": 3, "failed": 1})
    texts = [plain(line) for line in lines]
    assert max(map(columns_of, texts)) <= width
    assert texts[1].startswith("  modern/old-to-new  canary 50%  revision 3  sockets")
    if width > 60:
        assert texts[1].endswith("sockets behind: 2")
        assert texts[2] == (
            "  users in it: 1, not in it: 2; in shadow would have been: 3 mapped, 1 failed"
        )
        assert texts[5] == "  user 1  2.1.0    new   step           NN|Nooo|oo|oNNN|N|NNN|N"
    assert texts[6].endswith("ooooo")
    assert "…" in texts[6]
    assert texts[7].split() == ["user", "3", "2.1.0", "-", "nothing"]


def test_what_a_server_calls_a_kind_and_what_a_reason_says_act_on_no_terminal() -> None:
    one = Seat("user 1")
    one.client.frames.append(read(b'{"kind": "\\u001b[2J"}'))
    written = io.StringIO()
    screen = Screen(written, {}, width=80)
    for line in picture(screen, [one], "switch", Sight("on", 0, 0, None, None), 0, {}):
        screen.line(*line)
    told(screen, 1, "off", "why\x1b[2J" + "x" * 100)
    assert "\x1b" not in written.getvalue()
    assert max(map(columns_of, written.getvalue().splitlines())) <= 80
