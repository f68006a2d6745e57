"""What clients are told of the end of what they use: `Deprecation`, `Sunset`, and a link.

`Deprecation` is a structured date (RFC 9745), `Sunset` an HTTP date (RFC 8594), when the resource
is expected to stop answering; `Link` with `rel="deprecation"` leads to what people read about it. A
server that says something of that itself knows better: then nothing is added.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from typing import Final, NamedTuple

from proxy.http import cors
from proxy.http.headers import Fields, RawFields

_OWN: Final = frozenset({b"deprecation", b"sunset"})


class Deprecation(NamedTuple):
    """What is told.

    Attributes:
        since: when it is, or was, deprecated, in seconds since 1970.
        sunset: when it stops answering, not before that; None where it does not.
        links: to what people read about it; URI references.
    """

    since: int
    sunset: int | None = None
    links: tuple[str, ...] = ()

    def fields(self) -> list[tuple[bytes, bytes]]:
        """As they stand in an answer."""
        found = [(b"Deprecation", b"@%d" % self.since)]
        if self.sunset is not None:
            found.append((b"Sunset", formatdate(self.sunset, usegmt=True).encode("ascii")))
        found += [
            (b"Link", b'<%b>; rel="deprecation"; type="text/html"' % link.encode("ascii"))
            for link in self.links
        ]
        return found


def together(several: Iterable[Deprecation]) -> Deprecation | None:
    """What is told of an answer that several are about: the earliest dates, and all links.

    The end is no earlier than the deprecation, since it is not for any of them. None for none.
    """
    told = list(several)
    if not told:
        return None
    ends = [each.sunset for each in told if each.sunset is not None]
    links = dict.fromkeys(link for each in told for link in each.links)
    return Deprecation(min(each.since for each in told), min(ends, default=None), tuple(links))


def says_so(response: RawFields) -> bool:
    """Whether a server tells of a deprecation or an end itself."""
    return any(name.lower() in _OWN for name, _ in response)


def tell(request: RawFields, response: Fields, deprecation: Deprecation) -> Fields:
    """The fields of an answer with what is told added, readable for pages that may read the answer.

    Args:
        request: the fields of the request.
        response: those of the answer, for which `says_so` does not hold.
        deprecation: what is told.
    """
    told = deprecation.fields()
    names = dict.fromkeys(name for name, _ in told)
    return cors.expose_headers(request, [*response, *told], tuple(names))
