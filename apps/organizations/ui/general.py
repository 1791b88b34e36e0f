"""The organization itself: its name, its archive, and its end."""

from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go, require_recent_sign_in
from apps.organizations.exports import get_finished_export, list_exports
from apps.organizations.permissions import (
    CANCEL_ORGANIZATION_DELETION,
    DELETE_ORGANIZATION,
    EXPORT_ORGANIZATION,
    LEAVE_ORGANIZATION,
    UPDATE_ORGANIZATION,
    VIEW_ORGANIZATION,
)
from apps.organizations.selectors import get_organization
from apps.organizations.sending import send_export
from apps.organizations.services.deletion import (
    cancel_organization_deletion,
    delete_organization,
)
from apps.organizations.services.exports import export_organization
from apps.organizations.services.members import leave_organization
from apps.organizations.services.organizations import update_organization

SHOWN_EXPORTS = 5


class General(OrgView):
    """What the organization is called, and what else concerns it as a whole."""

    @needs(VIEW_ORGANIZATION)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, or the part of it that shows how far an export has come."""
        actor = request.actor
        may_export = actor.has_perm(EXPORT_ORGANIZATION.name)
        page = PageRequest(SHOWN_EXPORTS)
        exports = list_exports(actor, actor.organization_id, page).items if may_export else []
        context = {
            "actor": actor,
            "settings_section": "organization",
            "organization": get_organization(actor, actor.organization_id),
            "exports": exports,
            "is_exporting": any(export.state == "running" for export in exports),
            "grace_days": settings.ORGANIZATION_GRACE_DAYS,
        }
        is_part = request.GET.get("fragment") == "exports"
        name = "exports.html" if is_part and may_export else "organization.html"
        return render(request, f"settings/{name}", context)

    @needs(UPDATE_ORGANIZATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Renames it."""
        actor, name = request.actor, request.POST.get("name", "")
        done = _("The organization has a new name.")
        attempt(request, lambda: update_organization(actor, actor.organization_id, name=name), done)
        return go(request, "settings-organization")


class Export(OrgView):
    """Begins an archive."""

    @needs(EXPORT_ORGANIZATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """A worker writes it; the page shows how far it has come."""
        actor = request.actor
        done = _("The export is being written.")
        attempt(request, lambda: export_organization(actor, actor.organization_id), done)
        return go(request, "settings-organization")


class ExportDownload(OrgView):
    """A finished archive."""

    @needs(EXPORT_ORGANIZATION)
    def get(self, request: OrgRequest, export_id: UUID) -> HttpResponseBase:
        """Its bytes."""
        actor = request.actor
        return send_export(get_finished_export(actor, actor.organization_id, export_id))


class Leave(OrgView):
    """Leaves the organization."""

    @needs(LEAVE_ORGANIZATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """The next page is one of another organization, or says that there is none."""
        actor = request.actor
        done = _("You have left the organization.")
        attempt(request, lambda: leave_organization(actor, actor.organization_id), done)
        return go(request, "dashboard")


class Delete(OrgView):
    """Asks for the organization's deletion."""

    @needs(DELETE_ORGANIZATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Only after a fresh sign-in, with the name typed and a reason."""
        require_recent_sign_in(request)
        actor = request.actor
        name, reason = request.POST.get("confirm", ""), request.POST.get("reason", "")
        attempt(
            request,
            lambda: delete_organization(actor, actor.organization_id, name=name, reason=reason),
            _("The organization will be deleted. Until then you can cancel that here."),
        )
        return go(request, "settings-organization")


class CancelDeletion(OrgView):
    """Keeps the organization."""

    @needs(CANCEL_ORGANIZATION_DELETION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Everything works as before."""
        actor = request.actor
        done = _("The organization stays. Devices come back within a minute or two.")
        attempt(request, lambda: cancel_organization_deletion(actor, actor.organization_id), done)
        return go(request, "settings-organization")
