"""What is done to the messages and bodies of a client, and where they count (step `bodies`)."""

from __future__ import annotations

from proxy.gateway.context import RequestContext
from proxy.mapping.engine.program import Program
from proxy.mapping.programs import Programs
from proxy.observability.metrics import Metrics
from proxy.recording.recorder import Recorder
from proxy.relay.bodies import BodyMapping
from proxy.rewriting import MessageHandling
from proxy.types import NONE, Direction


class Rewriting:
    """Finds the programs of a request, and gives them their accounts.

    Attributes:
        recorder: may look at messages on their way.
    """

    def __init__(self, metrics: Metrics, recorder: Recorder) -> None:
        self._metrics = metrics
        self.recorder = recorder
        self._mapped: set[BodyMapping] = set()

    @property
    def held(self) -> int:
        """The bytes of bodies that are in memory, to be rewritten or sent."""
        return sum(bodies.held for bodies in self._mapped)

    def forget(self, bodies: BodyMapping) -> None:
        """A request is over."""
        self._mapped.discard(bodies)

    def programs(self, context: RequestContext) -> Programs:
        """What is bound to the cohort of a client."""
        return context.snapshot.catalog.for_cohort(context.info.selected)

    def handling(self, cohort: str, program: Program | None, way: Direction) -> MessageHandling:
        """What is done to the messages of one direction, counted and open to recordings."""
        name = NONE if program is None else program.name
        counts = self._metrics.messages(name, way, cohort)
        handling = MessageHandling(program, counts, None if program is None else program.kind_of)
        return self.recorder.tapped(handling, way, cohort)

    def bodies(self, context: RequestContext) -> BodyMapping | None:
        """What is done to the bodies of a route; None for nearly all. Preflights have none."""
        route = self.programs(context).route(context.request.method, context.path)
        if route is None or context.head.preflight:
            return None
        info, config = context.info, context.snapshot.config
        to_server, to_client = route.to_server, route.to_client
        info.to_server = "" if to_server is None else to_server.name
        info.to_client = "" if to_client is None else to_client.name
        cohort = info.cohort
        bodies = BodyMapping(
            None if to_server is None else self.handling(cohort, to_server, Direction.TO_SERVER),
            None if to_client is None else self.handling(cohort, to_client, Direction.TO_CLIENT),
            limit=config.limits.body,
            timeout=config.timeouts.body,
            vary=context.snapshot.versions.header,
        )
        self._mapped.add(bodies)
        return bodies
