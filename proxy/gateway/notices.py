"""Clients are told of the end of what they use: in the answers of routes whose mapping applies.

The dates are those that people have set, and are never derived from what is seen. All who share an
answer (`coalescing`) are of one cohort and have the same mappings, so they are told the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial

from proxy.gateway.context import RequestContext
from proxy.http.deprecation import Deprecation, together
from proxy.mapping.engine.program import Program
from proxy.observability.families import Families, counter
from proxy.relay.bodies import Notice
from proxy.switching.table import SwitchName


class Notices:
    """Finds what is told, and counts it.

    Attributes:
        told: answers that said so, by the switch of the mapping.
    """

    def __init__(self) -> None:
        self.told: Counter[SwitchName] = Counter()

    def of(self, context: RequestContext, programs: Iterable[Program | None]) -> Notice | None:
        """What is told in the answer to a request; None for nothing.

        Args:
            context: the request.
            programs: what is done to its body, and to that of the answer.
        """
        sunset = context.snapshot.config.switching.sunset
        if not sunset.announce:
            return None
        cohort, announced = context.info.cohort, sunset.announced
        names = dict.fromkeys(
            name
            for program in programs
            if program is not None
            for mapping in program.mappings
            if str(name := SwitchName(cohort, mapping)) in announced
        )
        deprecation = together(
            Deprecation(each.deprecation, each.sunset, () if each.link is None else (each.link,))
            for each in (announced[str(name)] for name in names)
        )
        if deprecation is None:
            return None
        return Notice(deprecation, context.request.fields, partial(self.told.update, tuple(names)))

    def families(self) -> Families:
        """What is shown of it."""
        return (
            counter(
                "segue_deprecation_answers",
                "HTTP answers that told clients of the end of a mapping (`Deprecation`), by"
                " `switching.sunset.announce`; one for all who shared an answer.",
                ("cohort", "mapping"),
                lambda: [(tuple(name), count) for name, count in self.told.items()],
            ),
        )
