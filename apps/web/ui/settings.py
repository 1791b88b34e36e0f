"""The way into the settings area."""

from django.http import HttpResponse

from apps.core.authz import needs, require
from apps.core.web import OrgRequest, OrgView, go
from apps.organizations.permissions import VIEW_ORGANIZATION
from apps.web.settings_area import settings_sections


class Settings(OrgView):
    """Leads to the first section that the caller may see."""

    @needs(VIEW_ORGANIZATION)
    def get(self, request: OrgRequest) -> HttpResponse:
        """Always the same one for the same rights."""
        require(request.actor, VIEW_ORGANIZATION)
        return go(request, settings_sections(request.actor)[0].items[0].url)
