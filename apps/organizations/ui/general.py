"""The organization itself: its name."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.organizations.permissions import UPDATE_ORGANIZATION, VIEW_ORGANIZATION
from apps.organizations.selectors import get_organization
from apps.organizations.services.organizations import update_organization


class General(OrgView):
    """What the organization is called."""

    @needs(VIEW_ORGANIZATION)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        actor = request.actor
        context = {
            "actor": actor,
            "settings_section": "organization",
            "organization": get_organization(actor, actor.organization_id),
        }
        return render(request, "settings/organization.html", context)

    @needs(UPDATE_ORGANIZATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Renames it."""
        actor, name = request.actor, request.POST.get("name", "")
        done = _("The organization has a new name.")
        attempt(request, lambda: update_organization(actor, actor.organization_id, name=name), done)
        return go(request, "settings-organization")
