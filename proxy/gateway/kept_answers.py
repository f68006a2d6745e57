"""Answers that are given again: the store of them, for as long as `proxy.freshness` lets them be.

What is kept is bounded in bytes, and each answer in time. One that does not hold any more is never
given; it is forgotten when somebody asks for it, or within a second.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from proxy.freshness.generations import Generations, Stamp
from proxy.memory import Reservation, SharedReservation

MAX_KEPT: Final = 32 * 1024 * 1024
"""Bytes of all answers that are kept in a process, with what they are found by: a part of
`limits.memory`."""

_OVERHEAD: Final = 1024
"""Bytes that each takes up beside itself and the names of its resource."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer of the server's, as it was sent to whoever asked.

    Attributes:
        response: its bytes, without `Age`, for an HTTP/1.1 connection that goes on.
        status: its status code.
        body_size: bytes of its body.
        age: seconds that it was old when it came.
        asked: when the question was sent, on the clock of the store.
        until: from when on it is not given any more.
        stamp: of its question.
        room: what is reserved for it.
        hold: the same, for as long as it is kept, or somebody takes it.
        request_id: under which the server was asked.
        upstream: the server's name.
    """

    response: bytes = field(repr=False)
    status: int
    body_size: int
    age: int
    asked: float
    until: float
    stamp: Stamp = field(repr=False)
    room: Reservation = field(repr=False)
    request_id: str
    upstream: str
    hold: SharedReservation = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hold", SharedReservation(self.room))

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        resource = self.stamp.resource
        # In the path and, loosely spelled, in the name; a character may be of four bytes.
        names = 8 * sum(map(len, resource.values))
        return len(self.response) + names + _OVERHEAD

    def age_at(self, now: float) -> float:
        """How old it is, in seconds (RFC 9111 section 4.2.3): counted from its question."""
        return self.age + max(now - self.asked, 0.0)

    def field_at(self, now: float) -> bytes:
        """The field that says how old it is (RFC 9111 section 5.1)."""
        return b"Age: %d\r\n" % self.age_at(now)


class KeptAnswers:
    """Keeps them.

    Attributes:
        size: bytes that are taken up.
    """

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._answers: dict[Hashable, KeptAnswer] = {}
        self._of: dict[str, dict[Hashable, None]] = {}
        self.size = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._answers)

    def find(self, key: Hashable, now: float) -> KeptAnswer | None:
        """The answer to a question, if it still holds."""
        answer = self._answers.get(key)
        if answer is None or self._holds(answer, now):
            return answer
        self._forget(key)
        return None

    def keep(self, key: Hashable, answer: KeptAnswer) -> bool:
        """Keep an answer that holds; the oldest of its holder give way, and then others'.

        Returns:
            False where there is no room for it.
        """
        size = answer.size
        if size > MAX_KEPT:
            return False
        holder = answer.room.holder
        own = self._of.get(holder, {})
        if sum(self._answers[each].room.size for each in own) >= size:
            while own and not answer.room.has_room(size):
                self._forget(next(iter(own)))
        if not answer.room.resize(size):
            return False
        self._forget(key)
        while self.size + size > MAX_KEPT:
            self._forget(next(iter(self._of.get(holder) or self._answers)))
        answer.hold.__enter__()
        self._of.setdefault(holder, {})[key] = None
        self._answers[key] = answer
        self.size += size
        return True

    def give_way(self, holder: str) -> bool:
        """Forget the oldest that nobody takes now, of this holder before all others; whether."""
        for keys in (self._of.get(holder, {}), self._answers):
            for key in keys:
                if not self._answers[key].hold.is_shared:
                    self._forget(key)
                    return True
        return False

    def forget_past(self, now: float) -> None:
        """Forget what does not hold any more; called about twice a second."""
        for key in [k for k, each in self._answers.items() if not self._holds(each, now)]:
            self._forget(key)

    def _holds(self, answer: KeptAnswer, now: float) -> bool:
        return now < answer.until and self._generations.holds(answer.stamp)

    def _forget(self, key: Hashable) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self.size -= answer.size
            own = self._of[answer.room.holder]
            del own[key]
            if not own:
                del self._of[answer.room.holder]
            answer.hold.__exit__()


def without_age(response: bytes) -> bytes:
    """A response without the fields that say how old it was."""
    head, end, body = response.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"age:")]
    return b"\r\n".join(lines) + end + body
