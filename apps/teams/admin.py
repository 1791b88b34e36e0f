"""Teams, who is in them, and the organization's own roles in the admin."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.core.authz import CUSTOM
from apps.core.org_admin.forms import OrgForm, RowField, WordsField
from apps.core.org_admin.model_admin import OrgModelAdmin
from apps.core.org_admin.operations import Operation
from apps.core.org_admin.scoping import actor_of
from apps.organizations.models import CustomRole, Membership
from apps.organizations.permissions import (
    CREATE_CUSTOM_ROLE,
    DELETE_CUSTOM_ROLE,
    UPDATE_CUSTOM_ROLE,
    VIEW_ROLES,
)
from apps.organizations.services.roles import (
    create_custom_role,
    delete_custom_role,
    update_custom_role,
)
from apps.teams.errors import NotAMember
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
from apps.teams.selectors import teams_within
from apps.teams.services.members import (
    TEAM_ROLES,
    add_team_members,
    change_team_role,
    remove_team_member,
)
from apps.teams.services.teams import create_team, delete_team, update_team

ROLES = [*((role.value, role.value.capitalize()) for role in TEAM_ROLES), (CUSTOM, "Custom")]


class TeamRoleForm(forms.Form):
    """A role in a team."""

    role = forms.ChoiceField(choices=ROLES)
    custom_role = RowField(CustomRole, required=False)


class NewTeamMemberForm(OrgForm):
    """Somebody, and what they are in the team."""

    email = forms.EmailField(help_text="Of a member of the organization.")
    role = forms.ChoiceField(choices=ROLES)


class CustomRoleForm(OrgForm):
    """A role: names of permissions, separated by commas or white space."""

    permissions = WordsField(max_length=50_000)


@admin.register(Team)
class TeamAdmin(OrgModelAdmin):
    """Teams, as far as the caller may see them."""

    view_permission = VIEW_TEAMS
    add_permission = CREATE_TEAM
    change_permission = UPDATE_TEAM
    delete_permission = DELETE_TEAM
    reached = staticmethod(teams_within)
    page = "settings-team"
    list_display = ("name", "description", "created_at")
    search_fields = ("name", "description")
    ordering = ("name",)
    add_fields = ("name", "description")
    change_fields = ("name", "description")

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the team."""
        values = form.cleaned_data
        name, description = values["name"], values["description"]
        return create_team(actor_of(request), name=name, description=description)

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Renames and describes it."""
        values = form.cleaned_data
        name, description = values["name"], values["description"]
        return update_team(actor_of(request), obj.pk, name=name, description=description)

    def delete_object(self, request: HttpRequest, obj: Any) -> None:
        """Deletes it, unless it owns device groups."""
        delete_team(actor_of(request), obj.pk)

    def related_lists(self, obj: Any) -> list[tuple[str, str]]:
        """Who is in it."""
        return [("People", self.list_address(TeamMember, team=obj.pk))]


@admin.register(TeamMember)
class TeamMemberAdmin(OrgModelAdmin):
    """Who is in which team, and as what."""

    view_permission = VIEW_TEAMS
    add_permission = ADD_TEAM_MEMBERS
    reached = staticmethod(partial(teams_within, via="team"))
    list_display = ("user", "team", "role", "custom_role", "created_at")
    list_filter = ("team", "role")
    list_select_related = ("user", "team", "custom_role")
    search_fields = ("user__email", "user__name", "team__name")
    ordering = ("pk",)
    add_form = NewTeamMemberForm
    add_fields = ("team", "email", "role", "custom_role")
    operations = (
        Operation(
            "change_team_role",
            "Change the role",
            CHANGE_TEAM_ROLE,
            lambda actor, member, values: change_team_role(
                actor, member.team_id, member.user_id, **_role(values)
            ),
            form=TeamRoleForm,
        ),
        Operation(
            "remove_team_member",
            "Take out of the team",
            REMOVE_TEAM_MEMBER,
            lambda actor, member, _values: remove_team_member(
                actor, member.team_id, member.user_id
            ),
            warning="What they hold through the team ends at once.",
        ),
    )

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Puts the person into the team."""
        values, actor = form.cleaned_data, actor_of(request)
        members = Membership.objects.for_org(actor.organization_id)
        member = members.filter(user__email__iexact=values["email"]).first()
        if member is None:
            raise NotAMember
        add_team_members(actor, values["team"].pk, [member.user_id], **_role(values))
        rows = TeamMember.objects.for_org(actor.organization_id)
        found: TeamMember = rows.get(team_id=values["team"].pk, user_id=member.user_id)
        return found


@admin.register(CustomRole)
class CustomRoleAdmin(OrgModelAdmin):
    """The organization's own roles."""

    view_permission = VIEW_ROLES
    add_permission = CREATE_CUSTOM_ROLE
    change_permission = UPDATE_CUSTOM_ROLE
    delete_permission = DELETE_CUSTOM_ROLE
    page = "settings-role"
    list_display = ("name", "description", "created_at")
    search_fields = ("name", "description")
    ordering = ("name",)
    form = CustomRoleForm
    add_form = CustomRoleForm
    add_fields = ("name", "description", "permissions")
    change_fields = ("name", "description", "permissions")

    def add_object(self, request: HttpRequest, form: Any, formsets: Sequence[Any]) -> Model:
        """Makes the role."""
        return create_custom_role(actor_of(request), **_sent(form))

    def change_object(self, request: HttpRequest, obj: Any, form: Any) -> Model:
        """Changes it for everybody who has it."""
        return update_custom_role(actor_of(request), obj.pk, **_sent(form))

    def delete_object(self, request: HttpRequest, obj: Any) -> None:
        """Deletes it, unless somebody holds it."""
        delete_custom_role(actor_of(request), obj.pk)


def _role(values: dict[str, Any]) -> dict[str, Any]:
    own = values.get("custom_role")
    return {"role": values["role"], "custom_role_id": own.pk if own else None}


def _sent(form: Any) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("name", "description", "permissions")}
