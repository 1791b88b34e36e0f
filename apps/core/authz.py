"""Permissions: declared once per app, with the built-in roles that hold them.

Each app's `permissions.py` calls `declare`; services call `require`. Names are
`<app>.<verb>_<noun>`, the same as the service function.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from apps.core.actors import Actor
from apps.core.errors import PermissionDenied


class Role(StrEnum):
    """The built-in roles of a membership, strongest first."""

    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    VIEWER = "viewer"
    AUDITOR = "auditor"


EVERYONE = frozenset(Role)
READERS = EVERYONE - {Role.AUDITOR}
OPERATORS = frozenset({Role.OWNER, Role.ADMIN, Role.OPERATOR})
DEPLOYERS = frozenset({Role.OWNER, Role.ADMIN, Role.DEPLOYER})
ADMINS = frozenset({Role.OWNER, Role.ADMIN})
OWNERS = frozenset({Role.OWNER})
AUDITORS = frozenset({Role.OWNER, Role.ADMIN, Role.AUDITOR})


@dataclass(frozen=True, slots=True)
class Permission:
    """A right: its name, what it allows in words, and the built-in roles that hold it."""

    name: str
    description: str
    roles: frozenset[Role]


_REGISTRY: dict[str, Permission] = {}


def declare(name: str, description: str, roles: Iterable[Role]) -> Permission:
    """Declares a permission; a name can be declared once."""
    if name in _REGISTRY:
        raise RuntimeError(f"permission {name} is declared twice")
    permission = Permission(name, description, frozenset(roles))
    _REGISTRY[name] = permission
    return permission


def declared() -> dict[str, Permission]:
    """All declared permissions by name."""
    return dict(_REGISTRY)


def permissions_of(role: Role) -> frozenset[str]:
    """The names of the permissions that a built-in role holds."""
    return frozenset(p.name for p in _REGISTRY.values() if role in p.roles)


def require(actor: Actor, permission: Permission) -> None:
    """Raises `PermissionDenied`, naming the missing permission, unless the actor holds it."""
    if not actor.has_perm(permission.name):
        raise PermissionDenied(
            f"This needs the permission {permission.name} ({permission.description}).",
            data={"permission": permission.name},
        )
