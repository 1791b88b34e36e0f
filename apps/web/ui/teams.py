"""Teams: the list, and one team with its people, its device groups and what was given on it."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.actors import Actor, ActorHere
from apps.core.authz import needs
from apps.core.errors import NotFound
from apps.core.ids import parse_uuid
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.devices.access import count_owned_groups
from apps.devices.permissions import GIVE_GROUP_TO_TEAM, TAKE_GROUP_FROM_TEAM
from apps.devices.selectors import count_group_devices, get_device_group, list_device_groups
from apps.devices.services.ownership import give_group_to_team, take_group_from_team
from apps.organizations.access import list_role_choices
from apps.teams.permissions import (
    ADD_TEAM_MEMBERS,
    CHANGE_TEAM_ROLE,
    CREATE_TEAM,
    DELETE_TEAM,
    REMOVE_TEAM_MEMBER,
    UPDATE_TEAM,
    VIEW_TEAMS,
)
from apps.teams.selectors import (
    get_team,
    list_team_candidates,
    list_team_members,
    list_teams,
    place_of_team,
)
from apps.teams.services.members import (
    TEAM_ROLES,
    add_team_members,
    change_team_role,
    remove_team_member,
)
from apps.teams.services.teams import create_team, delete_team, update_team
from apps.web.ui.roles import chosen

SECTION = "teams"
CANDIDATES = 50
GROUPS = 200


class TeamList(OrgView):
    """All teams that the caller may see."""

    @needs(VIEW_TEAMS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        search = request.GET.get("q", "").strip()
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page = list_teams(request.actor, asked, search=search)
        counts = count_owned_groups(request.actor, [team.id for team in page.items])
        rows = [{"team": team, "groups": counts.get(team.id, 0)} for team in page.items]
        context = {"page": page, "rows": rows, "search": search}
        return _page(request, "settings/teams.html", context)

    @needs(CREATE_TEAM)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes a team."""
        name, description = request.POST.get("name", ""), request.POST.get("description", "")
        made = attempt(
            request, lambda: create_team(request.actor, name=name, description=description)
        )
        return go(request, "settings-team", made.id) if made else go(request, "settings-teams")


class TeamPage(OrgView):
    """One team."""

    @needs(VIEW_TEAMS)
    def get(self, request: OrgRequest, team_id: UUID) -> HttpResponse:
        """The page."""
        actor = request.actor
        team = get_team(actor, team_id)
        place = place_of_team(team.id)
        here = ActorHere(actor, lambda name: actor.may(name, place))
        asked = PageRequest.of(None, request.GET.get("page_token"))
        context: dict[str, Any] = {
            "team": team,
            "page": list_team_members(actor, team.id, asked),
            "roles": list_role_choices(actor, TEAM_ROLES),
            **_groups(actor, team.id),
        }
        if here.may_somewhere(ADD_TEAM_MEMBERS.name):
            context["candidates"] = _candidates(request, team_id)
        return _page(request, "settings/team.html", context, here)

    @needs(UPDATE_TEAM)
    def post(self, request: OrgRequest, team_id: UUID) -> HttpResponse:
        """Renames and describes it."""
        name, description = request.POST.get("name", ""), request.POST.get("description", "")
        attempt(
            request,
            lambda: update_team(request.actor, team_id, name=name, description=description),
            _("Saved."),
        )
        return go(request, "settings-team", team_id)


class TeamDelete(OrgView):
    """Deletes a team."""

    @needs(DELETE_TEAM)
    def post(self, request: OrgRequest, team_id: UUID) -> HttpResponse:
        """Deletes it, unless it owns groups."""
        if not attempt(request, lambda: _deleted(request, team_id)):
            return go(request, "settings-team", team_id)
        messages.success(request, _("The team is gone."))
        return go(request, "settings-teams")


class TeamCandidates(OrgView):
    """Members to choose from, as the search in the dialog narrows them."""

    @needs(ADD_TEAM_MEMBERS)
    def get(self, request: OrgRequest, team_id: UUID) -> HttpResponse:
        """The choices alone."""
        context = {"candidates": _candidates(request, team_id)}
        return render(request, "settings/team_candidates.html", context)


class TeamAdd(OrgView):
    """Puts people into a team."""

    @needs(ADD_TEAM_MEMBERS)
    def post(self, request: OrgRequest, team_id: UUID) -> HttpResponse:
        """Adds those chosen, with one role."""
        user_ids = [found for text in request.POST.getlist("user") if (found := parse_uuid(text))]
        if not user_ids:
            messages.error(request, _("Choose somebody first."))
            return go(request, "settings-team", team_id)
        role = chosen(request)
        attempt(
            request,
            lambda: add_team_members(request.actor, team_id, user_ids, **role),
            _("Added to the team."),
        )
        return go(request, "settings-team", team_id)


class TeamRole(OrgView):
    """Changes what somebody is in a team."""

    @needs(CHANGE_TEAM_ROLE)
    def post(self, request: OrgRequest, team_id: UUID, user_id: UUID) -> HttpResponse:
        """Sets the role."""
        role = chosen(request)
        attempt(
            request,
            lambda: change_team_role(request.actor, team_id, user_id, **role),
            _("The role is changed; it holds from now on."),
        )
        return go(request, "settings-team", team_id)


class TeamRemove(OrgView):
    """Takes somebody out of a team."""

    @needs(REMOVE_TEAM_MEMBER)
    def post(self, request: OrgRequest, team_id: UUID, user_id: UUID) -> HttpResponse:
        """Removes the person."""
        attempt(
            request,
            lambda: remove_team_member(request.actor, team_id, user_id),
            _("Taken out of the team."),
        )
        return go(request, "settings-team", team_id)


class TeamGiveGroup(OrgView):
    """Gives device groups to a team."""

    @needs(GIVE_GROUP_TO_TEAM)
    def post(self, request: OrgRequest, team_id: UUID) -> HttpResponse:
        """Makes the team the owner."""
        group_ids = [found for text in request.POST.getlist("group") if (found := parse_uuid(text))]
        for group_id in group_ids:
            attempt(request, partial(give_group_to_team, request.actor, group_id, team_id))
        return go(request, "settings-team", team_id)


class TeamTakeGroup(OrgView):
    """Takes a device group from a team."""

    @needs(TAKE_GROUP_FROM_TEAM)
    def post(self, request: OrgRequest, team_id: UUID, group_id: UUID) -> HttpResponse:
        """Leaves it without an owner; a page that is out of date does not take it from another."""
        if get_device_group(request.actor, group_id).team_id != team_id:
            raise NotFound
        done = _("The group belongs to no team now.")
        attempt(request, lambda: take_group_from_team(request.actor, group_id), done)
        return go(request, "settings-team", team_id)


def _deleted(request: OrgRequest, team_id: UUID) -> bool:
    delete_team(request.actor, team_id)
    return True


def _page(
    request: OrgRequest, template: str, context: dict[str, Any], actor: Any = None
) -> HttpResponse:
    shown = {"actor": actor or request.actor, "settings_section": SECTION, **context}
    return render(request, template, shown)


def _groups(actor: Actor, team_id: UUID) -> dict[str, Any]:
    """The team's groups with their sizes, and those that could be given to it."""
    if not actor.may_somewhere("devices.view_device_groups"):
        return {"owned": [], "givable": []}
    owned = list_device_groups(actor, PageRequest(size=GROUPS), team_id=team_id).items
    counts = count_group_devices(actor, [group.id for group in owned])
    found: dict[str, Any] = {
        "owned": [{"group": group, "count": counts.get(group.id, 0)} for group in owned],
        "givable": [],
    }
    if actor.has_perm(GIVE_GROUP_TO_TEAM.name):
        every = list_device_groups(actor, PageRequest(size=GROUPS)).items
        found["givable"] = [group for group in every if group.team_id != team_id]
    return found


def _candidates(request: OrgRequest, team_id: UUID) -> Page[Any]:
    search = request.GET.get("q", "").strip()
    asked = PageRequest(size=CANDIDATES)
    return list_team_candidates(request.actor, team_id, asked, search=search)
