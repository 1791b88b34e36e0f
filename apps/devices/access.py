"""Object grants: which permissions people hold on the organization, on teams and on groups.

These are rows of django-guardian's kind. They mean something only as grants of the one decision
(`apps.core.rights`): nothing asks guardian whether somebody may do something.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, QuerySet, Value

from apps.core.authz import declared, grantable
from apps.core.rights import Grant
from apps.devices.models import DeviceGroup, DeviceGroupGrant
from apps.organizations.models import Organization
from apps.teams.models import ObjectGrant, OrganizationGrant, Team, TeamGrant

# What can be granted on, by the word that doors use for it.
GRANT_MODELS: dict[str, type[ObjectGrant]] = {
    "organization": OrganizationGrant,
    "team": TeamGrant,
    "device_group": DeviceGroupGrant,
}
OBJECT_MODELS: dict[str, Any] = {
    "organization": Organization,
    "team": Team,
    "device_group": DeviceGroup,
}
_WHERE = {
    "organization": "granted in the organization",
    "team": "granted on the team {}",
    "device_group": "granted on the group {}",
}


def grantable_on(kind: str) -> frozenset[str]:
    """The permissions that mean something on an object of this kind."""
    if kind == "organization":
        return grantable()
    names = (p.name for p in declared().values() if p.per_group and p.roles)
    # Teams are managed as teams: a device group cannot be asked for its members.
    return frozenset(n for n in names if kind == "team" or not n.startswith("teams."))


def object_grants_of(organization_id: UUID, user_id: UUID) -> Iterator[Grant]:
    """What a person was given on single objects, in one query."""
    first, *others = (
        _rows_of(kind, organization_id).filter(user_id=user_id) for kind in GRANT_MODELS
    )
    names: defaultdict[tuple[str, str, UUID], set[str]] = defaultdict(set)
    for kind, label, object_id, name in first.union(*others, all=True):
        names[kind, label, object_id].add(name)
    for (kind, label, object_id), held in sorted(names.items()):
        yield Grant(
            frozenset(held) & grantable_on(kind),
            _WHERE[kind].format(label),
            team_id=object_id if kind == "team" else None,
            group_id=object_id if kind == "device_group" else None,
        )


def _rows_of(kind: str, organization_id: UUID) -> QuerySet[Any, tuple[str, str, UUID, str]]:
    rows = GRANT_MODELS[kind].objects.for_org(organization_id)
    found: QuerySet[Any, tuple[str, str, UUID, str]] = rows.values_list(
        Value(kind, output_field=CharField()),
        F("content_object__name"),
        "content_object_id",
        "permission__codename",
    )
    return found
