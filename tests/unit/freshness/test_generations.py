"""The rule by which answers are given again, as a state machine."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from proxy.freshness.generations import (
    COPIES_WITHIN,
    LONG_AGO,
    LONGEST_SETTLE,
    MOST_COPIED,
    MOST_LOST,
    Ear,
    Generations,
    Sign,
    Stamp,
)
from proxy.freshness.resources import FreshRoute, Name, Resource

ROUTE = FreshRoute("/jobs/{id}/", ((("jobId",), "id"),), "/ws/{id}/")


def resource(job: str) -> Resource:
    return Resource(ROUTE, (job,), (name(job),))


def name(job: str) -> Name:
    return Name(("jobId",), job)


def ear(job: str = "1", owner: str = "a") -> Ear:
    return Ear(owner, f"/ws/{job}/".encode(), (resource(job),))


def opened(generations: Generations, job: str = "1", owner: str = "a") -> Ear:
    made = ear(job, owner)
    generations.open(made)
    return made


def stamp(generations: Generations, job: str = "1", owner: str = "a") -> Stamp:
    found = generations.stamp(owner, resource(job))
    assert found is not None
    return found


def test_without_an_open_websocket_of_the_owner_for_the_resource_nothing_is_kept() -> None:
    generations = Generations()
    assert generations.stamp("a", resource("1")) is None
    watching = opened(generations)
    assert generations.stamp("b", resource("1")) is None
    assert generations.stamp("a", resource("2")) is None
    assert generations.is_open("a", resource("1"))
    assert not generations.is_open("b", resource("1"))
    assert generations.holds(stamp(generations))
    generations.close(watching)
    assert generations.stamp("a", resource("1")) is None
    assert not generations.is_open("a", resource("1"))


def test_a_message_advances_what_it_names_for_everybody_and_what_its_websocket_is_for() -> None:
    generations = Generations()
    one, _ = opened(generations, "1", "a"), opened(generations, "2", "a")
    opened(generations, "1", "b")
    opened(generations, "2", "b")
    for names, stays in (({name("2")}, ()), ({name("3")}, ("2",)), (set[Name](), ("2",))):
        before = {(job, who): stamp(generations, job, who) for job in "12" for who in "ab"}
        generations.hear(one, names, None, 0.0)
        for (job, _), each in before.items():
            assert generations.holds(each) is (job in stays)
    assert generations.signs[Sign.MESSAGE] == 3


def test_what_cannot_be_read_advances_all_of_its_owner_and_nobody_else() -> None:
    generations = Generations()
    one, _ = opened(generations, "1", "a"), opened(generations, "2", "a")
    opened(generations, "1", "b")
    mine, other = stamp(generations, "2", "a"), stamp(generations, "1", "b")
    generations.hear(one, None, None, 5.0)
    assert not generations.holds(mine)
    assert generations.holds(other)
    assert generations.signs[Sign.UNREADABLE] == 1
    assert generations.heard("a", resource("2")) == 5.0
    assert generations.heard("b", resource("1")) == LONG_AGO


def test_while_a_message_is_not_whole_nothing_of_its_owner_is_given() -> None:
    generations = Generations()
    one, two = opened(generations, "1"), opened(generations, "1")
    opened(generations, "1", "b")
    generations.hear(one, {name("1")}, 7, 0.0)
    mine, other = stamp(generations), stamp(generations, owner="b")
    generations.begin(two)
    generations.begin(two)
    assert not generations.holds(mine)
    assert generations.holds(other)
    generations.hear(two, {name("1")}, 7, 0.0)
    assert generations.holds(mine), "it was a copy"
    generations.begin(two)
    generations.close(two)
    assert generations.stamp("a", resource("1")) is not None
    generations.begin(two)
    generations.hear(two, {name("1")}, 8, 0.0)
    assert generations.signs[Sign.MESSAGE] == 1, "it is closed"


def test_an_answer_holds_while_a_websocket_is_open_that_was_when_it_was_asked_for() -> None:
    generations = Generations()
    first, second = opened(generations), opened(generations)
    before = stamp(generations)
    third, stranger = opened(generations), opened(generations, owner="b")
    later = stamp(generations)
    for each in (first, stranger, first):
        assert generations.holds(before)
        generations.close(each)
    assert generations.holds(before)
    generations.close(second)
    assert not generations.holds(before)
    assert generations.holds(later)
    generations.close(third)
    assert not generations.holds(later)
    assert generations.signs[Sign.SOCKET] == 8


def test_a_write_advances_when_it_is_sent_and_when_it_is_answered() -> None:
    generations = Generations()
    opened(generations)
    opened(generations, "2")
    before, other = stamp(generations), stamp(generations, "2")
    generations.begin_write(None, {name("1")})
    assert generations.stamp("a", resource("1")) is None
    assert generations.holds(other)
    generations.begin_write(None, {name("1")})
    generations.end_write(None, {name("1")})
    assert generations.stamp("a", resource("1")) is None, "there is another one"
    generations.end_write(None, {name("1")})
    assert not generations.holds(before)
    assert generations.holds(stamp(generations))
    assert generations.signs[Sign.WRITE] == 4


def test_a_write_of_its_own_advances_all_of_an_owner() -> None:
    generations = Generations()
    generations.begin_write("a", ())  # Before it has a WebSocket.
    opened(generations)
    opened(generations, owner="b")
    other = stamp(generations, owner="b")
    assert generations.stamp("a", resource("1")) is None
    generations.end_write("a", ())
    before = stamp(generations)
    assert generations.holds(other)
    generations.begin_write("a", ())
    generations.end_write("a", ())
    assert not generations.holds(before)


def test_a_copy_on_another_websocket_of_the_same_path_and_owner_advances_nothing() -> None:
    generations = Generations()
    ears = [opened(generations) for _ in range(3)]
    stranger, elsewhere = opened(generations, owner="b"), opened(generations, "2")
    generations.hear(ears[0], {name("1")}, 7, 1.0)
    before = stamp(generations)
    for each in ears[1:]:
        generations.hear(each, {name("1")}, 7, 2.0)
        assert generations.holds(before)
    assert generations.heard("a", resource("1")) == 1.0
    assert generations.signs[Sign.COPY] == 2
    for each in (ears[1], stranger, elsewhere):
        before = stamp(generations)
        generations.hear(each, {name("1")}, 7, 3.0)
        assert not generations.holds(before), "it came there before, or is of another path or owner"


def test_the_same_again_is_no_copy_nor_is_what_a_later_websocket_brings() -> None:
    generations = Generations()
    first, second = opened(generations), opened(generations)
    for _ in range(2):
        before = stamp(generations)
        generations.hear(first, {name("1")}, 7, 0.0)
        assert not generations.holds(before)
    later = opened(generations)
    before = stamp(generations)
    generations.hear(later, {name("1")}, 7, 0.0)
    assert not generations.holds(before)
    before = stamp(generations)
    for _ in range(3):
        generations.hear(second, {name("1")}, 7, 0.0)
    assert generations.holds(before), "a copy of each"
    generations.hear(second, {name("1")}, 7, 0.0)
    assert not generations.holds(before)


def test_copies_are_expected_for_a_while_and_of_so_many_messages() -> None:
    generations = Generations()
    first, second = opened(generations), opened(generations)
    generations.hear(first, (), 7, 0.0)
    before = stamp(generations)
    generations.hear(second, (), 7, COPIES_WITHIN + 1)
    assert not generations.holds(before)
    for content in range(MOST_COPIED + 1):
        generations.hear(first, (), content, 100.0)
    before = stamp(generations)
    generations.hear(second, (), 1, 100.0)
    assert generations.holds(before)
    generations.hear(second, (), 0, 100.0)
    assert not generations.holds(before), "the oldest gave way"


def test_what_nobody_watches_is_forgotten_when_no_question_waits_for_it_any_more() -> None:
    generations = Generations()
    first, second = opened(generations), opened(generations)
    generations.hear(first, {name("1")}, 7, 100.0)
    generations.hear(second, None, None, 101.0)
    generations.close(first)
    generations.forget(102.0)
    generations.close(second)
    generations.forget(101.0 + LONGEST_SETTLE)
    assert generations.heard("a", resource("1")) == 101.0
    generations.forget(102.0 + LONGEST_SETTLE)
    assert len(generations) == 0
    assert generations.heard("a", resource("1")) == LONG_AGO
    opened(generations)
    assert len(generations) == 2


@pytest.mark.parametrize("gap", ["close", "forget"])
def test_a_stamp_of_before_is_never_that_of_a_websocket_that_comes_later(gap: str) -> None:
    generations = Generations()
    before_ear = opened(generations)
    before = stamp(generations)
    generations.close(before_ear)
    if gap == "forget":
        generations.forget(0.0)
    opened(generations)
    assert not generations.holds(before)


# Nearly all of it is of one owner and job: what goes wrong takes several steps with the same.
JOBS = st.sampled_from("111112")
OWNERS = st.sampled_from("aaaab")


class Rule(RuleBasedStateMachine):
    """Never is an answer given that is older than a message that was received about it.

    The server commits a change, and then sends a message of it to each WebSocket of the job that is
    open, with the same bytes for all; each arrives when it will, in the order of its WebSocket. A
    question is answered with what is committed at some moment between its sending and the end of
    the answer. While a WebSocket opens, no message is on its way of which another has the bytes.
    """

    sockets = Bundle("sockets")
    questions = Bundle("questions")

    @initialize()
    def begin(self) -> None:
        self.generations = Generations()
        self.now = 0.0
        self.committed = {"1": 0, "2": 0}
        self.received = {("a", "1"): 0, ("a", "2"): 0, ("b", "1"): 0, ("b", "2"): 0}
        self.on_the_way: dict[Ear, list[tuple[str, int, bytes]]] = {}
        self.kept: dict[tuple[str, str], tuple[Stamp, int]] = {}
        self.closed: set[Ear] = set()

    @rule(target=sockets, job=JOBS, owner=OWNERS)
    def open(self, job: str, owner: str) -> Ear:
        for socket, way in self.on_the_way.items():
            while any(b"has changed" in content for _, _, content in way):
                self.deliver(socket, readable=True)
        made = opened(self.generations, job, owner)
        self.on_the_way[made] = []
        return made

    @rule(socket=consumes(sockets))
    def close(self, socket: Ear) -> None:
        """What is on its way is lost; who is sent no copy of it must not be left behind."""
        self.generations.close(socket)
        for job, version, _ in self.on_the_way.pop(socket):
            key = str(socket.owner), job
            others = (
                way
                for each, way in self.on_the_way.items()
                if each.owner == socket.owner and each.path == socket.path
            )
            if not any(version == sent for way in others for _, sent, _ in way):
                self.received[key] = max(self.received[key], version)

    @rule(job=JOBS, says_which=st.booleans())
    def change(self, job: str, says_which: bool) -> None:
        """Commit, and tell of it: in other words each time, or in the same ones."""
        self.committed[job] += 1
        version = self.committed[job]
        content = f"{job} is {version}" if says_which else f"{job} has changed"
        for each, way in self.on_the_way.items():
            if resource(job) in each.resources:
                way.append((job, version, content.encode()))

    @rule(socket=sockets, readable=st.booleans())
    def deliver(self, socket: Ear, readable: bool) -> None:
        way = self.on_the_way[socket]
        if not way:
            return
        job, version, content = way.pop(0)
        names = {name(job)} if readable else None
        self.generations.hear(socket, names, hash(content), self.now)
        key = str(socket.owner), job
        self.received[key] = max(self.received[key], version)

    @rule(socket=sockets)
    def deliver_a_part(self, socket: Ear) -> None:
        if self.on_the_way[socket]:
            self.generations.begin(socket)

    @rule(job=JOBS, owner=st.sampled_from(["a", "b", None]))
    def write(self, job: str, owner: str | None) -> None:
        """Change it by a request: whoever asks after its answer has to see it."""
        self.generations.begin_write(owner, {name(job)})
        self.committed[job] += 1
        self.generations.end_write(owner, {name(job)})
        for who in "ab":
            self.received[who, job] = self.committed[job]

    @rule(target=questions, job=JOBS, owner=OWNERS)
    def ask(self, job: str, owner: str) -> tuple[str, str, Stamp | None, int]:
        taken = self.generations.stamp(owner, resource(job))
        return owner, job, taken, self.committed[job]

    @rule(question=consumes(questions))
    def answer(self, question: tuple[str, str, Stamp | None, int]) -> None:
        """It says what was committed when it was sent: the oldest that it may."""
        owner, job, taken, version = question
        if taken is not None and self.generations.holds(taken):
            self.kept[owner, job] = taken, version

    @rule(job=JOBS, owner=OWNERS)
    def fetch(self, job: str, owner: str) -> None:
        """Ask, and have the answer, before anything else happens."""
        taken = self.generations.stamp(owner, resource(job))
        if taken is not None:
            self.kept[owner, job] = taken, self.committed[job]

    @rule(seconds=st.sampled_from([0.1, COPIES_WITHIN, 60.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.generations.forget(self.now)

    @invariant()
    def nothing_is_older_than_what_was_received(self) -> None:
        for key, (taken, version) in getattr(self, "kept", {}).items():
            if self.generations.holds(taken):
                assert version >= self.received[key]


TestRule = Rule.TestCase
TestRule.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


def test_after_a_write_without_an_answer_nothing_is_given_until_nobody_expects_it() -> None:
    generations = Generations()
    for job in "12":
        opened(generations, job, "a")
        opened(generations, job, "b")
    generations.begin_write("a", {name("1")})
    generations.lose_write("a", {name("1")}, 20.0)
    generations.begin_write(None, {name("1")})
    generations.lose_write(None, {name("1")}, 10.0)
    for now, lost in ((0.0, True), (19.0, True), (20.0, False)):
        generations.forget(now)
        found = {
            who + job: generations.stamp(who, resource(job)) is None for who in "ab" for job in "12"
        }
        assert found == {"a1": lost, "a2": lost, "b1": lost, "b2": False}


def test_with_too_many_writes_without_an_answer_all_count() -> None:
    generations = Generations()
    opened(generations)
    for number in range(MOST_LOST + 1):
        names = {name(f"x{number}")}
        generations.begin_write(None, names)
        generations.lose_write(None, names, 10.0)
    assert generations.stamp("a", resource("1")) is None
    generations.forget(9.0)
    assert generations.stamp("a", resource("1")) is None
    generations.forget(10.0)
    assert generations.stamp("a", resource("1")) is not None
