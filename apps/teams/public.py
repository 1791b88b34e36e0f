"""Teams, roles and permissions, as REST and RPC offer them."""

from typing import TypeVar

from apps.core.actors import Actor
from apps.core.authz import Permission, Role, declared, permissions_of, require
from apps.core.errors import InvalidPageToken
from apps.core.pagination import Page, PageRequest
from apps.core.public import id_of, ids_of, operation, page_of, timestamp
from apps.organizations import access as roles
from apps.organizations.models import CustomRole
from apps.organizations.permissions import (
    CREATE_CUSTOM_ROLE,
    DELETE_CUSTOM_ROLE,
    UPDATE_CUSTOM_ROLE,
    VIEW_ROLES,
)
from apps.organizations.services import roles as role_services
from apps.teams import selectors
from apps.teams.models import Team, TeamMember
from apps.teams.permissions import (
    ADD_TEAM_MEMBERS,
    CHANGE_TEAM_ROLE,
    CREATE_TEAM,
    DELETE_TEAM,
    REMOVE_TEAM_MEMBER,
    UPDATE_TEAM,
    VIEW_TEAMS,
)
from apps.teams.services import members as member_services
from apps.teams.services import teams as team_services
from fleetd.pb.public.v1 import organization_pb2 as pb

M = TypeVar("M")


@operation(VIEW_TEAMS)
def list_teams(actor: Actor, request: pb.ListTeamsRequest) -> pb.ListTeamsResponse:
    """The teams that the caller may see, by name."""
    page = selectors.list_teams(actor, page_of(request), search=request.search)
    return pb.ListTeamsResponse(
        items=[team_message(team) for team in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_TEAMS)
def get_team(actor: Actor, request: pb.GetTeamRequest) -> pb.GetTeamResponse:
    """One team."""
    return pb.GetTeamResponse(team=team_message(selectors.get_team(actor, id_of(request.id))))


@operation(CREATE_TEAM)
def create_team(actor: Actor, request: pb.CreateTeamRequest) -> pb.CreateTeamResponse:
    """Makes a team without members, which owns no device group."""
    team = team_services.create_team(actor, name=request.name, description=request.description)
    return pb.CreateTeamResponse(team=team_message(team))


@operation(UPDATE_TEAM)
def update_team(actor: Actor, request: pb.UpdateTeamRequest) -> pb.UpdateTeamResponse:
    """Renames and describes a team."""
    team = team_services.update_team(
        actor,
        id_of(request.id),
        name=request.name if request.HasField("name") else None,
        description=request.description if request.HasField("description") else None,
    )
    return pb.UpdateTeamResponse(team=_counted(actor, team))


@operation(DELETE_TEAM)
def delete_team(actor: Actor, request: pb.DeleteTeamRequest) -> pb.DeleteTeamResponse:
    """Deletes a team that owns no device groups; its members stay in the organization."""
    team_services.delete_team(actor, id_of(request.id))
    return pb.DeleteTeamResponse()


@operation(VIEW_TEAMS)
def list_team_members(
    actor: Actor, request: pb.ListTeamMembersRequest
) -> pb.ListTeamMembersResponse:
    """Who is in a team, with their roles there."""
    page = selectors.list_team_members(actor, id_of(request.team_id), page_of(request))
    return pb.ListTeamMembersResponse(
        items=[member_message(member) for member in page.items],
        next_page_token=page.next_page_token,
    )


@operation(ADD_TEAM_MEMBERS)
def add_team_members(actor: Actor, request: pb.AddTeamMembersRequest) -> pb.AddTeamMembersResponse:
    """Puts members of the organization into a team; those who are in it keep their role."""
    team = member_services.add_team_members(
        actor,
        id_of(request.team_id),
        ids_of(request.user_ids, "user_ids"),
        role=request.role,
        custom_role_id=request.custom_role_id or None,
    )
    return pb.AddTeamMembersResponse(team=_counted(actor, team))


@operation(CHANGE_TEAM_ROLE)
def change_team_role(actor: Actor, request: pb.ChangeTeamRoleRequest) -> pb.ChangeTeamRoleResponse:
    """Gives somebody another role in a team."""
    member = member_services.change_team_role(
        actor,
        id_of(request.team_id),
        id_of(request.user_id),
        role=request.role,
        custom_role_id=request.custom_role_id or None,
    )
    return pb.ChangeTeamRoleResponse(team_member=member_message(member))


@operation(REMOVE_TEAM_MEMBER)
def remove_team_member(
    actor: Actor, request: pb.RemoveTeamMemberRequest
) -> pb.RemoveTeamMemberResponse:
    """Takes somebody out of a team."""
    team_id, user_id = id_of(request.team_id), id_of(request.user_id)
    member_services.remove_team_member(actor, team_id, user_id)
    return pb.RemoveTeamMemberResponse()


@operation(VIEW_ROLES)
def list_roles(actor: Actor, request: pb.ListRolesRequest) -> pb.ListRolesResponse:
    """The built-in roles, strongest first, then the organization's own by name."""
    counts = roles.count_members_by_role(actor)
    own = roles.list_custom_roles(actor, PageRequest(size=1000)).items
    messages = [*(_built_in(role) for role in Role), *(_custom(role) for role in own)]
    for message in messages:
        message.member_count = counts.get(message.id, 0)
    page = _slice(messages, page_of(request))
    return pb.ListRolesResponse(items=page.items, next_page_token=page.next_page_token)


@operation(VIEW_ROLES)
def get_role(actor: Actor, request: pb.GetRoleRequest) -> pb.GetRoleResponse:
    """One role, built in or the organization's own."""
    return pb.GetRoleResponse(role=_role(actor, request.id))


@operation(CREATE_CUSTOM_ROLE)
def create_custom_role(
    actor: Actor, request: pb.CreateCustomRoleRequest
) -> pb.CreateCustomRoleResponse:
    """Makes a role of the organization's own, never with more than the caller holds."""
    role = role_services.create_custom_role(
        actor,
        name=request.name,
        description=request.description,
        permissions=list(request.permissions),
    )
    return pb.CreateCustomRoleResponse(role=_custom(role))


@operation(UPDATE_CUSTOM_ROLE)
def update_custom_role(
    actor: Actor, request: pb.UpdateCustomRoleRequest
) -> pb.UpdateCustomRoleResponse:
    """Renames a role or sets what it holds, for everybody who has it."""
    role = role_services.update_custom_role(
        actor,
        id_of(request.id),
        name=request.name if request.HasField("name") else None,
        description=request.description if request.HasField("description") else None,
        permissions=list(request.permissions) or None,
    )
    return pb.UpdateCustomRoleResponse(role=_role_counted(actor, role))


@operation(DELETE_CUSTOM_ROLE)
def delete_custom_role(
    actor: Actor, request: pb.DeleteCustomRoleRequest
) -> pb.DeleteCustomRoleResponse:
    """Deletes a role that nobody holds."""
    role_services.delete_custom_role(actor, id_of(request.id))
    return pb.DeleteCustomRoleResponse()


@operation(VIEW_ROLES)
def list_permissions(
    actor: Actor, request: pb.ListPermissionsRequest
) -> pb.ListPermissionsResponse:
    """Everything that a role can hold, by name."""
    require(actor, VIEW_ROLES)
    messages = [_permission(p) for _, p in sorted(declared().items()) if p.roles]
    page = _slice(messages, page_of(request))
    return pb.ListPermissionsResponse(items=page.items, next_page_token=page.next_page_token)


def team_message(team: Team) -> pb.Team:
    """A team; one that a service has just made has nobody in it."""
    return pb.Team(
        id=str(team.id),
        name=team.name,
        description=team.description,
        member_count=getattr(team, "member_count", 0),
        created_at=timestamp(team.created_at),
    )


def member_message(member: TeamMember) -> pb.TeamMember:
    """A person with a role in a team."""
    return pb.TeamMember(
        user_id=str(member.user_id),
        email=member.user.email,
        name=member.user.name,
        role=member.role,
        custom_role_id=str(member.custom_role_id or ""),
        role_name=member.role_name,
        created_at=timestamp(member.created_at),
    )


def _counted(actor: Actor, team: Team) -> pb.Team:
    """A team that a service answered, with how many are in it where the caller may see them."""
    if actor.may(VIEW_TEAMS.name, selectors.place_of_team(team.id)):
        team = selectors.get_team(actor, team.id)
    return team_message(team)


def _role(actor: Actor, role_id: str) -> pb.Role:
    counts = roles.count_members_by_role(actor)
    found = _built_in(Role(role_id)) if role_id in set(Role) else None
    message = found or _custom(roles.get_custom_role(actor, id_of(role_id)))
    message.member_count = counts.get(message.id, 0)
    return message


def _role_counted(actor: Actor, role: CustomRole) -> pb.Role:
    return _role(actor, str(role.id)) if actor.has_perm(VIEW_ROLES.name) else _custom(role)


def _built_in(role: Role) -> pb.Role:
    return pb.Role(
        id=role.value,
        name=role.value,
        description=roles.DESCRIPTIONS[role],
        is_built_in=True,
        permissions=sorted(permissions_of(role)),
    )


def _custom(role: CustomRole) -> pb.Role:
    return pb.Role(
        id=str(role.id),
        name=role.name,
        description=role.description,
        permissions=sorted(role.permissions),
        created_at=timestamp(role.created_at),
    )


def _permission(permission: Permission) -> pb.Permission:
    return pb.Permission(
        name=permission.name,
        description=permission.description,
        per_group=permission.per_group,
        roles=[role.value for role in Role if role in permission.roles],
    )


def _slice(messages: list[M], page: PageRequest) -> Page[M]:
    """One page of a short list that is in memory; the token is how many were read."""
    if page.token and not (page.token.isascii() and page.token.isdecimal()):
        raise InvalidPageToken
    start = int(page.token[:9] or 0)
    items = messages[start : start + page.size]
    has_more = bool(items) and start + len(items) < len(messages)
    return Page(items, str(start + len(items)) if has_more else "")
