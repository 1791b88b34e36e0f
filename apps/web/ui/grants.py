"""What people were given on one object, or one person on all objects: a part of several pages."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import Role, declared, needs
from apps.core.errors import invalid
from apps.core.ids import parse_uuid
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.devices.access import GRANT_MODELS, GrantObject, grantable_on, list_access_grants
from apps.devices.permissions import GRANT_ACCESS, REVOKE_ACCESS, VIEW_ACCESS_GRANTS
from apps.devices.services.grants import grant_access, revoke_access
from apps.organizations.access import list_role_choices
from apps.organizations.people import list_members
from apps.organizations.permissions import VIEW_MEMBERS
from apps.web.ui.roles import areas_of, chosen

SHOWN = 200
CANDIDATES = 50
ROLES = (Role.ADMIN, Role.OPERATOR, Role.DEPLOYER, Role.VIEWER)
PAGES = {"team": "settings-team", "device_group": "device-group"}


class Grants(OrgView):
    """The list with its form, for the page of an object or of a person."""

    @needs(VIEW_ACCESS_GRANTS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The part alone; pages load it."""
        on, user_id = _object(request.GET), parse_uuid(request.GET.get("user", ""))
        if on is None and user_id is None:
            on = GrantObject("organization", request.actor.organization_id)
        asked = PageRequest(size=SHOWN)
        page = list_access_grants(request.actor, asked, user_id=user_id, on=on)
        context: dict[str, Any] = {"actor": request.actor, "page": page, "on": on}
        if on is not None and request.actor.has_perm(GRANT_ACCESS.name):
            possible = grantable_on(on.kind)
            context["roles"] = list_role_choices(request.actor, ROLES)
            context["areas"] = areas_of(p for p in declared().values() if p.name in possible)
        return render(request, "settings/grants.html", context)

    @needs(GRANT_ACCESS)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Gives somebody rights on an object: those of a role, or single ones."""
        on, user_id = _object(request.POST), parse_uuid(request.POST.get("user", ""))
        if on is None:
            raise invalid("object", "required", _("Name an object."))
        if user_id is None:
            messages.error(request, _("Choose somebody first."))
            return _back(request, on)
        asked: dict[str, Any] = {"permissions": request.POST.getlist("permission")}
        if request.POST.get("role"):
            asked |= chosen(request)
        attempt(
            request,
            lambda: grant_access(request.actor, user_id=user_id, on=on, **asked),
            _("Given; it holds from now on."),
        )
        return _back(request, on)


class People(OrgView):
    """Members to choose from, as the search in the dialog narrows them."""

    @needs(VIEW_MEMBERS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The choices alone."""
        search = request.GET.get("q", "").strip()
        page = list_members(request.actor, PageRequest(size=CANDIDATES), search=search)
        members = [member.membership for member in page.items]
        context = {"members": members, "has_more": bool(page.next_page_token)}
        return render(request, "settings/grant_people.html", context)


class Revoke(OrgView):
    """Takes back what somebody was given on an object."""

    @needs(REVOKE_ACCESS)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Takes all of it."""
        on, user_id = _object(request.POST), parse_uuid(request.POST.get("user", ""))
        if on is None or user_id is None:
            raise invalid("object", "required", _("Name an object and a person."))
        attempt(
            request,
            lambda: revoke_access(request.actor, user_id=user_id, on=on),
            _("Taken back; it holds no longer."),
        )
        return _back(request, on)


def _object(values: Any) -> GrantObject | None:
    """The object that a form or an address names."""
    kind, object_id = values.get("kind", ""), parse_uuid(values.get("id", ""))
    return GrantObject(kind, object_id) if kind in GRANT_MODELS and object_id else None


def _back(request: OrgRequest, on: GrantObject) -> HttpResponse:
    """To the page of the object; the organization's grants are on the page of roles."""
    page = PAGES.get(on.kind)
    return go(request, page, UUID(str(on.id))) if page else go(request, "settings-roles")
