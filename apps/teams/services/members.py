"""Putting people into teams, and what they are there."""

from collections.abc import Collection
from uuid import UUID

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import Role, require_at_least
from apps.core.errors import NotFound, invalid
from apps.events.services.outbox import publish
from apps.organizations.access import members_held
from apps.organizations.models import Membership
from apps.organizations.services.members import ChosenRole, choose_role
from apps.teams.errors import NotAMember
from apps.teams.models import Team, TeamMember
from apps.teams.permissions import ADD_TEAM_MEMBERS, CHANGE_TEAM_ROLE, REMOVE_TEAM_MEMBER
from apps.teams.selectors import held_in_teams, place_of_team
from apps.teams.services.teams import locked_team
from apps.teams.types import TeamMemberAdded, TeamMemberRemoved, TeamRoleChanged

MAX_AT_ONCE = 200
TEAM_ROLES = (Role.ADMIN, Role.OPERATOR, Role.DEPLOYER, Role.VIEWER)
"""Built-in roles that mean something in a team; custom roles do too."""


def add_team_members(
    actor: Actor,
    team_id: UUID,
    user_ids: Collection[UUID],
    *,
    role: str,
    custom_role_id: UUID | str | None = None,
) -> Team:
    """Puts members of the organization into a team; those who are in it keep their role.

    From their next call on they have the role on the device groups that the team owns. All or
    nobody: raises `NotAMember`, `RightsExceedOwn`, `InvalidRequest`.
    """
    team = locked_team(actor, team_id, ADD_TEAM_MEMBERS)
    chosen = checked_role(actor, team, role, custom_role_id)
    wanted = set(user_ids)
    if len(wanted) > MAX_AT_ONCE:
        raise invalid("user_ids", "too_many", f"At most {MAX_AT_ONCE} people at once.")
    present = TeamMember.objects.for_org(actor.organization_id).filter(team_id=team.id)
    missing = wanted - set(present.values_list("user_id", flat=True))
    for membership in _memberships(actor, missing):
        member = TeamMember(
            organization_id=actor.organization_id,
            team=team,
            user=membership.user,
            role=chosen.role,
            custom_role=chosen.custom,
            created_at=clock.now(),
        )
        member.save(force_insert=True)
        changes = {"member": member.user.email, "role": chosen.name}
        record(actor, ADD_TEAM_MEMBERS.name, team, changes=changes)
        publish(actor, TeamMemberAdded(team_id=team.id, user_id=member.user_id, role=chosen.name))
    return team


def change_team_role(
    actor: Actor,
    team_id: UUID,
    user_id: UUID,
    *,
    role: str,
    custom_role_id: UUID | str | None = None,
) -> TeamMember:
    """Gives somebody another role in a team, from their next call on. Idempotent.

    Raises `RightsExceedOwn` where the new or the old role holds more than the caller does.
    """
    team = locked_team(actor, team_id, CHANGE_TEAM_ROLE)
    member = _member(actor, team, user_id)
    chosen = checked_role(actor, team, role, custom_role_id)
    if (chosen.role, chosen.custom) == (member.role, member.custom_role):
        return member
    _require_not_above(actor, team, member)
    before = member.role_name
    member.role, member.custom_role = chosen.role, chosen.custom
    member.save(update_fields=["role", "custom_role"])
    changes = {"member": member.user.email, "role": [before, chosen.name]}
    record(actor, CHANGE_TEAM_ROLE.name, team, changes=changes)
    publish(actor, TeamRoleChanged(team_id=team.id, user_id=user_id, role=chosen.name))
    return member


def remove_team_member(actor: Actor, team_id: UUID, user_id: UUID) -> None:
    """Takes somebody out of a team; what they hold elsewhere stays.

    Raises `NotFound` for somebody who is not in it, `RightsExceedOwn` for somebody whose role
    holds more than the caller does.
    """
    team = locked_team(actor, team_id, REMOVE_TEAM_MEMBER)
    member = _member(actor, team, user_id)
    _require_not_above(actor, team, member)
    changes = {"member": member.user.email, "role": [member.role_name, None]}
    record(actor, REMOVE_TEAM_MEMBER.name, team, changes=changes)
    publish(actor, TeamMemberRemoved(team_id=team.id, user_id=user_id))
    member.delete()


def leave_all_teams(actor: Actor, user_id: UUID) -> None:
    """Ends what somebody who leaves the organization was in teams; part of that operation."""
    rows = TeamMember.objects.for_org(actor.organization_id).filter(user_id=user_id)
    for member in rows.select_related("team", "user", "custom_role").order_by("id"):
        changes = {"member": member.user.email, "role": [member.role_name, None]}
        record(actor, REMOVE_TEAM_MEMBER.name, member.team, changes=changes)
        publish(actor, TeamMemberRemoved(team_id=member.team_id, user_id=user_id))
    rows.delete()


def checked_role(
    actor: Actor, team: Team, role: str, custom_role_id: UUID | str | None = None
) -> ChosenRole:
    """The role, once the actor holds all that it means on this team's groups."""
    chosen = choose_role(actor, role, custom_role_id)
    if chosen.custom is None and chosen.role not in TEAM_ROLES:
        names = ", ".join([*TEAM_ROLES, "custom"])
        raise invalid("role", "unknown_role", f"A role in a team is one of {names}.")
    require_at_least(actor, held_in_teams(chosen.permissions), place_of_team(team.id))
    return chosen


def _require_not_above(actor: Actor, team: Team, member: TeamMember) -> None:
    """Nobody takes rights from those who have more than they have themselves."""
    require_at_least(actor, held_in_teams(member.role_permissions), place_of_team(team.id))


def _memberships(actor: Actor, user_ids: Collection[UUID]) -> list[Membership]:
    found = members_held(actor, user_ids)
    if len(found) != len(user_ids):
        raise NotAMember
    return found


def _member(actor: Actor, team: Team, user_id: UUID) -> TeamMember:
    rows = TeamMember.objects.for_org(actor.organization_id).filter(team_id=team.id)
    found: TeamMember | None = (
        rows.filter(user_id=user_id).select_related("user", "custom_role").first()
    )
    if found is None:
        raise NotFound("This person is not in the team.")
    return found
