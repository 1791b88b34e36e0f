"""Permissions: declared once per app, with the built-in roles that hold them.

Each app's `permissions.py` calls `declare`; services call `require`. Names are
`<app>.<verb>_<noun>`, the same as the service function.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from apps.core.actors import Actor
from apps.core.errors import (
    FleetdError,
    OrganizationDeleting,
    OrganizationSuspended,
    PermissionDenied,
)
from apps.core.rights import NOWHERE, Grant, Place


class Role(StrEnum):
    """The built-in roles of a membership, strongest first."""

    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    VIEWER = "viewer"
    AUDITOR = "auditor"
    MEMBER = "member"


CUSTOM = "custom"
"""What stands for a role of the organization's own making, where a role's name is stored."""

# A member sees of the devices only what teams and grants give.
EVERYONE = frozenset(Role)
MEMBERS = EVERYONE - {Role.AUDITOR}
READERS = MEMBERS - {Role.MEMBER}
OPERATORS = frozenset({Role.OWNER, Role.ADMIN, Role.OPERATOR})
DEPLOYERS = frozenset({Role.OWNER, Role.ADMIN, Role.DEPLOYER})
ADMINS = frozenset({Role.OWNER, Role.ADMIN})
OWNERS = frozenset({Role.OWNER})
AUDITORS = frozenset({Role.OWNER, Role.ADMIN, Role.AUDITOR})


@dataclass(frozen=True, slots=True)
class Permission:
    """A right: its name, what it allows in words, and the built-in roles that hold it.

    One with `per_group` is about devices and can also be held for some device groups only; any
    other means something in the whole organization or nothing.
    """

    name: str
    description: str
    roles: frozenset[Role]
    per_group: bool = False


SIGNED_IN = Permission("signed_in", "be signed in", EVERYONE)
"""For what tells the caller about itself only: every caller may."""

OPEN_TO_ALL = Permission("open_to_all", "be anybody: the request itself is the proof", EVERYONE)
"""For what is asked before anybody is known, such as signing in."""

PLATFORM = Permission("platform", "be the platform itself", frozenset())
"""For work that nobody asks for and no role can hold: sweeps, relays, schedulers."""

F = TypeVar("F", bound=Callable[..., Any])

_DECLARED = "fleetd_permission"
_STANDSTILL: dict[str, type[FleetdError]] = {
    "suspended": OrganizationSuspended,
    "deleting": OrganizationDeleting,
}
_REGISTRY: dict[str, Permission] = {}
_SOURCES: list[Callable[[UUID, UUID], Iterable[Grant]]] = []


def declare(
    name: str, description: str, roles: Iterable[Role], *, per_group: bool = False
) -> Permission:
    """Declares a permission; a name can be declared once."""
    if name in _REGISTRY:
        raise RuntimeError(f"permission {name} is declared twice")
    permission = Permission(name, description, frozenset(roles), per_group)
    _REGISTRY[name] = permission
    return permission


def needs(permission: Permission) -> Callable[[F], F]:
    """Declares which permission a handler of a door needs: a page's, or a servicer's method.

    Pages are refused to those who do not hold it anywhere; the service decides about the object.
    """

    def mark(handler: F) -> F:
        setattr(handler, _DECLARED, permission)
        return handler

    return mark


def permission_needed(handler: object) -> Permission | None:
    """What `needs` declared for a handler."""
    return getattr(handler, _DECLARED, None)


def grantable() -> frozenset[str]:
    """The names of the permissions that somebody can hold: no role holds the platform's own."""
    return frozenset(p.name for p in _REGISTRY.values() if p.roles)


def grantable_in_groups() -> frozenset[str]:
    """Those of them that can also be held in a team or on a device group only."""
    return frozenset(p.name for p in _REGISTRY.values() if p.per_group and p.roles)


def grant_source(source: Callable[[UUID, UUID], Iterable[Grant]]) -> None:
    """Registers where rights beside the role in the organization come from.

    `source(organization_id, user_id)` is called inside the organization whenever a person's
    rights are looked up. Registering it again changes nothing.
    """
    if source not in _SOURCES:
        _SOURCES.append(source)


def held_grants(organization_id: UUID, user_id: UUID) -> tuple[Grant, ...]:
    """What a person holds beside the role in the organization.

    In teams and device groups it is cut to what can be held there.
    """
    everywhere, in_groups = grantable(), grantable_in_groups()
    found = (grant for source in _SOURCES for grant in source(organization_id, user_id))
    cut = ((g, g.permissions & (everywhere if g.is_everywhere else in_groups)) for g in found)
    return tuple(replace(grant, permissions=names) for grant, names in cut if names)


def declared() -> dict[str, Permission]:
    """All declared permissions by name."""
    return dict(_REGISTRY)


def permissions_of(role: Role) -> frozenset[str]:
    """The names of the permissions that a built-in role holds."""
    return frozenset(p.name for p in _REGISTRY.values() if role in p.roles)


def require(actor: Actor, permission: Permission, place: Place = NOWHERE) -> None:
    """Raises `PermissionDenied`, naming the missing permission, unless the actor holds it.

    `place` is where the object stands; without one the right must hold in the organization.
    """
    if not actor.may(permission.name, place):
        raise _denied(actor, permission)


def require_somewhere(actor: Actor, permission: Permission) -> None:
    """Raises `PermissionDenied` unless the actor holds the right somewhere at least.

    For lists, which then show what is within `actor.reach(permission.name)`.
    """
    if not actor.may_somewhere(permission.name):
        raise _denied(actor, permission)


def require_at_least(actor: Actor, names: frozenset[str], place: Place = NOWHERE) -> None:
    """Raises `PermissionDenied` unless the actor holds all of `names`: nobody hands on more."""
    lacking = sorted(name for name in names if not actor.may(name, place))
    if lacking:
        raise RightsExceedOwn(
            f"You cannot give more rights than you have; you lack {lacking[0]}.",
            data={"permission": lacking[0]},
        )


class RightsExceedOwn(PermissionDenied):
    """Somebody tried to give rights that they do not hold themselves."""

    code = "rights_exceed_own"
    default_message = "You cannot give more rights than you have."


def _denied(actor: Actor, permission: Permission) -> FleetdError:
    """Says that the organization stands still, where that is why the right is missing."""
    if actor.standstill:
        return _STANDSTILL[actor.standstill]()
    return PermissionDenied(
        f"This needs the permission {permission.name} ({permission.description}).",
        data={"permission": permission.name},
    )
