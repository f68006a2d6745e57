"""Whether a request was meant for this listener, by whoever sits at the browser that sends it.

Browsers send requests that pages of other sites have made, with the user's certificate or through
the user's authenticating proxy, and to whatever address such a site's own name points to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from proxy.tokens.admin_token import ANYWHERE

_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_SECRET_PARAMETERS: Final = frozenset({"access_token", "authorization", "bearer", "token"})
_MAX_DECODINGS: Final = 3


def misdirected(hosts: Sequence[str], names: Sequence[str]) -> str | None:
    """What is wrong with the `Host` of a request; None where it names this listener.

    An address, and `localhost`, is a name that no other site can have (DNS rebinding).

    Args:
        hosts: the values of the `Host` fields.
        names: other names of this listener, in small letters.
    """
    if len(hosts) != 1:
        return "expected one Host field"
    try:
        host = (urlsplit(f"//{hosts[0]}").hostname or "").lower()
    except ValueError:
        host = ""
    if not host:
        return "invalid Host header"
    if host in _LOCAL_NAMES or host in names or _is_address(host):
        return None
    return "Host is not a name of this listener: put it into admin.hosts"


def from_elsewhere(host: str, origins: Sequence[str], sites: Sequence[str]) -> str | None:
    """Why a request is one that a page of another site has made; None where it is none.

    What is no browser sends neither `Origin` nor `Sec-Fetch-Site`.

    Args:
        host: the value of `Host`.
        origins: the values of the `Origin` fields (RFC 6454 section 7).
        sites: the values of the `Sec-Fetch-Site` fields (Fetch Metadata section 2.3).
    """
    if any(site not in _OWN_SITE for site in sites):
        return "a page of another site has made this request (Sec-Fetch-Site)"
    if any(_authority(origin) != host.lower() for origin in origins):
        return "a page of another origin has made this request (Origin)"
    return None


def shows_secret(target: str) -> bool:
    """Whether there is a token in a request target, where proxies and histories keep it."""
    query = target.partition("?")[2]
    if any(
        name.lower() in _SECRET_PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)
    ):
        return True
    for _ in range(_MAX_DECODINGS):
        if ANYWHERE.search(target) is not None:
            return True
        target = unquote(target)
    return False


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
