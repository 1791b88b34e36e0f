"""What somebody may do to something, and why. It sees every app, so that anything can be asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from uuid import UUID

from django.db.models import Q

from apps.accounts.models import User
from apps.core.actors import Actor
from apps.core.authz import declared, grantable, require
from apps.core.errors import NotFound, PermissionDenied, invalid
from apps.core.pagination import PageRequest, checked_search
from apps.devices.models import DeviceGroup
from apps.devices.permissions import VIEW_DEVICE_GROUPS, VIEW_DEVICES
from apps.devices.selectors import (
    get_device,
    get_device_group,
    list_device_groups,
    list_devices,
)
from apps.devices.selectors.places import list_groups_of, place_of_group
from apps.organizations.models import Membership
from apps.organizations.permissions import VIEW_ORGANIZATION
from apps.organizations.selectors import find_membership, get_organization, grants_of
from apps.teams.domain.explanation import Explained, Standing, StandingGroup, explain
from apps.teams.permissions import EXPLAIN_ACCESS, VIEW_TEAMS
from apps.teams.selectors import get_team, list_teams
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.rollouts import get_rollout, list_rollouts
from apps.updates.types import Target

# Names of rights that are not about a single device, but about what leads to it.
_NOT_ABOUT_DEVICES = ("rollout", "enrollment_token", "device_group", "teams.")
_ABOUT: dict[str, Callable[[str], bool]] = {
    "organization": lambda name: True,
    "team": lambda name: declared()[name].per_group,
    "device_group": lambda name: declared()[name].per_group and not name.startswith("teams."),
    "rollout": lambda name: declared()[name].per_group and name.startswith("updates."),
    "device": lambda name: (
        declared()[name].per_group and not any(part in name for part in _NOT_ABOUT_DEVICES)
    ),
}
_SIGHT = frozenset(p.name for p in (VIEW_DEVICES, VIEW_DEVICE_GROUPS, VIEW_TEAMS, VIEW_ROLLOUTS))
ROLLOUTS_SEARCHED = 200
KINDS = tuple(_ABOUT)
"""The kinds of objects that can be asked about."""


@dataclass(frozen=True, slots=True)
class AccessExplanation:
    """Who, what, and each permission with its answer and reasons."""

    user: User
    role_name: str
    standing: Standing
    items: tuple[Explained, ...]


def explain_access(
    actor: Actor, *, user_id: UUID, kind: str, object_id: UUID, permission: str = ""
) -> AccessExplanation:
    """What a member may do to an object, and why: the same rule that the operations ask.

    Anybody may ask about themselves and what they can see; about others needs a right of its own.
    Without a permission: all that mean something there. Raises `NotFound` for objects that the
    caller cannot see and for people who are no members, `InvalidRequest` for no such permission.
    """
    require(actor, VIEW_ORGANIZATION)
    if user_id != actor.user_id:
        require(actor, EXPLAIN_ACCESS)
    membership = find_membership(actor.organization_id, user_id)
    if membership is None:
        raise NotFound("There is no such member.")
    standing = _standing(actor, kind, object_id)
    grants = grants_of(membership) if membership.user.is_active else ()
    items = tuple(
        explain(grants, name, standing, is_per_group=declared()[name].per_group)
        for name in _asked(kind, permission)
    )
    if not membership.user.is_active:
        items = tuple(Explained(i.permission, False, ("the account is disabled",)) for i in items)
    return AccessExplanation(membership.user, membership.role_name, standing, items)


def _asked(kind: str, permission: str) -> list[str]:
    if not permission:
        about = _ABOUT[kind]
        possible = grantable()
        return [name for name in declared() if name in possible and about(name)]
    if permission not in grantable():
        raise invalid("permission", "unknown_permission", "There is no such permission.")
    return [permission]


def name_of_object(actor: Actor, kind: str, object_id: UUID) -> str:
    """What an object that the caller may know of is called. Raises `NotFound` for others."""
    require(actor, VIEW_ORGANIZATION)
    return _standing(actor, kind, object_id).name


def _standing(actor: Actor, kind: str, object_id: UUID) -> Standing:
    """Where the object stands. Selectors decide whether the caller may know of it."""
    if kind == "organization":
        return Standing(kind, object_id, get_organization(actor, object_id).name)
    if kind == "team":
        team = get_team(_reader(actor), object_id)
        return Standing(kind, team.id, team.name, team_id=team.id)
    if kind == "device":
        device = get_device(_reader(actor), object_id)
        groups = list_groups_of(actor.organization_id, [device])
        return Standing(kind, device.id, device.name, _shown(actor, groups))
    if kind == "device_group":
        group = get_device_group(_reader(actor), object_id)
        return Standing(kind, group.id, group.name, _shown(actor, [group]))
    if kind == "rollout":
        return _rollout(actor, object_id)
    raise invalid("object_kind", "unknown_kind", f"Ask about one of {', '.join(KINDS)}.")


def _rollout(actor: Actor, rollout_id: UUID) -> Standing:
    """A rollout stands in the groups that it names, if it names nothing else."""
    rollout = get_rollout(_reader(actor), rollout_id)
    target = Target.restore(rollout.target)
    groups: list[DeviceGroup] = []
    if not target.device_ids and not target.tags:
        rows = DeviceGroup.objects.for_org(actor.organization_id)
        groups = list(rows.filter(id__in=target.group_ids).order_by("id"))
    is_whole = len(groups) == len(set(target.group_ids))
    shown = _shown(actor, groups) if is_whole else ()
    return Standing("rollout", rollout.id, rollout.name, shown, is_in_all=True)


def _shown(actor: Actor, groups: Sequence[DeviceGroup]) -> tuple[StandingGroup, ...]:
    """The groups; without the names of those that the caller may not see."""
    reader = _reader(actor)
    return tuple(
        StandingGroup(
            group.id,
            group.name if reader.may(VIEW_DEVICE_GROUPS.name, place_of_group(group)) else "",
            group.team_id,
        )
        for group in groups
    )


def _reader(actor: Actor) -> Actor:
    """Who may ask about anybody may ask about anything: the caller, with sight of all objects."""
    if not actor.has_perm(EXPLAIN_ACCESS.name):
        return actor
    return replace(actor, permissions=actor.permissions | _SIGHT)


@dataclass(frozen=True, slots=True)
class Askable:
    """Something that can be asked about: its id, its name, and a word more."""

    id: UUID
    name: str
    detail: str = ""


def list_askable_people(actor: Actor, *, search: str, limit: int) -> list[Askable]:
    """Members to ask about, by name or address."""
    require(actor, EXPLAIN_ACCESS)
    text = checked_search(search)
    rows = Membership.objects.for_org(actor.organization_id).select_related("user")
    if text:
        rows = rows.filter(Q(user__email__icontains=text) | Q(user__name__icontains=text))
    return [
        Askable(
            row.user_id, row.user.name or row.user.email, row.user.email if row.user.name else ""
        )
        for row in rows.order_by("id")[:limit]
    ]


def list_askable_objects(actor: Actor, kind: str, *, search: str, limit: int) -> list[Askable]:
    """Objects of a kind to ask about, of those that the caller may see; none sees nothing."""
    reader, page = _reader(actor), PageRequest(size=limit)
    try:
        match kind:
            case "device":
                devices = list_devices(reader, page, search=search).items
                return [Askable(each.id, each.name, each.serial) for each in devices]
            case "device_group":
                groups = list_device_groups(reader, page, search=search).items
                return [Askable(each.id, each.name, each.tag) for each in groups]
            case "team":
                teams = list_teams(reader, page, search=search).items
                return [Askable(each.id, each.name, each.description) for each in teams]
            case "rollout":
                rollouts = list_rollouts(reader, PageRequest(size=ROLLOUTS_SEARCHED)).items
                found = (each for each in rollouts if search.lower() in each.name.lower())
                return [Askable(each.id, each.name, each.state) for each in islice(found, limit)]
    except PermissionDenied:
        pass
    return []
