"""Changing the settings of an organization."""

from collections.abc import Mapping
from typing import Any

from apps.accounts.selectors import find_active_user
from apps.audit.services.entries import record
from apps.core.actors import Actor, ActorKind
from apps.core.authz import require
from apps.core.errors import FieldError, InvalidRequest
from apps.events.services.outbox import publish
from apps.organizations.domain.settings import (
    KEYS,
    BadSetting,
    SettingKey,
    changed,
    clean,
    values,
)
from apps.organizations.models import Organization
from apps.organizations.permissions import (
    UPDATE_ORGANIZATION_SETTINGS,
    UPDATE_QUOTAS,
    UPDATE_SECURITY_POLICY,
)
from apps.organizations.services.policy import SECURITY, guard_own_access
from apps.organizations.types import OrganizationUpdated

PERMISSIONS = {
    permission.name: permission
    for permission in (UPDATE_ORGANIZATION_SETTINGS, UPDATE_SECURITY_POLICY, UPDATE_QUOTAS)
}


def update_organization_settings(actor: Actor, changes: Mapping[str, Any]) -> Organization:
    """Sets settings of the actor's organization, all or none; repeating it changes nothing.

    Each key says which permission it needs; quotas are the installation's, for superusers. They
    hold at once: the next call, and the next message of an open stream, are judged by them. Raises
    `InvalidRequest` that names every bad key, and `WouldLockYouOut` for a security policy that
    refuses the caller.
    """
    rows = Organization.objects.select_for_update(no_key=True)
    organization = rows.get(id=actor.organization_id)
    known = [KEYS[name] for name in changes if name in KEYS]
    for key in known or [next(iter(KEYS.values()))]:
        _require(actor, key)
    cleaned = _cleaned(changes)
    before = values(organization)
    organization.settings = {**organization.settings, **cleaned}
    differences = changed(before, values(organization))
    if not differences:
        return organization
    if any(name.startswith(SECURITY) for name in differences):
        guard_own_access(actor, organization)
    organization.settings = {
        name: held for name, held in organization.settings.items() if name in KEYS
    }
    organization.save(update_fields=["settings"])
    record(actor, UPDATE_ORGANIZATION_SETTINGS.name, organization, changes=differences)
    publish(actor, OrganizationUpdated())
    return organization


def may_change(actor: Actor, name: str) -> bool:
    """Whether the actor may change the setting `name`."""
    permission = KEYS[name].permission
    return actor.has_perm(permission) or (permission == UPDATE_QUOTAS.name and is_superuser(actor))


def is_superuser(actor: Actor) -> bool:
    """Whether a person is asking, not a key, who runs the installation."""
    if actor.kind is not ActorKind.USER or actor.user_id is None:
        return False
    user = find_active_user(actor.user_id)
    return user is not None and user.is_superuser


def _require(actor: Actor, key: SettingKey) -> None:
    if not may_change(actor, key.name):
        require(actor, PERMISSIONS[key.permission])


def _cleaned(changes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    errors = []
    for name, raw in changes.items():
        if name not in KEYS:
            message = f"There is no setting {name[:100]!r}."
            errors.append(FieldError(name[:100], "unknown_setting", message))
            continue
        try:
            found[name] = clean(KEYS[name], raw)
        except BadSetting as error:
            errors.append(FieldError(name, "invalid_setting", str(error)))
    if errors:
        raise InvalidRequest(errors[0].message, fields=errors)
    return found
