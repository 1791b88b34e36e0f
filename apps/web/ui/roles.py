"""Roles: what each of them may do, as one table, and the forms of the organization's own."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.authz import CUSTOM, Permission, Role, declared, needs, permissions_of
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.organizations.access import (
    DESCRIPTIONS,
    count_members_by_role,
    get_custom_role,
    list_custom_roles,
)
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

SECTION = "roles"
MANY = 1000
AREAS: dict[str, str | Promise] = {
    "devices": gettext_lazy("Devices and groups"),
    "enrollment": gettext_lazy("Enrollment"),
    "updates": gettext_lazy("Software"),
    "organizations": gettext_lazy("Organization and people"),
    "teams": gettext_lazy("Teams"),
    "accounts": gettext_lazy("Keys and accounts"),
    "audit": gettext_lazy("Audit trail"),
    "events": gettext_lazy("Events"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One role in the table."""

    id: str
    name: str
    description: str
    permissions: frozenset[str]
    member_count: int
    is_built_in: bool


@dataclass(frozen=True, slots=True)
class Area:
    """The permissions of one part of the platform."""

    word: str | Promise
    permissions: list[Permission]


class RoleMatrix(OrgView):
    """Every permission and every role."""

    @needs(VIEW_ROLES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        counts = count_members_by_role(request.actor)
        columns = [_built_in(role, counts.get(role.value, 0)) for role in Role]
        for own in list_custom_roles(request.actor, PageRequest(size=MANY)).items:
            held = frozenset(own.permissions)
            count = counts.get(str(own.id), 0)
            columns.append(Column(str(own.id), own.name, own.description, held, count, False))
        areas = [
            {
                "word": area.word,
                "rows": [
                    {"permission": each, "held": [each.name in c.permissions for c in columns]}
                    for each in area.permissions
                ],
            }
            for area in areas_of(p for p in declared().values() if p.roles)
        ]
        return _page(request, "settings/roles.html", {"columns": columns, "areas": areas})


class NewRole(OrgView):
    """Makes a role."""

    @needs(CREATE_CUSTOM_ROLE)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The form; `from` names a built-in role to begin with."""
        begin = request.GET.get("from", "")
        held = permissions_of(Role(begin)) if begin in set(Role) else frozenset()
        return _form(request, held)

    @needs(CREATE_CUSTOM_ROLE)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes it; what is refused is shown with what was typed."""
        sent = _sent(request)
        made = attempt(request, lambda: create_custom_role(request.actor, **sent))
        if made is None:
            return _form(request, frozenset(sent["permissions"]), **sent)
        messages.success(request, _("The role is made. Give it to people or in teams."))
        return go(request, "settings-roles")


class RolePage(OrgView):
    """One of the organization's own roles."""

    @needs(VIEW_ROLES)
    def get(self, request: OrgRequest, role_id: UUID) -> HttpResponse:
        """The form."""
        role = get_custom_role(request.actor, role_id)
        count = count_members_by_role(request.actor).get(str(role.id), 0)
        return _form(
            request,
            frozenset(role.permissions),
            name=role.name,
            description=role.description,
            role=role,
            count=count,
        )

    @needs(UPDATE_CUSTOM_ROLE)
    def post(self, request: OrgRequest, role_id: UUID) -> HttpResponse:
        """Saves it, for everybody who has it."""
        sent = _sent(request)
        attempt(
            request,
            lambda: update_custom_role(request.actor, role_id, **sent),
            _("Saved. It holds for everybody who has the role, from now on."),
        )
        return go(request, "settings-role", role_id)


class RoleDelete(OrgView):
    """Deletes one of the organization's own roles."""

    @needs(DELETE_CUSTOM_ROLE)
    def post(self, request: OrgRequest, role_id: UUID) -> HttpResponse:
        """Deletes it, unless somebody holds it."""
        if not attempt(request, lambda: _deleted(request, role_id)):
            return go(request, "settings-role", role_id)
        messages.success(request, _("The role is gone."))
        return go(request, "settings-roles")


def chosen(request: OrgRequest) -> dict[str, Any]:
    """The role that a form's select names: a built-in one, or the id of one's own."""
    text = request.POST.get("role", "")
    own = parse_uuid(text)
    return {"role": CUSTOM if own else text, "custom_role_id": own}


def areas_of(permissions: Iterable[Permission]) -> list[Area]:
    """Permissions by the part of the platform that they are about."""
    order = list(AREAS)

    def place(permission: Permission) -> int:
        name = app_of(permission)
        return order.index(name) if name in order else len(order)

    found = sorted(permissions, key=lambda each: (place(each), app_of(each)))
    return [
        Area(AREAS.get(app, app.capitalize()), list(each)) for app, each in groupby(found, app_of)
    ]


def app_of(permission: Permission) -> str:
    """The part of the platform that a permission is about."""
    return permission.name.partition(".")[0]


def _deleted(request: OrgRequest, role_id: UUID) -> bool:
    delete_custom_role(request.actor, role_id)
    return True


def _built_in(role: Role, count: int) -> Column:
    name, text = role.value.capitalize(), DESCRIPTIONS[role]
    return Column(role.value, name, text, permissions_of(role), count, True)


def _sent(request: OrgRequest) -> dict[str, Any]:
    return {
        "name": request.POST.get("name", ""),
        "description": request.POST.get("description", ""),
        "permissions": request.POST.getlist("permission"),
    }


def _form(
    request: OrgRequest,
    held: frozenset[str],
    *,
    name: str = "",
    description: str = "",
    role: Any = None,
    count: int = 0,
    **_rest: Any,
) -> HttpResponse:
    """The form with boxes for what the caller could give; others stay as they are."""
    actor = request.actor
    may = actor.has_perm(UPDATE_CUSTOM_ROLE.name if role else CREATE_CUSTOM_ROLE.name)
    areas = [
        {
            "word": area.word,
            "boxes": [
                {
                    "permission": each,
                    "held": each.name in held,
                    "locked": not may or (each.name not in held and not actor.has_perm(each.name)),
                }
                for each in area.permissions
            ],
        }
        for area in areas_of(p for p in declared().values() if p.roles)
    ]
    context = {"areas": areas, "name": name, "description": description, "role": role}
    return _page(request, "settings/role.html", {**context, "may": may, "count": count})


def _page(request: OrgRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(
        request, template, {"actor": request.actor, "settings_section": SECTION, **context}
    )
