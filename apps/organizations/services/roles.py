"""Making, changing and deleting the organization's own roles."""

from collections.abc import Collection
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Permission, Role, grantable, require, require_at_least
from apps.core.errors import NotFound, invalid
from apps.events.services.outbox import publish
from apps.organizations.errors import RoleIsHeld, RoleNameTaken
from apps.organizations.models import CustomRole
from apps.organizations.permissions import (
    CREATE_CUSTOM_ROLE,
    DELETE_CUSTOM_ROLE,
    UPDATE_CUSTOM_ROLE,
)
from apps.organizations.types import CustomRoleCreated, CustomRoleDeleted, CustomRoleUpdated

MAX_NAME_LENGTH = 60
MAX_DESCRIPTION_LENGTH = 200


def create_custom_role(
    actor: Actor, *, name: str, description: str = "", permissions: Collection[str] = ()
) -> CustomRole:
    """Makes a role of the organization's own; nobody holds it yet.

    Not idempotent. Raises `RoleNameTaken`, `InvalidRequest` for a permission that nobody can hold,
    and `RightsExceedOwn` for one that the caller does not hold everywhere.
    """
    require(actor, CREATE_CUSTOM_ROLE)
    role = CustomRole(
        organization_id=actor.organization_id,
        name=_checked_name(name),
        description=_checked_description(description),
        permissions=_checked_permissions(permissions),
        created_at=clock.now(),
    )
    require_at_least(actor, frozenset(role.permissions))
    _save(role)
    changes = {
        "name": role.name,
        "description": role.description,
        "permissions": role.permissions,
    }
    record(actor, CREATE_CUSTOM_ROLE.name, role, changes=changes)
    publish(actor, CustomRoleCreated(role_id=role.id, name=role.name))
    return role


def update_custom_role(
    actor: Actor,
    role_id: UUID,
    *,
    name: str | None = None,
    description: str | None = None,
    permissions: Collection[str] | None = None,
) -> CustomRole:
    """Renames, describes, or sets what a role holds; None leaves as it is.

    Whoever holds it has the new rights with their next call; open pages and streams notice within
    five seconds. Idempotent. Raises as `create_custom_role` does. A permission that the role holds
    already may stay although the caller lacks it, and then only they who have it take it away:
    nobody disarms those above them.
    """
    role = _locked(actor, role_id, UPDATE_CUSTOM_ROLE)
    wanted = {
        "name": role.name if name is None else _checked_name(name),
        "description": role.description
        if description is None
        else _checked_description(description),
        "permissions": (
            role.permissions if permissions is None else _checked_permissions(permissions)
        ),
    }
    changed = frozenset(wanted["permissions"]) ^ frozenset(role.permissions)
    require_at_least(actor, changed & grantable())
    changes = {f: [getattr(role, f), v] for f, v in wanted.items() if getattr(role, f) != v}
    if not changes:
        return role
    for field, value in wanted.items():
        setattr(role, field, value)
    _save(role, update_fields=list(changes))
    record(actor, UPDATE_CUSTOM_ROLE.name, role, changes=changes)
    publish(actor, CustomRoleUpdated(role_id=role.id))
    return role


def delete_custom_role(actor: Actor, role_id: UUID) -> None:
    """Deletes a role that nobody holds. Raises `RoleIsHeld` while somebody does, in a team too."""
    role = _locked(actor, role_id, DELETE_CUSTOM_ROLE)
    record(actor, DELETE_CUSTOM_ROLE.name, role, changes={"name": [role.name, None]})
    publish(actor, CustomRoleDeleted(role_id=role.id))
    try:
        with transaction.atomic():
            role.delete()
    except (ProtectedError, IntegrityError) as error:  # the latter: given at this very moment
        raise RoleIsHeld from error


def _locked(actor: Actor, role_id: UUID, permission: Permission) -> CustomRole:
    rows = CustomRole.objects.for_org(actor.organization_id).select_for_update()
    role: CustomRole | None = rows.filter(id=role_id).first()
    if role is None:
        raise NotFound("There is no such role.")
    require(actor, permission)
    return role


def _save(role: CustomRole, update_fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            role.save(force_insert=update_fields is None, update_fields=update_fields)
    except IntegrityError as error:
        raise RoleNameTaken from error


def _checked_permissions(names: Collection[str]) -> list[str]:
    unknown = sorted(set(names) - grantable())
    if unknown:
        raise invalid(
            "permissions", "unknown_permission", f"There is no permission {unknown[0][:100]!r}."
        )
    return sorted(set(names))


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise invalid("name", "invalid_name", "A name has 1 to 60 printable characters.")
    if name.lower() in {*Role, "custom"}:
        raise invalid("name", "reserved_name", "This is the name of a built-in role.")
    return name


def _checked_description(text: str) -> str:
    text = text.strip()
    if len(text) > MAX_DESCRIPTION_LENGTH or not text.isprintable():
        raise invalid(
            "description", "invalid_description", "A description has at most 200 characters."
        )
    return text
