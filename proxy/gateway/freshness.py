"""Answers that are given again: which WebSockets are heard for them, and what becomes of questions.

The rule is in `proxy.freshness.generations`. Nothing is heard, and nothing kept, for whoever has no
session: whether two of its requests and a WebSocket are of one user, only the server knows. Nothing
of it is shared with other processes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Final, NamedTuple

from proxy.configuration.sections import CoalescingRoute
from proxy.freshness.generations import Ear, Generations, Stamp
from proxy.freshness.naming import names_in
from proxy.freshness.resources import Resource
from proxy.gateway.context import RequestContext
from proxy.gateway.kept_answers import KeptAnswer, KeptAnswers, without_age
from proxy.gateway.open_websocket import OpenWebSocket
from proxy.http.headers import RawFields
from proxy.http.sharing import age_of, longest_age, longest_kept
from proxy.memory import Kind
from proxy.observability.access_log import RequestInfo
from proxy.relay.exchange import Exchange
from proxy.rewriting import Room
from proxy.snapshot import Snapshot
from proxy.types import FieldPath
from proxy.websocket.message_reader import MessageReader

MAX_COLLECTED: Final = 16 * 1024 * 1024
"""Bytes of messages that are read and not whole yet, together."""

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods without an effect on the server (RFC 9110 section 9.2.1)."""

_OF_A_GATEWAY: Final = frozenset({502, 504})
"""Statuses of whoever stands in front of a server, which may go on with a request."""


class Question(NamedTuple):
    """A GET whose answer may be kept.

    Attributes:
        owner: the name of the session.
        resource: that it asks for.
        route: of the configuration.
    """

    owner: str
    resource: Resource
    route: CoalescingRoute


class Asked(NamedTuple):
    """A question that was sent.

    Attributes:
        stamp: of that moment; None where the answer is not to be kept.
        at: when, on the clock of `Freshness`.
    """

    stamp: Stamp | None
    at: float


class Freshness:
    """Knows what is heard and kept in this process.

    Attributes:
        generations: the rule.
        answers: those that are kept.
        given: GETs that were answered with one, by route.
        not_kept: GETs and answers of which nothing is kept, by route and reason.
        settling: seconds that questions waited for `settle`, by route.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # Not that of the loop: it may stand still while the loop is at work.
        self.clock = clock
        self.generations = Generations()
        self.answers = KeptAnswers(self.generations)
        self._room = Room(MAX_COLLECTED)
        self.given: Counter[str] = Counter()
        self.not_kept: Counter[tuple[str, str]] = Counter()
        self.settling: dict[str, float] = {}

    # WebSockets.

    def listen(self, socket: OpenWebSocket, snapshot: Snapshot, path: bytes) -> None:
        """Hear what the server says on a WebSocket, if that is of a session, and of use.

        Args:
            socket: of which no part of a message of the server has been read; others are not heard.
            snapshot: by which it was opened.
            path: of its handshake, without the query.
        """
        leg = socket.relay.server
        if snapshot.fresh is None or socket.session is None or not leg.frame_filter.undisturbed:
            return
        if socket.relay.is_closing:
            return
        owner = socket.session.cached.record.session
        ear = Ear(owner, path, snapshot.fresh.heard_on(path))
        listening = Listening(self, ear, MessageReader(self._room), snapshot.fresh.fields)
        if leg.peer.unsent is None:  # Else it is not read now.
            listening.resume()
        leg.watcher = listening

    def check(self) -> None:
        """Forget what is past; called about twice a second."""
        now = self.clock()
        self.answers.forget_past(now)
        self.generations.forget(now)

    @property
    def collected(self) -> int:
        """Bytes of messages that are not whole yet."""
        return MAX_COLLECTED - self._room.left

    # Requests.

    def question(self, context: RequestContext, route: CoalescingRoute) -> Question | None:
        """What a GET on a route asks; None where its answer is not to be kept."""
        fresh = context.snapshot.fresh
        if route.fresh is None or fresh is None:
            return None
        if context.session is None:
            self.not_kept[route.name, "session"] += 1
            return None
        resource = fresh.resource(route.fresh, context.path)
        assert resource is not None, "the path was found by the same pattern"
        return Question(context.session.cached.record.session, resource, route)

    def due(self, question: Question | None) -> float:
        """From when on a question may be sent."""
        if question is None or not question.route.settle:
            return 0.0
        heard = self.generations.heard(question.owner, question.resource)
        return heard + question.route.settle

    def find(self, key: Hashable, fields: RawFields) -> KeptAnswer | None:
        """The answer that may be given to a question again.

        Args:
            key: equal for requests that may have the same answer.
            fields: of the request.
        """
        now = self.clock()
        answer = self.answers.find(key, now)
        if answer is None or answer.age_at(now) >= longest_age(fields):
            return None
        return answer

    def ask(self, question: Question) -> Asked:
        """A question is sent."""
        now = self.clock()
        if now < self.due(question):
            return Asked(None, now)
        return Asked(self.generations.stamp(question.owner, question.resource), now)

    def keep(
        self,
        question: Question,
        key: Hashable,
        asked: Asked,
        context: RequestContext,
        exchange: Exchange,
        response: bytes,
        info: RequestInfo,
    ) -> bool:
        """Keep an answer, if the rule allows it; whether it is kept.

        Args:
            question: what the request asks.
            key: as for `find`.
            context: of whoever asked.
            asked: when it was sent.
            exchange: what carried it; its response is whole.
            response: that response, as it is sent to clients.
            info: of the request to the server.
        """
        head = exchange.head
        assert head is not None
        longest = min(question.route.at_most, longest_kept(head.status, head.fields))
        reason = ""
        if not longest_age(context.fields):
            reason = "request"
        elif not longest:
            reason = "response"
        elif not self.generations.is_open(question.owner, question.resource):
            reason = "socket"
        elif asked.stamp is None or not self.generations.holds(asked.stamp):
            reason = "changed"
        else:
            age = age_of(head.fields)
            answer = KeptAnswer(
                without_age(response) if age else response,
                head.status,
                exchange.response_size,
                age,
                asked.at,
                asked.at + longest,
                asked.stamp,
                context.client.reserve(Kind.KEPT_ANSWER),
                info.request_id,
                info.upstream,
            )
            if self.answers.keep(key, answer):
                return True
            reason = "full"
        self.not_kept[question.route.name, reason] += 1
        return False

    def settle(self, route: str, seconds: float) -> None:
        """A question waits."""
        self.settling[route] = self.settling.get(route, 0.0) + seconds

    async def write(self, context: RequestContext, sending: Awaitable[Exchange]) -> Exchange:
        """Send a request that is not safe, and take note of it: from before that to its answer.

        Without a final answer of the server's (its client has gone, or it took too long) it may be
        carried out at any time: it counts as under way for the longest `at_most`.

        Args:
            context: the request.
            sending: sends it; see `Sender.carry`.
        """
        snapshot, session = context.snapshot, context.session
        names = frozenset() if snapshot.fresh is None else snapshot.fresh.written(context.path)
        owner = None if session is None else session.cached.record.session
        self.generations.begin_write(owner, names)
        is_answered = False
        try:
            exchange = await sending
            head = exchange.head
            is_answered = (
                exchange.error is None and head is not None and head.status not in _OF_A_GATEWAY
            )
            return exchange
        finally:
            if is_answered:
                self.generations.end_write(owner, names)
            else:
                routes = snapshot.config.coalescing
                longest = max((each.at_most for each in routes if each.fresh), default=0.0)
                self.generations.lose_write(owner, names, self.clock() + longest)


class Listening:
    """Hears the server on one WebSocket; see `proxy.relay.leg.Watcher`."""

    __slots__ = ("_ear", "_fields", "_freshness", "_reader")

    def __init__(
        self, freshness: Freshness, ear: Ear, reader: MessageReader, fields: Collection[FieldPath]
    ) -> None:
        self._freshness = freshness
        self._ear = ear
        self._reader = reader
        self._fields = fields

    def data(self, data: bytes) -> None:
        """Take what came, before anything of it goes on."""
        freshness, ear, reader = self._freshness, self._ear, self._reader
        generations = freshness.generations
        for message in reader.feed(data):
            names = content = None
            if message is not None:
                names, content = names_in(message, self._fields), hash(message)
            generations.hear(ear, names, content, freshness.clock())
        if reader.is_over:
            self.end()
        elif reader.begun:
            generations.begin(ear)

    def pause(self) -> None:
        """Count as closed: what the server says is not heard before its client takes more."""
        self._freshness.generations.close(self._ear)

    def resume(self) -> None:
        """Count as one that has just opened, in the middle of a message perhaps."""
        if not self._reader.is_over and not self._ear.is_open:
            self._freshness.generations.open(self._ear)
            if self._reader.begun:
                self._freshness.generations.begin(self._ear)

    def end(self) -> None:
        """The server says nothing more, or was told to close and may have stopped."""
        self._reader.stop()
        self._freshness.generations.close(self._ear)
