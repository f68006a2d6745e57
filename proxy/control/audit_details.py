"""Who may do what at the admin listener, and what a reload has changed of it, for the audit."""

from __future__ import annotations

from typing import Final

from proxy.configuration.admin import Admin, AdminToken

_MOST: Final = 200
"""Names that are listed; of more, how many there are."""


def principals(admin: Admin) -> dict[str, object]:
    """The names of tokens, client certificates and users, with their roles."""
    return _listed(_roles(admin))


def added_and_removed(before: Admin, after: Admin) -> dict[str, object]:
    """What a reload has changed of that; empty where it has not.

    A name whose role, token or end of life has changed is under both.
    """
    old, new = _named(before), _named(after)
    added = {name: role for name, (role, *_) in new.items() if old.get(name) != new[name]}
    removed = {name: role for name, (role, *_) in old.items() if new.get(name) != old[name]}
    changes = {"added": _listed(added), "removed": _listed(removed)}
    return {name: listed for name, listed in changes.items() if listed}


def _roles(admin: Admin) -> dict[str, str]:
    return {name: role for name, (role, *_) in _named(admin).items()}


def _named(admin: Admin) -> dict[str, tuple[str, ...]]:
    """Everybody who is named, each with a role and what else makes them who they are."""
    tokens = {
        f"{each.name} (token)": (_limited(each), each.hash, str(each.expires))
        for each in admin.tokens
    }
    clients = {f"{name} (certificate)": (role.value,) for name, role in admin.clients.items()}
    users = {f"{name} (proxy)": (role.value,) for name, role in admin.users.items()}
    return {**tokens, **clients, **users}


def _limited(token: AdminToken) -> str:
    """The role of a token, and the limits that it has."""
    limits = str(token.limits)[:_MOST]
    return f"{token.role.value} ({limits})" if limits else token.role.value


def _listed(roles: dict[str, str]) -> dict[str, object]:
    listed: dict[str, object] = dict(sorted(roles.items())[:_MOST])
    return listed | ({"and": len(roles) - _MOST} if len(roles) > _MOST else {})
