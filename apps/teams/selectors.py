"""Reading teams, and what people may do because of them."""

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from apps.core.actors import Actor
from apps.core.authz import (
    Permission,
    Role,
    grantable_in_groups,
    permissions_of,
    require,
    require_somewhere,
)
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, checked_search, paginate
from apps.core.rights import Grant, Place
from apps.organizations.models import Membership
from apps.teams.models import Team, TeamMember
from apps.teams.permissions import ADD_TEAM_MEMBERS, VIEW_TEAMS


def grants_of(organization_id: UUID, user_id: UUID) -> Iterator[Grant]:
    """What a person holds through teams: in each, the role's permissions on the team's groups."""
    rows = TeamMember.objects.for_org(organization_id).filter(user_id=user_id).order_by("id")
    columns = ("team_id", "team__name", "role", "custom_role__name", "custom_role__permissions")
    for team_id, team, role, own, names in rows.values_list(*columns):
        held = permissions_of(Role(role)) if own is None else frozenset(names)
        yield Grant(held, f"role {own or role} in the team {team}", team_id=team_id)


def place_of_team(team_id: UUID) -> Place:
    """Where a team stands: a right on the team reaches it, one on a group of its does not."""
    return Place(team_ids=frozenset({team_id}))


def list_teams(actor: Actor, page: PageRequest, *, search: str = "") -> Page[Team]:
    """The teams that the caller may see, by name, with how many are in each (`member_count`)."""
    require_somewhere(actor, VIEW_TEAMS)
    rows = _seen(actor).annotate(member_count=Count("members"))
    if search:
        rows = rows.filter(name__icontains=checked_search(search))
    return paginate(rows, page, order_by=["name", "id"])


def get_team(actor: Actor, team_id: UUID) -> Team:
    """One team, with how many are in it."""
    found: Team | None = (
        _seen(actor).annotate(member_count=Count("members")).filter(id=team_id).first()
    )
    if found is None:
        require_somewhere(actor, VIEW_TEAMS)
        raise NotFound("There is no such team.")
    return found


def find_team(organization_id: UUID, team_id: UUID) -> Team | None:
    """One team, for callers that have settled who may know of it."""
    found: Team | None = Team.objects.for_org(organization_id).filter(id=team_id).first()
    return found


def list_team_members(
    actor: Actor, team_id: UUID, page: PageRequest, *, search: str = ""
) -> Page[TeamMember]:
    """Who is in a team, in the order in which they came."""
    team = get_team(actor, team_id)
    rows = TeamMember.objects.for_org(actor.organization_id).filter(team_id=team.id)
    rows = rows.select_related("user", "custom_role")
    if search:
        rows = rows.filter(_person(search))
    return paginate(rows, page, order_by=["id"])


def list_team_candidates(
    actor: Actor, team_id: UUID, page: PageRequest, *, search: str = ""
) -> Page[Membership]:
    """Members of the organization who are not in the team; for whoever may put them into it."""
    team = get_team(actor, team_id)
    require(actor, ADD_TEAM_MEMBERS, place_of_team(team.id))
    present = TeamMember.objects.for_org(actor.organization_id).filter(team_id=team.id)
    rows = Membership.objects.for_org(actor.organization_id).select_related("user")
    rows = rows.exclude(user_id__in=present.values("user_id"))
    if search:
        rows = rows.filter(_person(search))
    return paginate(rows, page, order_by=["id"])


def list_teams_of(actor: Actor, user_ids: Collection[UUID]) -> dict[UUID, list[TeamMember]]:
    """The teams of these people that the caller may see, by person."""
    found: dict[UUID, list[TeamMember]] = {user_id: [] for user_id in user_ids}
    rows = TeamMember.objects.for_org(actor.organization_id).filter(
        user_id__in=user_ids, team__in=_seen(actor)
    )
    for member in rows.select_related("team", "custom_role").order_by("team__name", "id"):
        found[member.user_id].append(member)
    return found


def held_in_teams(names: frozenset[str]) -> frozenset[str]:
    """Those of these permissions that mean something in a team."""
    return names & grantable_in_groups()


def may_on_team(actor: Actor, permission: Permission, team_id: UUID) -> bool:
    """Whether the caller holds a right on one team."""
    return actor.may(permission.name, place_of_team(team_id))


def teams_within(
    actor: Actor, permission: Permission, rows: QuerySet[Any], *, via: str = ""
) -> QuerySet[Any]:
    """Those of `rows` whose team a right reaches; `via` is the link that leads to the team."""
    reach = actor.reach(permission.name)
    prefix = f"{via}__" if via else ""
    return rows if reach is None else rows.filter(**{f"{prefix}id__in": reach.team_ids})


def _seen(actor: Actor) -> QuerySet[Any]:
    """The teams that the caller may see."""
    return teams_within(actor, VIEW_TEAMS, Team.objects.for_org(actor.organization_id))


def _person(search: str) -> Q:
    text = checked_search(search)
    return Q(user__email__icontains=text) | Q(user__name__icontains=text)
