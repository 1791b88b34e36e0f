"""The list of members, one member, and what is done with several of them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.core.actors import Actor
from apps.core.authz import CUSTOM, Role, needs, permissions_of
from apps.core.errors import invalid
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.organizations.people import (
    Member,
    address_of,
    count_open_invitations,
    get_member,
    list_custom_roles_to_give,
    list_members,
)
from apps.organizations.permissions import (
    CHANGE_MEMBER_ROLE,
    REMOVE_MEMBER,
    VIEW_INVITATIONS,
    VIEW_MEMBERS,
)
from apps.organizations.services.members import (
    MemberResult,
    change_member_role,
    change_member_roles,
    remove_member,
    remove_members,
)

ROLE_WORDS: dict[str, str | Promise] = {
    Role.OWNER: gettext_lazy("Owner"),
    Role.ADMIN: gettext_lazy("Admin"),
    Role.OPERATOR: gettext_lazy("Operator"),
    Role.DEPLOYER: gettext_lazy("Deployer"),
    Role.VIEWER: gettext_lazy("Viewer"),
    Role.AUDITOR: gettext_lazy("Auditor"),
    Role.MEMBER: gettext_lazy("Member"),
}
ROLE_HINTS: dict[str, str | Promise] = {
    Role.OWNER: gettext_lazy("everything, and who else is an owner"),
    Role.ADMIN: gettext_lazy("everything but the organization's end"),
    Role.OPERATOR: gettext_lazy("devices and groups"),
    Role.DEPLOYER: gettext_lazy("artifacts, releases and rollouts"),
    Role.VIEWER: gettext_lazy("sees everything, changes nothing"),
    Role.AUDITOR: gettext_lazy("the audit trail and the settings"),
    Role.MEMBER: gettext_lazy("what teams and grants give"),
}


@dataclass(frozen=True, slots=True)
class RoleChoice:
    """A role that may be given, as a form names it."""

    value: str
    word: str | Promise
    hint: str | Promise


class MemberList(OrgView):
    """Everybody who belongs to the organization."""

    @needs(VIEW_MEMBERS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        return show_members(request)


class MemberPage(OrgView):
    """One member."""

    @needs(VIEW_MEMBERS)
    def get(self, request: OrgRequest, member_id: UUID) -> HttpResponse:
        """What is known of them, and the forms for whoever may change it."""
        actor = request.actor
        member = get_member(actor, member_id)
        context = {
            "actor": actor,
            "settings_section": "members",
            "member": member,
            "person": member.membership.user,
            "role_value": _value(member.membership),
            "roles": role_choices(actor),
            "role_word": role_word(member.membership),
            "is_self": member.membership.user_id == actor.user_id,
        }
        return render(request, "settings/member.html", context)

    @needs(VIEW_MEMBERS)
    def post(self, request: OrgRequest, member_id: UUID) -> HttpResponse:
        """Changes the role, or removes the member."""
        actor = request.actor
        if request.POST.get("act") == "remove":
            done = _("The member is removed. Their open pages and programs end within seconds.")
            attempt(request, lambda: remove_member(actor, member_id), done)
            return go(request, "settings-members")
        role, custom_id = chosen_role(request.POST.get("role", ""))
        done = _("The member has another role from now on.")
        attempt(
            request,
            lambda: change_member_role(actor, member_id, role=role, custom_role_id=custom_id),
            done,
        )
        return go(request, "member", member_id)


class ChangeRoles(OrgView):
    """Another role for several members."""

    @needs(CHANGE_MEMBER_ROLE)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Each stands for itself; the page says what came of each."""
        role, custom_id = chosen_role(request.POST.get("role", ""))
        results = attempt(
            request,
            lambda: change_member_roles(
                request.actor, _chosen_ids(request), role=role, custom_role_id=custom_id
            ),
        )
        return _after(request, results)


class Remove(OrgView):
    """Removes several members."""

    @needs(REMOVE_MEMBER)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Each stands for itself; the page says what came of each."""
        results = attempt(request, lambda: remove_members(request.actor, _chosen_ids(request)))
        return _after(request, results)


def show_members(request: OrgRequest, results: list[dict[str, Any]] | None = None) -> HttpResponse:
    """The list, with what came of a bulk operation above it."""
    actor = request.actor
    search, role = request.GET.get("q", "").strip()[:100], request.GET.get("role", "")
    page = list_members(
        actor, PageRequest.of(None, request.GET.get("page_token")), search=search, role=role
    )
    may_invite = actor.has_perm(VIEW_INVITATIONS.name)
    context = {
        "actor": actor,
        "settings_section": "members",
        "page": page,
        "rows": [_row(member) for member in page.items],
        "roles": role_choices(actor),
        "results": results or [],
        "search": search,
        "role": role,
        "role_filters": [(r, word) for r, word in ROLE_WORDS.items()] + [(CUSTOM, _("Own roles"))],
        "open_invitations": count_open_invitations(actor) if may_invite else 0,
        "may_select": actor.has_perm(CHANGE_MEMBER_ROLE.name) or actor.has_perm(REMOVE_MEMBER.name),
    }
    return render(request, "settings/members.html", context)


def role_choices(actor: Actor) -> list[RoleChoice]:
    """The roles that the actor may give, built-in ones first."""
    built_in = [
        RoleChoice(role.value, ROLE_WORDS[role], ROLE_HINTS[role])
        for role in Role
        if actor.holds_all(permissions_of(role))
        and (role != Role.OWNER or actor.role == Role.OWNER)
    ]
    own = [
        RoleChoice(f"{CUSTOM}:{role.id}", role.name, role.description)
        for role in list_custom_roles_to_give(actor)
        if actor.holds_all(frozenset(role.permissions))
    ]
    return [*built_in, *own]


def chosen_role(text: str) -> tuple[str, str | None]:
    """What a form's role stands for: `viewer`, or `custom:<id>`."""
    role, _colon, custom_id = text.partition(":")
    return role, custom_id or None


def role_word(membership: Any) -> str | Promise:
    """A role as people read it."""
    return ROLE_WORDS.get(membership.role, membership.role_name)


def _value(membership: Any) -> str:
    if membership.custom_role_id:
        return f"{CUSTOM}:{membership.custom_role_id}"
    return membership.role


def _row(member: Member) -> dict[str, Any]:
    return {
        "member": member,
        "membership": member.membership,
        "person": member.membership.user,
        "role_word": role_word(member.membership),
    }


def _chosen_ids(request: OrgRequest) -> list[UUID]:
    found = [parse_uuid(text) for text in request.POST.getlist("member")]
    chosen = [each for each in found if each is not None]
    if not chosen:
        raise invalid("member", "nothing_chosen", _("Choose members first."))
    return chosen


def _after(request: OrgRequest, results: list[MemberResult] | None) -> HttpResponse:
    """The list with one line per refused member; back to it where everything went well."""
    if results is None:
        return go(request, "settings-members")
    done = sum(result.failure is None for result in results)
    if done:
        text = ngettext("%(n)s member changed.", "%(n)s members changed.", done)
        messages.success(request, text % {"n": done})
    refused = [result for result in results if result.failure is not None]
    if not refused:
        return go(request, "settings-members")
    return show_members(request, [_refusal(request.actor, result) for result in refused])


def _refusal(actor: Actor, result: MemberResult) -> dict[str, Any]:
    return {
        "who": address_of(actor, result.member_id) or str(result.member_id),
        "why": result.failure.message if result.failure else "",
    }
