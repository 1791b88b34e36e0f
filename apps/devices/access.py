"""Object grants: which permissions people hold on the organization, on teams and on groups.

These are rows of django-guardian's kind. They mean something only as grants of the one decision
(`apps.core.rights`): nothing asks guardian whether somebody may do something.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import CharField, Count, F, QuerySet, Value

from apps.core.actors import Actor
from apps.core.authz import grantable, grantable_in_groups, require
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest
from apps.core.rights import NOWHERE, Grant, Place
from apps.devices.models import DeviceGroup, DeviceGroupGrant
from apps.devices.permissions import VIEW_ACCESS_GRANTS, VIEW_DEVICE_GROUPS
from apps.devices.selectors.places import groups_within, place_of_group
from apps.organizations.models import Organization
from apps.teams.models import ObjectGrant, OrganizationGrant, Team, TeamGrant, TeamMember
from apps.teams.selectors import find_team, place_of_team

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


@dataclass(frozen=True, slots=True)
class GrantObject:
    """What rights are given on: a word of `GRANT_MODELS`, and the id."""

    kind: str
    id: UUID


@dataclass(frozen=True, slots=True)
class FoundObject:
    """Such an object as it is stored, and where it stands."""

    row: Any
    place: Place


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """All that one person was given on one object."""

    user_id: UUID
    email: str
    name: str
    kind: str
    object_id: UUID
    object_name: str
    permissions: tuple[str, ...]

    @property
    def key(self) -> str:
        """What it is sorted and paged by."""
        return f"{self.kind}:{self.object_id}:{self.user_id}"


def kind_of(grant: ObjectGrant) -> str:
    """The word for what a row is about."""
    return next(kind for kind, model in GRANT_MODELS.items() if isinstance(grant, model))


def grantable_on(kind: str) -> frozenset[str]:
    """The permissions that mean something on an object of this kind."""
    if kind == "organization":
        return grantable()
    names = grantable_in_groups()
    # Teams are managed as teams: a device group cannot be asked for its members.
    return names if kind == "team" else frozenset(n for n in names if not n.startswith("teams."))


# Asked whenever a person's rights are looked up, so it is plain SQL: composing this from models
# takes several times as long as answering it.
_OF_PERSON = " UNION ALL ".join(
    f"SELECT '{kind}', held.content_object_id, object.name, array_agg(permission.codename)"  # noqa: S608 - names of tables
    f" FROM {model._meta.db_table} AS held"
    f" JOIN {OBJECT_MODELS[kind]._meta.db_table} AS object ON object.id = held.content_object_id"
    " JOIN auth_permission AS permission ON permission.id = held.permission_id"
    " WHERE held.organization_id = %(organization)s AND held.user_id = %(user)s GROUP BY 1, 2, 3"
    for kind, model in GRANT_MODELS.items()
)


def object_grants_of(organization_id: UUID, user_id: UUID) -> Iterator[Grant]:
    """What a person was given on single objects, in one query: a source of rights."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_PERSON, {"organization": organization_id, "user": user_id})
        rows = sorted(cursor.fetchall())
    for kind, object_id, name, names in rows:
        yield Grant(
            frozenset(names) & grantable_on(kind),
            _WHERE[kind].format(name),
            team_id=object_id if kind == "team" else None,
            group_id=object_id if kind == "device_group" else None,
        )


def list_access_grants(
    actor: Actor, page: PageRequest, *, user_id: UUID | None = None, on: GrantObject | None = None
) -> Page[AccessGrant]:
    """What people were given on single objects, of one person or on one object where asked."""
    require(actor, VIEW_ACCESS_GRANTS)
    found = list_grants_of(actor.organization_id, user_id=user_id, on=on)
    rest = [grant for grant in found if grant.key > page.token]
    items = rest[: page.size]
    return Page(items, items[-1].key if len(rest) > len(items) else "")


def list_grants_of(
    organization_id: UUID, *, user_id: UUID | None = None, on: GrantObject | None = None
) -> list[AccessGrant]:
    """The same for callers that have settled who may know of it."""
    kinds = [on.kind] if on else list(GRANT_MODELS)
    narrowed = {
        **({"user_id": user_id} if user_id else {}),
        **({"content_object_id": on.id} if on else {}),
    }
    first, *others = (_rows_of(kind, organization_id).filter(**narrowed) for kind in kinds)
    names: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for *where, name in first.union(*others, all=True) if others else first:
        names[tuple(where)].add(name)
    grants = (_grant(where, held) for where, held in names.items())
    return sorted(grants, key=lambda grant: grant.key)


def find_grant_object(actor: Actor, on: GrantObject) -> FoundObject:
    """The object and where it stands. Raises `NotFound`, also for another organization's."""
    organization_id = actor.organization_id
    if on.kind == "organization" and on.id == organization_id:
        return FoundObject(Organization.objects.get(id=organization_id), NOWHERE)
    if on.kind == "team":
        team = find_team(organization_id, on.id)
        if team is not None:
            return FoundObject(team, place_of_team(team.id))
    if on.kind == "device_group":
        group = DeviceGroup.objects.for_org(organization_id).filter(id=on.id).first()
        if group is not None:
            return FoundObject(group, place_of_group(group))
    raise NotFound("There is no such object to give rights on.")


def count_owned_groups(actor: Actor, team_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many device groups each of these teams owns, of those that the caller may see."""
    rows = DeviceGroup.objects.for_org(actor.organization_id).filter(team_id__in=team_ids)
    seen = groups_within(actor, VIEW_DEVICE_GROUPS, rows)
    return dict(seen.order_by().values_list("team_id").annotate(n=Count("id")))


def held_through_team(organization_id: UUID, team_id: UUID) -> frozenset[str]:
    """What the people of a team, taken together, may do on the groups that it owns."""
    members = TeamMember.objects.for_org(organization_id).filter(team_id=team_id)
    roles = [member.role_permissions for member in members.select_related("custom_role")]
    granted = list_grants_of(organization_id, on=GrantObject("team", team_id))
    names = frozenset[str]().union(*roles, *(grant.permissions for grant in granted))
    return names & grantable_on("device_group")


def _grant(columns: tuple[Any, ...], names: set[str]) -> AccessGrant:
    user_id, email, name, kind, object_id, object_name = columns
    return AccessGrant(user_id, email, name, kind, object_id, object_name, tuple(sorted(names)))


def _rows_of(kind: str, organization_id: UUID) -> QuerySet[Any, tuple[Any, ...]]:
    """The columns of `AccessGrant`, the last of them one permission's name."""
    rows = GRANT_MODELS[kind].objects.for_org(organization_id)
    found: QuerySet[Any, tuple[Any, ...]] = rows.values_list(
        "user_id",
        "user__email",
        "user__name",
        Value(kind, output_field=CharField()),
        "content_object_id",
        F("content_object__name"),
        "permission__codename",
    )
    return found
