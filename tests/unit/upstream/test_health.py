"""Whether a server is to be asked: the state machine, and what it never does."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.upstream.health import EjectionRules, Health, HealthState

RULES = EjectionRules(failures=3, backoff=1.0, longest=30.0)


def fail(health: Health, now: float, *, spare: bool = True) -> bool:
    return health.failed(now, health.epoch, spare=spare)


def put_out(now: float = 0.0) -> Health:
    health = Health(RULES)
    assert [fail(health, now) for _ in range(3)] == [False, False, True]
    return health


def test_server_goes_out_after_enough_failures_in_a_row() -> None:
    health = Health(RULES)
    assert not fail(health, 0)
    assert not fail(health, 0)
    assert not health.succeeded()
    assert [fail(health, 0) for _ in range(3)] == [False, False, True]
    assert not health.is_healthy
    assert not health.admits(0.9)
    assert health.admits(1.0)


def test_only_one_request_is_the_trial() -> None:
    health = put_out()
    health.begin(1.0)
    assert health.state is HealthState.HALF_OPEN
    assert not health.admits(100.0)
    assert health.succeeded()
    assert health.is_healthy


def test_back_off_doubles_with_each_failed_trial_up_to_the_longest_and_begins_anew_after_it() -> (
    None
):
    health = put_out()
    waits = []
    for _ in range(200):
        now = health.until
        health.begin(now)
        assert fail(health, now)
        waits.append(health.until - now)
    assert waits[:6] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert waits[-1] == 30.0
    health.succeeded()
    now = health.until
    assert [fail(health, now) for _ in range(3)] == [False, False, True]
    assert health.until == now + 1.0


def test_last_server_that_is_in_stays_in() -> None:
    health = Health(RULES)
    assert not any(fail(health, 0, spare=False) for _ in range(50))
    assert health.is_healthy
    assert fail(health, 0)


def test_request_that_began_before_the_back_off_says_nothing_of_the_trial() -> None:
    health = Health(RULES)
    early = health.epoch
    for _ in range(3):
        fail(health, 0)
    health.begin(1.0)
    assert not health.failed(1.0, early, spare=True)
    health.abandoned(early)
    assert health.state is HealthState.HALF_OPEN


def test_trial_that_was_given_up_leaves_room_for_the_next() -> None:
    health = put_out()
    health.begin(1.0)
    health.abandoned(health.epoch)
    assert health.admits(1.0)


def test_trial_that_failed_after_it_was_given_up_has_failed() -> None:
    health = put_out()
    epoch = health.epoch
    health.begin(1.0)
    health.abandoned(epoch)
    assert health.failed(1.0, epoch, spare=True)
    assert health.until == 3.0


def test_failures_during_the_back_off_do_not_prolong_it() -> None:
    health = put_out()
    assert not fail(health, 0.5)
    assert health.until == 1.0


def probe(health: Health, *, passed: bool) -> bool:
    return health.probed(passed=passed, healthy=2, unhealthy=3)


def test_probes_change_the_verdict_after_enough_of_them_in_a_row() -> None:
    health = Health(RULES)
    assert [probe(health, passed=each) for each in (False, False, True, False, False)] == [
        False
    ] * 5
    assert probe(health, passed=False)
    assert not health.admits(1e9)
    assert [probe(health, passed=each) for each in (True, False, True)] == [False] * 3
    assert probe(health, passed=True)
    assert health.is_healthy


def test_answers_do_not_heal_a_server_that_probes_call_unhealthy() -> None:
    health = Health(RULES)
    for _ in range(3):
        probe(health, passed=False)
    assert not health.succeeded()
    assert not health.is_healthy
    health.stop_probing()
    assert health.is_healthy


def test_server_that_was_sick_and_is_well_again_need_not_wait() -> None:
    health = put_out()
    for passed in (False, False, False, True):
        probe(health, passed=passed)
    assert probe(health, passed=True)
    assert health.is_healthy


def test_probes_that_pass_do_not_end_a_back_off() -> None:
    health = put_out()
    for _ in range(10):
        probe(health, passed=True)
    assert not health.is_healthy


class Machine(RuleBasedStateMachine):
    """Any order of events, requests overlapping as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health(RULES)
        self.now = 0.0
        self.requests: list[int] = []
        self.in_a_row = 0

    # Quarters, of which sums are exact.
    @rule(quarters=st.integers(0, 160))
    def wait(self, quarters: int) -> None:
        self.now += quarters / 4

    @precondition(lambda self: self.health.admits(self.now))
    @rule()
    def send(self) -> None:
        out = self.health.state is HealthState.EJECTED
        assert not out or self.now >= self.health.until
        self.health.begin(self.now)
        assert self.health.state is (HealthState.HALF_OPEN if out else HealthState.HEALTHY)
        self.requests.append(self.health.epoch)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), spare=st.booleans())
    def fail(self, data: st.DataObject, spare: bool) -> None:
        epoch = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        before, failures = self.health.state, self.health.failures
        ejected = self.health.failed(self.now, epoch, spare=spare)
        if ejected:
            assert self.health.state is HealthState.EJECTED
            assert 1.0 <= self.health.until - self.now <= 30.0
            if before is HealthState.HEALTHY:
                assert spare, "the last one was put out"
                assert failures + 1 >= RULES.failures
        else:
            assert self.health.state is before

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        self.health.succeeded()
        assert self.health.state is HealthState.HEALTHY
        assert self.health.failures == 0

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        epoch = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        self.health.abandoned(epoch)

    @rule(passed=st.booleans())
    def probe(self, passed: bool) -> None:
        unhealthy = self.health.unhealthy
        changed = probe(self.health, passed=passed)
        assert changed is (unhealthy is not self.health.unhealthy)
        assert not changed or passed is unhealthy

    @invariant()
    def nothing_is_stuck(self) -> None:
        """A server that is well gets a request again, at the latest when the longest is over."""
        trial = self.health.state is HealthState.HALF_OPEN
        # A trial that is under way will end somehow.
        assert not trial or self.health.epoch in self.requests
        if not trial and not self.health.unhealthy:
            assert self.health.admits(self.now + RULES.longest)

    @invariant()
    def answer_is_of_no_consequence_unless_there_is_trouble(self) -> None:
        calm = self.health.state is HealthState.HEALTHY and self.health.failures == 0
        assert calm is not self.health.troubled

    @invariant()
    def sick_gets_nothing(self) -> None:
        assert not (self.health.unhealthy and self.health.admits(self.now + 1e6))


TestMachine = Machine.TestCase
