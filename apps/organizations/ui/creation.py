"""A further organization, where the installation allows it."""

from django.http import HttpResponse
from django.shortcuts import render

from apps.core.authz import needs
from apps.core.errors import FleetdError
from apps.core.web import ORGANIZATION_KEY, OrgRequest, OrgView, failure_lines, go
from apps.organizations.permissions import CREATE_ORGANIZATION
from apps.organizations.services.organizations import (
    create_organization,
    require_may_create,
)


class NewOrganization(OrgView):
    """The form, and the way into what it makes."""

    @needs(CREATE_ORGANIZATION)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, for those who may."""
        require_may_create(request.actor)
        return render(request, "organizations/new.html", {"name": "", "errors": []})

    @needs(CREATE_ORGANIZATION)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Makes it and goes there."""
        name = request.POST.get("name", "")
        try:
            made = create_organization(request.actor, name=name)
        except FleetdError as error:
            context = {"name": name, "errors": failure_lines(error)}
            return render(request, "organizations/new.html", context, status=400)
        request.session[ORGANIZATION_KEY] = str(made.id)
        return go(request, "dashboard")
