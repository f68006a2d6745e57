"""The section `admin` of the configuration: the listener for operators, and their roles."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from proxy.configuration.document import WrittenText
from proxy.configuration.fields import FileName, ListedNetwork, ListenAddress, Section, Token
from proxy.configuration.units import Address
from proxy.switching.limits import Limits
from proxy.tokens.admin_token import read_hash
from proxy.types import Role

_MOST_TOKENS: Final = 1000
_MOST_NAMES: Final = 10_000
_MOST_COHORTS: Final = 100
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)")


def token_name(value: str) -> str:
    """Check the name of a token.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", value):
        raise ValueError("expected letters, digits, `.`, `_`, `@`, `-`, at most 64 of them")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})", value):
        raise ValueError('expected a name without a port, such as "segue.example.com"')
    return value.lower()


def _moment(value: object) -> object:
    if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
        raise ValueError('expected a time with its zone, such as "2027-01-31T00:00:00Z"')
    return value


TokenName = Annotated[WrittenText, AfterValidator(token_name)]
HostName = Annotated[WrittenText, AfterValidator(_host)]
TokenHash = Annotated[WrittenText, AfterValidator(read_hash)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Named = Annotated[WrittenText, Field(min_length=1, max_length=256)]
Roles = Annotated[dict[Named, Role], Field(max_length=_MOST_NAMES)]


class AdminToken(Section):
    """A bearer token that `segue token new` has made. Taking its entry out revokes it.

    Attributes:
        name: who it is for, as the log says it.
        role: what it may do.
        hash: of the token, which itself stands nowhere.
        expires: from when it is refused; never where null.
        cohorts: the only ones whose switches it may change and whose WebSockets it may close; null
            for all. What else its role may, it may.
        only_lowers: whether it may only have less rewritten: turn switches down, or all of them
            off.
    """

    name: TokenName
    role: Role
    hash: TokenHash
    expires: Moment | None = None
    cohorts: Annotated[tuple[Named, ...], Field(min_length=1, max_length=_MOST_COHORTS)] | None = (
        None
    )
    only_lowers: bool = False

    @property
    def limits(self) -> Limits:
        """How far its right to change switches goes."""
        return Limits(self.cohorts, self.only_lowers)


class AdminTls(Section):
    """TLS on the admin listener, 1.3 and later.

    Attributes:
        certificate: the file with the certificate chain, PEM.
        key: the file with its private key, PEM.
        client_ca: the file with the authorities whose certificates clients may show, PEM; null asks
            clients for none. Whom they name needs a role in `admin.clients`.
    """

    certificate: FileName
    key: FileName
    client_ca: FileName | None = None


class Admin(Section):
    """The listener for probes, metrics and operators; not for the public.

    Attributes:
        address: where it binds. Commands on this machine come in by a Unix socket in the state
            directory instead, `admin.sock`.
        tls: certificate and key; without, it speaks plain HTTP.
        hosts: the names under which it is asked, in `Host`; IP addresses and `localhost` always
            are. Pages of other sites could point names of their own here (DNS rebinding).
        tokens: who may come in with `Authorization: Bearer`.
        clients: the roles of client certificates, by their DNS name, e-mail address or URI, or by
            their common name where they have none of these.
        trusted_proxies: the networks of authenticating proxies, which are believed who their user
            is. Whoever can connect from there can pass for anybody in `users`.
        trusted_user_header: the field in which they say it; from everybody else it counts for
            nothing.
        users: the roles of those users; who is not listed has none.
        protect_metrics: whether `/metrics` needs the role `metrics` or a higher one; probes never
            need one.
        allow_raw_recordings: whether `segue record --raw` may show messages as they are, to the
            role `admin`. Otherwise recordings have placeholders for all text that is not named.
        console: whether there is a page for browsers, at `/console/`.
    """

    address: ListenAddress = Address("127.0.0.1", 9090)
    tls: AdminTls | None = None
    hosts: Annotated[tuple[HostName, ...], Field(max_length=_MOST_TOKENS)] = ()
    tokens: Annotated[tuple[AdminToken, ...], Field(max_length=_MOST_TOKENS)] = ()
    clients: Roles = {}  # noqa: RUF012 (pydantic copies it)
    trusted_proxies: tuple[ListedNetwork, ...] = ()
    trusted_user_header: Token | None = None
    users: Roles = {}  # noqa: RUF012 (pydantic copies it)
    protect_metrics: bool = False
    allow_raw_recordings: bool = False
    console: bool = True
