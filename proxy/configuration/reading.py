"""Reading the configuration: file, environment and flags to one validated value.

Precedence, from weak to strong: defaults, file, environment, flags. Whatever is wrong in any of
them is reported at once, each problem with its place. `sections` says what can be set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, get_args, get_origin
from urllib.parse import unquote_to_bytes, urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from proxy.configuration.document import Document, Path, parse, problems_from
from proxy.configuration.environment import (
    Kind,
    Override,
    applied,
    attributed,
    from_environment,
    from_flags,
    is_within,
    variable,
)
from proxy.configuration.sections import Config
from proxy.configuration.switching import unknown_switches
from proxy.configuration.tokens import contradictions
from proxy.errors import ConfigError, Diagnostic
from proxy.freshness.resources import placeholders
from proxy.switching.limits import NO_LIMITS
from proxy.switching.table import read_name
from proxy.types import NONE, Role

__all__ = ["Config", "ConfigReading", "load", "read"]

_LOOPBACKS: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """A configuration, and what it was made of.

    Attributes:
        config: the effective configuration.
        document: the file, with the overrides in place; its positions are the file's.
        overrides: what the environment and the flags say, the weakest first.
    """

    config: Config
    document: Document
    overrides: tuple[Override, ...]


def load(
    text: str,
    file: str,
    env: Mapping[str, str],
    flags: Mapping[str, object],
    read_file: Callable[[str], str],
    *,
    is_there: bool = True,
) -> Config:
    """Do what `read` does; return the configuration alone.

    Raises:
        ConfigError: with everything that is wrong in all of them.
    """
    return read(text, file, env, flags, read_file, is_there=is_there).config


def read(
    text: str,
    file: str,
    env: Mapping[str, str],
    flags: Mapping[str, object],
    read_file: Callable[[str], str],
    *,
    is_there: bool = True,
) -> ConfigReading:
    """Read and validate a configuration.

    Args:
        text: the content of the file.
        file: its name, for problems.
        env: the environment; see `proxy.configuration.environment`.
        flags: the command line: `listen`, `upstream`, `admin`; None where not given.
        read_file: gives the text of a file that a `..._FILE` variable names; raises OSError or
            ConfigError.
        is_there: whether there is a file; where there is none, `text` is empty, and what is missing
            is said of the variables that it could be in.

    Raises:
        ConfigError: with everything that is wrong in all of them.
    """
    overrides, problems = from_environment(env, _keys(Config), read_file)
    unread = [problem.path for problem in problems]
    overrides += from_flags(flags)
    try:
        document = parse(text, file)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    # What has to be there is said of the key, not of a section that nobody began.
    data = document.data if is_there else {"upstream": None}
    document = replace(document, data=applied(data, overrides))
    config, found = _validated(document)
    # A value that could not be read has its problem already; that it is missing is no second one.
    problems += [
        problem
        for problem in attributed(found, overrides)
        if not any(is_within(problem.path, path) for path in unread)
    ]
    if not is_there:
        problems = _without_file(problems, file)
    if config is None or problems:
        raise ConfigError(problems)
    return ConfigReading(config, document, tuple(overrides))


def _without_file(problems: Iterable[Diagnostic], file: str) -> list[Diagnostic]:
    """The problems, each said of the variable that is missing, and that no file is read."""
    told: list[Diagnostic] = []
    for problem in problems:
        if problem.file == file:
            name = variable(tuple(problem.path.partition("[")[0].split(".")))
            problem = replace(problem, file=name, line=0, column=0)  # noqa: PLW2901
        told.append(problem)
    message = "no such file, so only variables and flags count; --config names another one"
    return [*told, Diagnostic(file, 0, 0, "", message)] if told else []


def _validated(document: Document) -> tuple[Config | None, list[Diagnostic]]:
    """Validate each section, then what sections say of each other, as far as they are sound."""
    problems: list[Diagnostic] = []
    unsound: set[str | int] = set()
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        problems = problems_from(document, error, Config)
        data = document.data
        if not isinstance(data, dict):
            return None, problems
        unsound = {details["loc"][0] for details in error.errors(include_url=False)}
        sound: dict[str, Any] = {
            name: TypeAdapter(field.rebuild_annotation()).validate_python(data[name])
            for name, field in Config.model_fields.items()
            if name in data and name not in unsound
        }
        config = Config.model_construct(**sound)
    for sections, check in _CHECKS:
        if unsound.isdisjoint(sections):
            problems += [document.problem(path, message) for path, message in check(config)]
    return None if problems else config, problems


_Found = Iterator[tuple[Path, str]]


def _cohorts_all_reachable(config: Config) -> _Found:
    first: dict[str, int] = {}
    for index, cohort in enumerate(config.cohorts):
        if first.setdefault(cohort.name, index) != index:
            taken = f"the name `{cohort.name}` is taken by cohorts[{first[cohort.name]}]"
            yield ("cohorts", index, "name"), taken
    for index, reason in config.ordered_cohorts().unreachable():
        yield ("cohorts", index, "versions"), reason


def _coalescing_named_apart(config: Config) -> _Found:
    first: dict[str, int] = {}
    for index, route in enumerate(config.coalescing):
        if first.setdefault(route.name, index) != index:
            yield (
                ("coalescing", index, "name"),
                f"the name `{route.name}` is taken by coalescing[{first[route.name]}]",
            )


def _resources_named(config: Config) -> _Found:
    for index, route in enumerate(config.coalescing):
        told = route.fresh_until
        if told is None:
            continue
        place: tuple[str | int, ...] = ("coalescing", index, "fresh_until")
        named = {name for _, name in told.message}
        missing = sorted(named.difference(placeholders(route.path)))
        if missing:
            yield (
                (*place, "message"),
                f"`{{{missing[0]}}}` is no placeholder of coalescing[{index}].path",
            )
        elif told.socket is None and len(named) > 1:
            yield (
                place,
                "add `socket`, the path of the WebSockets: it says where each placeholder stands",
            )
        elif told.socket is not None and named != set(placeholders(told.socket)):
            yield (
                (*place, "socket"),
                "expected the placeholders that `message` names, and no others: "
                + ", ".join(f"{{{name}}}" for name in sorted(named)),
            )


def _listeners_apart(config: Config) -> _Found:
    listen, admin = config.listen.address, config.admin.address
    same_host = (
        listen.host == admin.host
        or _covers(listen.host, admin.host)
        or _covers(admin.host, listen.host)
    )
    # Port 0 is another one each time.
    if same_host and listen.port == admin.port != 0:
        yield ("admin", "address"), "the public listener (listen.address) has this address"


def _tokens_apart(config: Config) -> _Found:
    names: dict[str, int] = {}
    hashes: dict[str, int] = {}
    for index, token in enumerate(config.admin.tokens):
        place = ("admin", "tokens", index)
        if names.setdefault(token.name, index) != index:
            taken = f"the name `{token.name}` is taken by admin.tokens[{names[token.name]}]"
            yield (*place, "name"), taken
        if hashes.setdefault(token.hash, index) != index:
            yield (*place, "hash"), f"the same token as admin.tokens[{hashes[token.hash]}]"


def _limits_of_use(config: Config) -> _Found:
    known = {each.name for each in config.cohorts} | {NONE}
    for index, token in enumerate(config.admin.tokens):
        place = ("admin", "tokens", index)
        if token.limits != NO_LIMITS and not token.role.covers(Role.OPERATOR):
            limit = "only_lowers" if token.cohorts is None else "cohorts"
            yield (*place, limit), f"the role {token.role} changes nothing that this would limit"
        for number, cohort in enumerate(token.cohorts or ()):
            if cohort not in known:
                names = ", ".join(sorted(known))
                yield (
                    (*place, "cohorts", number),
                    f"there is no cohort `{cohort}`; there are: {names}",
                )


def _admin_credentials_of_use(config: Config) -> _Found:
    admin = config.admin
    if admin.clients and (admin.tls is None or admin.tls.client_ca is None):
        yield (
            ("admin", "clients"),
            "clients show certificates only where admin.tls.client_ca is set",
        )
    if (admin.trusted_user_header is None) != (not admin.trusted_proxies):
        given = "trusted_user_header" if admin.trusted_proxies == () else "trusted_proxies"
        missing = "trusted_proxies" if admin.trusted_proxies == () else "trusted_user_header"
        yield ("admin", given), f"this needs admin.{missing}"
    if admin.users and admin.trusted_user_header is None:
        yield ("admin", "users"), "nobody says who they are: set admin.trusted_user_header"


def _one_server_or_several(config: Config) -> _Found:
    upstream = config.upstream
    if not upstream.urls:
        yield ("upstream", "url"), "required, or `targets` where there are several servers"
    elif upstream.url is not None and upstream.targets:
        yield ("upstream", "targets"), "there is a `url` as well: only one of them can be given"


def _servers_apart(config: Config) -> _Found:
    first: dict[tuple[str, int], int] = {}
    for index, url in enumerate(config.upstream.targets):
        if first.setdefault(_place(url), index) != index:
            yield (
                ("upstream", "targets", index),
                f"the same server as targets[{first[_place(url)]}]",
            )


def _upstream_elsewhere(config: Config) -> _Found:
    listen, upstream = config.listen.address, config.upstream
    listed: list[tuple[Path, str]] = [
        (("upstream", "targets", index), url) for index, url in enumerate(upstream.targets)
    ]
    if upstream.url is not None:
        listed.append((("upstream", "url"), upstream.url))
    for path, url in listed:
        host, port = _place(url)
        # Whether another name leads back to this machine cannot be known here.
        own = host == listen.host or (
            host in _LOOPBACKS and (listen.host in _LOOPBACKS or _covers(listen.host, host))
        )
        if own and port == listen.port:
            yield path, "this is the public listener: Segue would forward to itself"


def _place(url: str) -> tuple[str, int]:
    """The host and the port of a URL of a server."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _upstream_tls_of_use(config: Config) -> _Found:
    tls = config.upstream.tls
    encrypted = any(url.startswith("https:") for url in config.upstream.urls)
    if tls.model_fields_set and not encrypted:
        yield ("upstream", "tls"), "this needs an https:// URL"


def _store_can_be_shared(config: Config) -> _Found:
    store = config.store
    if not store.url.startswith("sqlite:") and not store.keys:
        # A key made in one state directory opens nothing that another replica sealed.
        yield ("store", "keys"), "set at least one key: all that share a store need the same"
    if store.ca_file is not None and not store.url.startswith(("rediss:", "rediss+sentinel:")):
        yield ("store", "ca_file"), "this needs a rediss:// or rediss+sentinel:// URL"


def _token_places_apart(config: Config) -> _Found:
    sessions, paths = config.sessions, config.sessions.paths
    routes = (*paths.login, paths.refresh, paths.logout)
    for path, message in contradictions(sessions.tokens, sessions.cookie, routes):
        yield ("sessions", "tokens", *path), message


def _token_routes_apart(config: Config) -> _Found:
    """One path may be of logins and refreshes both: a body says which. It does not of a logout."""
    sessions = config.sessions
    logins = {unquote_to_bytes(path) for path in sessions.paths.login}
    refresh = unquote_to_bytes(sessions.paths.refresh)
    logout = unquote_to_bytes(sessions.paths.logout)
    for taken, name in ((logout in logins, "login"), (logout == refresh, "refresh")):
        if taken:
            message = f"a logout needs a path of its own: this one is in sessions.paths.{name} too"
            yield ("sessions", "paths", "logout"), message
    if refresh in logins and sessions.tokens.refresh_in_authorization:
        message = (
            "where sessions.paths has one path for logins and refreshes, its body says which it is:"
            " the token of a refresh has to stand there, or in a cookie"
        )
        yield ("sessions", "tokens", "refresh_in_authorization"), message


def _switches_there(config: Config) -> _Found:
    for path, message in unknown_switches(config.switching, config.switches()):
        yield ("switching", *path), message
    cohorts = config.ordered_cohorts()
    for index, each in enumerate(config.switching.exceptions):
        wrong = cohorts.never_met(read_name(each.switch).cohort, each.versions)
        if wrong:
            yield ("switching", "exceptions", index, "versions"), wrong


_CHECKS: Final[tuple[tuple[frozenset[str], Callable[[Config], _Found]], ...]] = (
    (frozenset({"cohorts"}), _cohorts_all_reachable),
    (frozenset({"cohorts", "switching"}), _switches_there),
    (frozenset({"coalescing"}), _coalescing_named_apart),
    (frozenset({"coalescing"}), _resources_named),
    (frozenset({"admin", "listen"}), _listeners_apart),
    (frozenset({"admin"}), _tokens_apart),
    (frozenset({"admin"}), _admin_credentials_of_use),
    (frozenset({"admin", "cohorts"}), _limits_of_use),
    (frozenset({"listen", "upstream"}), _upstream_elsewhere),
    (frozenset({"upstream"}), _one_server_or_several),
    (frozenset({"upstream"}), _servers_apart),
    (frozenset({"upstream"}), _upstream_tls_of_use),
    (frozenset({"sessions"}), _token_places_apart),
    (frozenset({"sessions"}), _token_routes_apart),
    (frozenset({"store"}), _store_can_be_shared),
)


def _covers(host: str, other: str) -> bool:
    """Whether listening on `host` takes the port on `other` too."""
    if host == "0.0.0.0":  # noqa: S104 (compared, not bound)
        return ":" not in other
    return not host or (host == "::" and ":" in other)


def _keys(section: type[BaseModel]) -> dict[tuple[str, ...], Kind]:
    """Every key that can be set, from the models, with what it holds."""
    return dict(_keys_within(section, ()))


def _keys_within(
    section: type[BaseModel], path: tuple[str, ...]
) -> Iterable[tuple[tuple[str, ...], Kind]]:
    for name, field in section.model_fields.items():
        types = list(_plain_types(field.annotation))
        inner = [kind for kind in types if issubclass(kind, BaseModel)]
        if inner:
            yield (*path, name), Kind.SECTION
            yield from _keys_within(inner[0], (*path, name))
        else:
            kinds = ((tuple, Kind.LIST), (dict, Kind.MAP))
            yield (*path, name), next((kind for of, kind in kinds if of in types), Kind.SCALAR)


def _plain_types(annotation: Any) -> Iterator[type]:
    """The classes that an annotation allows, without what lists hold."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and origin is None:
        yield annotation
    elif origin in (tuple, dict):
        yield origin
    elif origin is Annotated:
        yield from _plain_types(get_args(annotation)[0])
    else:
        for member in get_args(annotation):
            yield from _plain_types(member)
