"""`segue switch`, `segue history`, `segue undo`: what they understand, and how they print."""

from __future__ import annotations

import argparse
import io
import json
import pwd
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.shadow import ShadowFailure, ShadowOutcomes, ShadowRule
from proxy.admin.switch_views import (
    Changed,
    DryRun,
    ExceptionView,
    NotKept,
    RevisionView,
    SocketsOnRevision,
    StateView,
    SwitchesView,
    SwitchView,
    TermView,
    UsersView,
)
from proxy.cli import changes, history, switch_arguments, switch_lists, switch_set
from proxy.cli.main import main, parser
from proxy.cli.screen import Screen
from proxy.cli.styled import Line, Span, plain
from proxy.cli.terminal import when
from proxy.switching.changes import (
    changed,
)
from proxy.switching.refusal import ChangeRefused
from proxy.switching.setting import OFF, ON, WHOLE, Mode, Setting
from proxy.switching.switch_changes import (
    SetSwitch,
)
from proxy.switching.table import ALL_ON, EMPTY, First, OpenSockets, SwitchName, Term
from proxy.versions.version import parse_range
from tests.support.configured import read
from tests.support.screens import Terminal, uncoloured

NOW = 1_000_000.0
NO_TERM = TermView(owner="", until=None, restore=False, overdue=False)
HOSTILE = "a\nb: c \x1b[2J\u2028# \u202e"


def shown(
    name: str = "modern/old-to-new",
    state: str = "on",
    *,
    percent: float | None = None,
    set_to: str | None = None,
    configured: str = "on",
    exceptions: tuple[ExceptionView, ...] = (),
    term: TermView = NO_TERM,
    users: UsersView | None = None,
    **more: Any,
) -> SwitchView:
    written = str(switch_lists.setting(Mode(state), percent)) if set_to is None else set_to
    return SwitchView(
        switch=name,
        state=Mode(state),
        percent=percent,
        set_to=written,
        configured=configured,
        differs=written != configured or bool(exceptions),
        revision=more.get("revision", 0),
        exceptions=list(exceptions),
        term=term,
        users=users,
        sockets_behind=more.get("behind", 0),
    )


def excepted(name: str, versions: str, state: str, term: TermView = NO_TERM) -> ExceptionView:
    return ExceptionView(
        name=name, versions=versions, state=Mode(state), percent=None, term=term, users=None
    )


def listed(*switches: SwitchView, **more: Any) -> SwitchesView:
    usual: dict[str, Any] = {
        "revision": 7,
        "stored": 7,
        "all_off": False,
        "authority": "live",
        "kept": True,
        "store": "up",
        "away_since": None,
        "unapplied": [],
        "stands_on": "",
        "orphans": [],
        "switches": list(switches),
        "sockets": [],
    }
    return SwitchesView.model_validate({**usual, **more})


def table(view: SwitchesView) -> str:
    stream = io.StringIO()
    rows = list(switch_lists.rows(view, NOW))
    Screen(stream, {}).table(switch_lists.columns(view), rows)
    return stream.getvalue()


def texts(lines: Any) -> list[str]:
    return [plain(line) for line in lines]


def revised(kind: str = "set", **more: Any) -> RevisionView:
    usual: dict[str, Any] = {
        "number": 8,
        "at": NOW,
        "author": "ann",
        "role": "operator",
        "reason": "why",
        "kind": kind,
        "scope": sorted({*more.get("before", {}), *more.get("after", {})}),
        "open_sockets": "keep",
        "before": {},
        "after": {},
        "all_off": False,
        "configuration": "abc",
    }
    return RevisionView.model_validate({**usual, **more})


def was(setting: str | None, *exceptions: str) -> dict[str, Any]:
    return {
        "setting": setting,
        "exceptions": list(exceptions),
        "owner": "",
        "until": None,
        "restore": False,
    }


# Command lines.

SET = ["switch", "set", "modern/old-to-new"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([*SET, "of", "--reason", "x"], "'of' is none of off, shadow, canary, on; did you mean"),
        ([*SET, "canary", "--reason", "x"], "say how many: canary --percent 10"),
        ([*SET, "on", "--percent", "1", "--reason", "x"], "--percent is of a canary, not of 'on'"),
        ([*SET, "canary", "--percent", "101", "--reason", "x"], "expected a number from 0 to 100"),
        ([*SET, "canary", "--percent", "1.234", "--reason", "x"], "at most two decimals"),
        ([*SET, "canary", "--percent", "nan", "--reason", "x"], "expected a number from 0 to 100"),
        ([*SET, "canary", "--percent", "ten", "--reason", "x"], "not 'ten'"),
        ([*SET, "off"], "say why: --reason TEXT"),
        ([*SET, "off", "--reason", " "], "expected some words on why"),
        ([*SET, "off", "--reason", "x" * 501], "at most 500 characters"),
        ([*SET, "off", "--reason", "x", "--versions", "2.1.3", "--name", "a"], "has to begin with"),
        ([*SET, "off", "--reason", "x", "--versions", "==2"], "say what the exception is called"),
        ([*SET, "off", "--reason", "x", "--versions", ">" * 257, "--name", "a"], "256 characters"),
        ([*SET, "off", "--reason", "x", "--versions", "==2", "--name", "A b"], "small letters"),
        ([*SET, "off", "--reason", "x", "--owner", "x" * 257], "at most 256 characters"),
        ([*SET, "off", "--reason", "x", "--for", "soon"], "argument --for: "),
        ([*SET, "off", "--reason", "x", "--for", "0s"], "expected a time above 0"),
        ([*SET, "off", "--reason", "x", "--until", "9000h"], "a year at most"),
        ([*SET, "off", "--reason", "x", "--for", "1m", "--until", "1m"], "not allowed with"),
        ([*SET, "off", "--reason", "x", "--open-sockets", "kep"], "did you mean 'keep'?"),
        ([*SET, "off", "--reason", "x", "--if-revision", "-1"], "expected a whole number"),
        (["switch", "set", "modern", "off"], "expected a cohort and a mapping"),
        ([*SET, "off", "--reason", "x", "--wait", "0"], "expected a number of seconds"),
        (["switch", "drop", "modern/a", "--reason", "x"], "required: --name"),
        (["switch", "drop", "modern/a", "--name", "b"], "required: --reason"),
        (["switch", "all", "off"], "required: --reason"),
        (["switch", "all", "of", "--reason", "x"], "unknown action 'of'; did you mean 'off'?"),
        (["history", "--limit", "0"], "expected a whole number from 1 to 1000"),
        (["undo"], "say why: --reason"),
        (["undo", "--reason", "x", "--to", "one"], "expected a whole number"),
    ],
)
def test_wrong_words_are_told(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_right_words_are_understood() -> None:
    line = [*SET, "canary", "--percent", "2.5%", "--for", "10m", "--versions", ">=2,<3"]
    options = parser().parse_args([*line, "--name", "two", "--if-revision", "7"])
    assert options.switch == SwitchName("modern", "old-to-new")
    assert (options.percent, options.term, options.until) == (2.5, 600, None)
    assert (options.versions, options.name, options.if_revision) == (">=2,<3", "two", 7)


# Lists.


def test_table_has_a_row_for_each_switch_and_exception() -> None:
    term = TermView(owner="ann", until=NOW + 90, restore=True, overdue=False)
    late = TermView(owner="ben", until=NOW - 3600, restore=False, overdue=True)
    later = TermView(owner="eve", until=NOW + 7200, restore=False, overdue=False)
    view = listed(
        shown("legacy/new-to-old", term=later),
        shown(
            state="canary",
            percent=10,
            users=UsersView(inside=120, outside=1060, error=0.03),
            term=term,
            exceptions=(excepted("broken", "==2.1.3", "off", late),),
            revision=7,
            behind=3,
        ),
    )
    header, legacy, modern, exception = table(view).splitlines()
    titles = ["SWITCH", "STATE", "CONFIGURED", "USERS", "OWNER", "UNTIL", "BEHIND", "REVISION"]
    assert header.split() == titles
    assert " ".join(legacy.split()) == "legacy/new-to-old on - - eve in 2h 0m - -"
    assert "~120 of ~1,180 users" in modern
    assert "in 1m 30s, then back" in modern
    assert modern.split()[:4] == ["modern/old-to-new", "canary", "10%", "on"]
    assert modern.split()[-2:] == ["3", "7"]
    assert exception.startswith("  broken (==2.1.3)  off")
    assert "overdue for 1h 0m" in exception


@pytest.mark.parametrize(
    ("inside", "outside", "text"),
    [
        (0, 0, "nobody is in it"),
        (0, 1180, "nobody is in it (of ~1,180 users)"),
        (5, 0, "~5 of ~5 users"),
    ],
)
def test_users_of_a_canary_are_told(inside: int, outside: int, text: str) -> None:
    seen = UsersView(inside=inside, outside=outside, error=0.03)
    assert switch_lists.users(seen, Mode.CANARY) == text


def test_a_canary_that_has_seen_nobody_says_so_and_no_other_state_does() -> None:
    assert switch_lists.users(None, Mode.CANARY) == "nobody is in it"
    assert switch_lists.users(None, Mode.ON) == "-"


def test_table_says_what_is_set_while_everything_is_off() -> None:
    view = listed(
        shown(state="off", set_to="canary 5%", exceptions=(excepted("a", "==2", "on"),)),
        all_off=True,
    )
    header, row, exception = table(view).splitlines()
    assert header.split()[:4] == ["SWITCH", "STATE", "SET", "TO"]
    assert row.split()[:4] == ["modern/old-to-new", "off", "canary", "5%"]
    assert exception.split()[:4] == ["a", "(==2)", "off", "on"]
    assert "everything is off; segue switch all restore" in texts(switch_lists.notes(view, NOW))[0]


def test_table_says_where_only_exceptions_differ_from_the_configuration() -> None:
    view = listed(shown(exceptions=(excepted("a", "==2", "off"),)))
    assert "other exceptions" in table(view)
    assert "CONFIGURED" not in table(listed(shown()))


def test_notes_say_what_is_not_as_it_should_be() -> None:
    assert texts(switch_lists.notes(listed(), NOW)) == []
    view = listed(
        stored=9,
        kept=False,
        store="refused",
        away_since=NOW - 61,
        unapplied=["modern/gone"],
        orphans=["legacy/gone"],
        authority="file",
    )
    told = "\n".join(texts(switch_lists.notes(view, NOW)))
    for part in (
        "away for 1m 1s (refused)",
        "in memory alone",
        "revision 7 is in force here, and 9 is the newest",
        "set in the store: modern/gone",
        "no cohort names the mapping any more: legacy/gone",
        "the configuration file is the authority",
    ):
        assert part in told


def test_a_revision_of_another_configuration_is_told_as_that() -> None:
    for unapplied, more in ([], ""), (["modern/one"], ", and turns modern/one"):
        view = listed(stored=9, stands_on="0123456789ab", unapplied=unapplied)
        told = "\n".join(texts(switch_lists.notes(view, NOW)))
        assert (
            "revision 9 is of the configuration 0123456789ab, which does not serve here"
            f"{more}: it is not applied"
        ) in told
        assert "not in the configuration here" not in told


def test_nothing_that_somebody_wrote_acts_on_a_terminal() -> None:
    term = TermView(owner=HOSTILE, until=None, restore=False, overdue=False)
    view = listed(
        shown(term=term, exceptions=(excepted("a", ">=2,\u2028<3", "off", term),)),
        store=HOSTILE,
        away_since=NOW,
        orphans=[HOSTILE],
    )
    written = table(view) + "\n".join(texts(switch_lists.notes(view, NOW)))
    assert len(written.splitlines()) == 3 + len(list(switch_lists.notes(view, NOW)))
    assert written.replace("\n", "").isprintable()


# What is to be committed.


def test_export_put_into_the_configuration_gives_the_same_states() -> None:
    term = TermView(owner=HOSTILE, until=NOW, restore=True, overdue=True)
    view = listed(
        shown(state="canary", percent=2.5, term=term),
        shown(
            "legacy/new-to-old",
            state="off",
            set_to="on",
            exceptions=(
                excepted("one", "==1.1.3", "off", term),
                excepted("two", ">=1.1,\u2028<1.2", "on"),
            ),
        ),
        all_off=True,
    )
    text = "\n".join(switch_lists.exported(view))
    cohorts = "cohorts:\n"
    for name, versions, mapping in (
        ("modern", ">=2", "old-to-new"),
        ("legacy", "<2", "new-to-old"),
    ):
        websocket = f"{{to_client: [{mapping}]}}"
        cohorts += f"  - {{name: {name}, versions: '{versions}', websocket: {websocket}}}\n"
    first = read(f"upstream: {{url: http://server:8000}}\n{cohorts}{text}\n").switching.first()
    modern = first[SwitchName("modern", "old-to-new")]
    assert str(modern.setting) == "canary 2.5%"
    legacy = first[SwitchName("legacy", "new-to-old")]
    assert str(legacy.setting) == "on"
    assert [(each.name, str(each.versions), str(each.setting)) for each in legacy.exceptions] == [
        ("one", "==1.1.3", "off"),
        ("two", ">=1.1,<1.2", "on"),
    ]
    assert "then back" in text


names = st.one_of(
    st.sampled_from(["none", "null", "true", "no", "0", "1e3", "-", "_", "0x1f", "on", "0123"]),
    st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True),
)
settings = st.one_of(
    st.sampled_from([OFF, ON, Setting(Mode.SHADOW)]),
    st.builds(Setting, st.just(Mode.CANARY), st.integers(0, WHOLE)),
)
ranges = st.sampled_from(["==2.1.3", ">=3, <4", "  >= 2.1.0-rc.1 ,\u2028!=2.2", "==1!2.0", "<v3"])
owners = st.one_of(st.just(""), st.just(HOSTILE), st.text(max_size=20))


@given(st.lists(st.tuples(names, ranges, settings, owners), max_size=6), settings, owners)
def test_what_is_exported_can_be_loaded_and_means_the_same(
    exceptions: list[tuple[str, str, Setting, str]], setting: Setting, owner: str
) -> None:
    """Of all that commands can set."""
    name = SwitchName("modern", "old-to-new")
    first: First = {name: ALL_ON}
    table = changed(EMPTY, SetSwitch(name, setting, term=Term(owner), expected=0), first)
    for exception, versions, excepted_to, by in exceptions:
        change = SetSwitch(
            name,
            excepted_to,
            parse_range(versions),
            exception,
            Term(by, NOW, restore=True),
            expected=table.revision(name),
        )
        if exception == "none":
            with pytest.raises(ChangeRefused, match="stands for none in the metrics"):
                changed(table, change, first)
        else:
            table = changed(table, change, first)
    state = table.wanted(name, first)
    view = listed(
        shown(
            state=state.setting.mode.value if state.setting else "",
            percent=state.setting.percent if state.setting else None,
            term=TermView(owner=owner, until=None, restore=False, overdue=False),
            exceptions=tuple(
                ExceptionView(
                    name=each.name,
                    versions=str(each.versions),
                    state=each.setting.mode,
                    percent=each.setting.percent,
                    users=None,
                    term=TermView(owner=each.term.owner, until=NOW, restore=True, overdue=True),
                )
                for each in state.exceptions
            ),
        )
    )
    cohort = "{name: modern, versions: '>=2', websocket: {to_client: [old-to-new]}}"
    text = "\n".join(switch_lists.exported(view))
    upstream = "upstream: {url: http://server:8000}\n"
    facts = [(each.name, each.versions, each.setting) for each in state.exceptions]
    for written in (text, json.dumps({"switching": switch_lists.section(view)})[1:-1]):
        loaded = read(f"{upstream}cohorts: [{cohort}]\n{written}\n").switching.first()
        found = loaded.get(name, ALL_ON)
        assert found.setting == state.setting
        assert [(each.name, each.versions, each.setting) for each in found.exceptions] == facts


@pytest.mark.parametrize("name", ["none", "None", "a b", "", "x" * 64])
def test_a_name_that_the_configuration_refuses_is_refused_at_once(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["switch", "set", "modern/old-to-new", "off", "--versions", "==2", "--name", name]
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--reason", "why"])
    refusal = "stands for none" if name == "none" else "expected small letters, digits"
    assert refusal in capsys.readouterr().err


def test_export_of_switches_that_are_all_on_is_a_section_that_says_so() -> None:
    text = "\n".join(switch_lists.exported(listed(shown())))
    assert yaml.safe_load(text) == {"switching": {"switches": {}, "exceptions": []}}
    assert read(f"upstream: {{url: http://server:8000}}\n{text}\n").switching.first() == {}


# What was done.


@pytest.mark.parametrize(
    ("revision", "lines"),
    [
        (
            revised(before={"a/b": was("on")}, after={"a/b": was("canary 10%")}),
            ["a/b on -> canary 10%"],
        ),
        (
            revised(before={"a/b": was(None)}, after={"a/b": was("off", "x (==2): off")}),
            ["a/b as configured -> off", "a/b with exception x (==2): off"],
        ),
        (
            revised(
                before={"a/b": was("on", "x (==2): off", "y (==3): off")},
                after={"a/b": was("on", "y (==3): on")},
            ),
            [
                "a/b: exception x (==2, was off) dropped",
                "a/b with exception y (==3): on",
            ],
        ),
        (
            revised(before={"a/b": was("on", "x (==2): off")}, after={"a/b": was("on")}),
            ["a/b: exception x (==2, was off) dropped: these versions are on"],
        ),
        (
            revised(
                before={"a/b": was("on", "x (==2): off")}, after={"a/b": was("on")}, all_off=True
            ),
            ["a/b: exception x (==2, was off) dropped", "everything is off"],
        ),
        (revised(before={"a/b": was("on")}, after={"a/b": was("on")}), ["a/b stays on"]),
        (revised("all-off", all_off=True), ["everything off"]),
        (revised("restore"), ["everything is what it is set to again"]),
        (revised("undo"), ["everything is what it was"]),
        (revised("undo", all_off=True), ["everything is off"]),
        (
            revised("undo", before={"a/b": was("on")}, after={"a/b": was("off")}, outlived=["a/b"]),
            [
                "a/b on -> off",
                "a/b comes back for good: the time for which it was set is over",
            ],
        ),
        (
            revised(before={"a/b": was("on")}, after={"a/b": was("off")}, all_off=True),
            ["a/b on -> off", "everything is off"],
        ),
        (revised("follow"), ["the configuration abc is followed"]),
        (
            revised(
                "follow",
                before={"a/b": was("off"), "a/c": was("off")},
                after={"a/b": was(None), "a/c": was(None)},
                was_all_off=True,
            ),
            [
                "the configuration abc is followed",
                "this ends everything off",
                "this ends 2 steps down: a/b, a/c",
            ],
        ),
        (
            revised(
                "follow",
                before={"a/b": was("off"), "a/c": was(None)},
                after={"a/b": was(None), "a/c": was("off")},
            ),
            [
                "the configuration abc is followed",
                "this ends 1 step down: a/b",
                "what was set under it before counts again: a/c",
            ],
        ),
        (
            revised("follow", was_all_off=True, all_off=True),
            ["the configuration abc is followed", "everything is off"],
        ),
        (
            revised("expire", before={"a/b": was("off")}, after={"a/b": was(None)}),
            ["a/b off -> as configured"],
        ),
        (revised(scope=["a/b"]), ["a/b stays as configured"]),
        (
            revised("expire", scope=["a/b", "a/c"], cut=True),
            ["a/b, a/c and others were changed; what each was set to was too much to be kept"],
        ),
        (
            revised("follow", scope=["a/b"], cut=True),
            [
                "the configuration abc is followed",
                "this ends 1 step down: a/b",
                "a/b and others were changed; what each was set to was too much to be kept",
            ],
        ),
        (
            revised("undo", cut=True),
            ["many switches were changed; what each was set to was too much to be kept"],
        ),
    ],
)
def test_a_revision_is_told(revision: RevisionView, lines: list[str]) -> None:
    assert texts(changes.done(revision, {})) == lines


def test_what_the_configuration_says_is_told_where_it_is_known() -> None:
    known = {"a/b": StateView.model_validate(was("shadow", "x (==2): off"))}
    revision = revised(before={"a/b": was(None)}, after={"a/b": was("on", "x (==2): off")})
    assert texts(changes.done(revision, known)) == ["a/b shadow -> on"]


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("keep", "those on older ones keep what they have, to their end"),
        ("reconnect", "those on older ones are told to come back, one after the other"),
        ("next_message", "those on older ones were left with what they have before"),
    ],
)
def test_sockets_are_told_by_cohort_and_revision(policy: str, text: str) -> None:
    rows = [("modern", 7, 1), ("modern", 8, 2), ("legacy", 8, 3), ("", 8, 1)]
    revision = revised(open_sockets=OpenSockets(policy))
    changed = Changed(
        revision=revision,
        changed=True,
        sockets=[
            SocketsOnRevision(cohort=cohort, revision=number, websockets=count)
            for cohort, number, count in rows
        ],
    )
    assert texts(changes.sockets(changed, revision)) == [
        "no cohort: 1 websocket on revision 8",
        "legacy: 3 websockets on revision 8",
        "modern: 2 websockets on revision 8, 1 websocket on revision 7",
        text,
    ]
    newest = changed.model_copy(update={"sockets": changed.sockets[2:]})
    assert texts(changes.sockets(newest, revision))[-1] == "legacy: 3 websockets on revision 8"
    assert texts(changes.sockets(changed.model_copy(update={"sockets": []}), revision)) == [
        "no open websockets"
    ]


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (NotKept(owner="ann", until=NOW), "owner ann, until 1970-01-12 13:46:40Z"),
        (NotKept(owner="", until=NOW), "until 1970-01-12 13:46:40Z"),
        (NotKept(owner="ann", until=None), "owner ann"),
        (
            NotKept(owner="a" * 300 + "b" * 300, until=None),
            f"owner {'a' * 300}{'b' * 100}... (600 characters)",
        ),
    ],
)
def test_what_is_not_kept_of_owner_and_time_is_told(lost: NotKept, told: str) -> None:
    (line,) = changes.not_kept(lost)
    assert line == f"not kept from before: {told} (say --owner and --until anew to keep them)"
    assert list(changes.not_kept(None)) == []


def test_a_dry_run_is_told() -> None:
    run = DryRun(
        switch="a/b",
        before="on",
        after="off",
        lowers=True,
        websockets=3,
        of_websockets=5,
        users=1,
        exceptions_left_alone=["x"],
        messages_per_second=None,
        shadow=None,
    )
    assert texts(switch_lists.dry(run)) == [
        "a/b on -> off, which lowers",
        "3 of 5 open websockets of a would get something else, of about 1 user",
        "exceptions left alone: x",
        "nothing was changed",
    ]
    raising = run.model_copy(update={"lowers": False, "exceptions_left_alone": []})
    assert texts(switch_lists.dry(raising))[0] == "a/b on -> off"
    dropped = run.model_copy(update={"shadow_dropped": True})
    told = "in shadow, but not compared: there are too many switches in shadow"
    assert {*texts(switch_lists.dry(dropped))} - {*texts(switch_lists.dry(run))} == {told}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("==2.1.3", "==2.1.4", "a/b exception x: off (==2.1.3) -> canary 5% (==2.1.4)"),
        (None, "==2.1.4", "a/b exception x: off -> canary 5% (==2.1.4)"),
    ],
)
def test_a_dry_run_of_an_exception_tells_its_versions(
    before: str | None, after: str, text: str
) -> None:
    run = DryRun(
        switch="a/b",
        exception="x",
        before="off",
        after="canary 5%",
        before_versions=before,
        after_versions=after,
        lowers=False,
        websockets=0,
        of_websockets=0,
        users=0,
        exceptions_left_alone=[],
    )
    assert texts(switch_lists.dry(run))[0] == text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("off",), None),
        (("on",), 7),
        (("canary", "--percent", "10"), None),
        (("canary", "--percent", "11"), 7),
        # It moves away from a version that is off, which raises for that one.
        (("off", "--versions", "==2.1.4", "--name", "x"), 7),
        (("off", "--versions", "==2.1.3", "--name", "x"), None),
        (("off", "--versions", "<3", "--name", "x"), None),
        (("shadow", "--versions", "==2.1.3", "--name", "x"), 7),
        # A new one stands behind all others.
        (("off", "--versions", "<3", "--name", "y"), None),
        (("shadow", "--versions", "<3", "--name", "y"), None),
        (("shadow", "--versions", "==2.1.3", "--name", "y"), None),
        (("on", "--versions", "<3", "--name", "y"), 7),
        (("off", "--if-revision", "6"), 6),
    ],
)
def test_a_step_down_builds_on_nothing(words: tuple[str, ...], expected: int | None) -> None:
    options = parser().parse_args(["switch", "set", "a/b", *words, "--reason", "why"])
    view = shown(set_to="canary 10%", revision=7, exceptions=(excepted("x", "==2.1.3", "off"),))
    assert switch_set._builds_on(options, view, switch_set._states(options, view)) == expected


def test_what_may_end_by_itself_builds_on_what_was_read() -> None:
    options = parser().parse_args(["switch", "set", "a/b", "off", "--reason", "why"])
    term = TermView(owner="ann", until=100.0, restore=True, overdue=False)
    exceptions = (excepted("x", "==2.1.3", "off", term),)
    for view in (shown(revision=7, term=term), shown(revision=7, exceptions=exceptions)):
        assert switch_set._builds_on(options, view, switch_set._states(options, view)) == 7


def test_what_will_be_refused_builds_on_what_was_read() -> None:
    many = tuple(excepted(f"x{number}", "==9", "off") for number in range(20))
    words = ["switch", "set", "a/b", "off", "--versions", "<3", "--name", "y", "--dry-run"]
    options = parser().parse_args(words)
    view = shown(revision=7, exceptions=many)
    assert switch_set._states(options, view) is None
    assert switch_set._builds_on(options, view, None) == 7
    assert switch_set._lost(options, view, None) == ""


@pytest.mark.parametrize(
    ("set_to", "words", "lost"),
    [
        ("on", ("off",), "this lowers: new connections lose it"),
        ("on", ("shadow",), "this lowers: new connections lose it"),
        (
            "on",
            ("canary", "--percent", "2.5"),
            "this lowers: new connections, but for 2.5% of the users, lose it",
        ),
        ("canary 2.5%", ("canary", "--percent", "0"), "this lowers: new connections lose it"),
        (
            "on",
            ("off", "--versions", "==2.1.4", "--name", "x"),
            "this lowers: new connections of ==2.1.4 lose it",
        ),
        # Nobody has it before, or everybody has as much after.
        ("off", ("shadow",), ""),
        ("shadow", ("off",), ""),
        ("off", ("on",), ""),
        ("on", ("on",), ""),
        ("canary 2.5%", ("on",), ""),
        ("canary 2.5%", ("canary", "--percent", "3"), ""),
        ("off", ("off", "--versions", "==2.1.4", "--name", "x"), ""),
    ],
)
def test_who_loses_the_mapping_by_a_change_is_told(
    set_to: str, words: tuple[str, ...], lost: str
) -> None:
    options = parser().parse_args(["switch", "set", "a/b", *words, "--reason", "why"])
    mode, _, percent = set_to.partition(" ")
    share = float(percent.rstrip("%")) if percent else None
    view = shown("a/b", state=mode, percent=share, set_to=set_to)
    assert switch_set._lost(options, view, switch_set._states(options, view)) == lost
    # While everything is off nobody has it.
    if mode != "off":
        view = shown("a/b", state="off", set_to=set_to)
        assert switch_set._lost(options, view, switch_set._states(options, view)) == ""


def test_a_dry_run_of_what_is_in_shadow_tells_what_it_has_seen() -> None:
    seen = ShadowOutcomes(
        offered=12,
        compared=10,
        skipped=2,
        skipped_part=0.17,
        too_large=0,
        waiting=0,
        would_map=6,
        would_pass=3,
        would_drop=0,
        would_fail=1,
        rules=[ShadowRule(rule="status", messages=6)],
        failures=[ShadowFailure(rule="status", operation="rename", field="a\nb", messages=1)],
    )
    run = DryRun(
        switch="a/b",
        before="shadow",
        after="on",
        lowers=False,
        websockets=0,
        of_websockets=0,
        users=0,
        exceptions_left_alone=[],
        messages_per_second=1234.56,
        shadow=seen,
    )
    outcomes = "6 would be mapped, 3 pass, 0 be dropped, 1 fail"
    assert texts(switch_lists.dry(run))[2:-1] == [
        "a has ~1,234.6 messages a second",
        f"in shadow, of 10 messages compared (2 skipped): {outcomes}",
        "  rule status: 6",
        "  would fail: status, rename, a\\nb: 1",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_the_history_never_hides_the_new_state(width: int) -> None:
    stream = Terminal()
    revision = revised(
        before={"modern/old-to-new": was("canary 12.5%")},
        after={"modern/old-to-new": was("canary 99.75%")},
        author="release-pipeline (token)",
        reason="a long story of what has been seen " * 3,
        open_sockets="next_message",
    )
    rows = [history._row(revision)]
    Screen(stream, {"COLUMNS": str(width)}).table(history._COLUMNS, rows)
    lines = uncoloured(stream.getvalue()).splitlines()
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("REVISION  WHEN ")
    start, end = lines[0].index("WHAT"), lines[0].index("REASON")
    if "OPEN SOCKETS" in lines[0]:
        end = lines[0].index("OPEN SOCKETS")
    told = " ".join(line[start:end].strip() for line in lines[1:] if line.startswith(" " * start))
    assert f"{lines[1][start:end].strip()} {told}".startswith(
        "modern/old-to-new canary 12.5% -> canary 99.75%"
    )


def test_switches_with_an_exception_are_a_table_at_80_columns() -> None:
    stream = Terminal()
    term = TermView(owner="ann", until=NOW + 72 * 3600, restore=True, overdue=False)
    bad = excepted("broken-2-1-3", "==2.1.3", "off", term)
    view = listed(shown(exceptions=(bad,), revision=12), shown("legacy/new-to-old"))
    rows = list(switch_lists.rows(view, NOW))
    Screen(stream, {"COLUMNS": "80"}).table(switch_lists.columns(view), rows)
    lines = uncoloured(stream.getvalue()).splitlines()
    assert lines[0].split()[:3] == ["SWITCH", "STATE", "CONFIGURED"]
    assert lines[2].startswith("  broken-2-1-3 (==2.1.3)  off ")
    assert all(len(line) <= 80 for line in lines)
    assert "BEHIND" not in lines[0]


@pytest.mark.parametrize("text", ["2000-01-01", "9999-01-01", "2027-13-01", "soon-ish", "10", "-1"])
def test_a_moment_is_to_come_and_a_time_has_its_unit(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a time"):
        switch_arguments.until(text)


def test_a_moment_may_be_told_by_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.cli.switch_arguments.time.time", lambda: NOW)
    assert switch_arguments.until("1970-01-13") == 12 * 86400 - NOW
    assert switch_arguments.until("1970-01-13T01:00") == 12 * 86400 + 3600 - NOW
    assert switch_arguments.until("1970-01-13T01:00+01:00") == 12 * 86400 - NOW
    assert switch_arguments.until("90s") == 90


def test_an_author_who_asked_by_the_socket_has_a_name() -> None:
    user = pwd.getpwuid(0).pw_name
    assert history._author("uid 0 (socket)") == f"{user} (uid 0)"
    assert history._author("uid 4294967294 (socket)") == "uid 4294967294 (socket)"
    assert history._author("uid 0 (token)") == "uid 0 (token)"
    revision = revised(author="uid 0 (socket)")
    assert history._row(revision)[2] == "uid 0 (socket)"
    assert history._row(revision, users_known=True)[2] == f"{user} (uid 0)"


@pytest.mark.parametrize(
    ("compared", "still", "told"),
    [
        (0, 0, ["in shadow, nothing compared yet"]),
        (
            0,
            27,
            [
                (
                    "in shadow, nothing compared yet: 27 open websockets still have the mapping,"
                    " and nothing of theirs is compared"
                )
            ],
        ),
        (
            3,
            1,
            [
                "1 open websocket still has the mapping, and nothing of theirs is compared",
                (
                    "in shadow, of 3 messages compared (0 skipped): 0 would be mapped, 3 pass,"
                    " 0 be dropped, 0 fail"
                ),
            ],
        ),
    ],
)
def test_a_dry_run_tells_of_what_a_shadow_cannot_compare(
    compared: int, still: int, told: list[str]
) -> None:
    seen = ShadowOutcomes(
        offered=compared,
        compared=compared,
        skipped=0,
        skipped_part=0,
        too_large=0,
        waiting=0,
        would_map=0,
        would_pass=compared,
        would_drop=0,
        would_fail=0,
        still_mapped=still,
        rules=[],
        failures=[],
    )
    assert texts(switch_lists._shadow(seen)) == told


def test_states_have_their_colours() -> None:
    view = listed(shown(state="shadow"))
    (row,) = switch_lists.rows(view, NOW)
    cells: Line = row
    assert isinstance(cells[1], Span)
    assert cells[1].style.value == "bright_blue"


@pytest.mark.parametrize(
    ("at", "text"), [(0.0, "1970-01-01 00:00:00Z"), (1e300, "?"), (float("nan"), "?")]
)
def test_a_time_is_told(at: float, text: str) -> None:
    assert when(at) == text
