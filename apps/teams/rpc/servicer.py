"""RPC methods of teams, their members, roles and permissions."""

from apps.core.public import unary
from apps.teams import public


class TeamsServicer:
    """The part of OrganizationService that is about teams and roles."""

    list_teams = unary(public.list_teams)
    get_team = unary(public.get_team)
    create_team = unary(public.create_team)
    update_team = unary(public.update_team)
    delete_team = unary(public.delete_team)
    list_team_members = unary(public.list_team_members)
    add_team_members = unary(public.add_team_members)
    change_team_role = unary(public.change_team_role)
    remove_team_member = unary(public.remove_team_member)
    list_roles = unary(public.list_roles)
    get_role = unary(public.get_role)
    create_custom_role = unary(public.create_custom_role)
    update_custom_role = unary(public.update_custom_role)
    delete_custom_role = unary(public.delete_custom_role)
    list_permissions = unary(public.list_permissions)
