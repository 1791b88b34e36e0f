"""REST addresses of teams, their members, roles and permissions."""

from apps.core.rest.views import creates, does, reads, removes, resource
from apps.teams import public

urlpatterns = [
    *resource("teams", "teams", get=reads(public.list_teams), post=creates(public.create_team)),
    *resource(
        "team",
        "teams/<ident:id>",
        get=reads(public.get_team),
        patch=does(public.update_team),
        delete=removes(public.delete_team),
    ),
    *resource("team-members", "teams/<ident:team_id>/members", get=reads(public.list_team_members)),
    *resource(
        "team-add-members",
        "teams/<ident:team_id>:add-members",
        post=does(public.add_team_members),
    ),
    *resource(
        "team-member",
        "teams/<ident:team_id>/members/<ident:user_id>",
        patch=does(public.change_team_role),
        delete=removes(public.remove_team_member),
    ),
    *resource(
        "roles", "roles", get=reads(public.list_roles), post=creates(public.create_custom_role)
    ),
    *resource(
        "role",
        "roles/<ident:id>",
        get=reads(public.get_role),
        patch=does(public.update_custom_role),
        delete=removes(public.delete_custom_role),
    ),
    *resource("permissions", "permissions", get=reads(public.list_permissions)),
]
