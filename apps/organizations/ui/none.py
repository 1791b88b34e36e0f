"""What somebody sees who is signed in and belongs to no organization, or to none any more."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from apps.core.authz import SIGNED_IN, needs
from apps.organizations.selectors import list_memberships_of


class NoOrganizationPage(View):
    """Says so; whoever belongs somewhere is sent on."""

    @needs(SIGNED_IN)
    def get(self, request: HttpRequest) -> HttpResponse:
        """The page."""
        user = request.user
        if not user.is_authenticated:
            return redirect("account_login")
        if list_memberships_of(user.pk):
            return redirect("dashboard")
        return render(request, "organizations/none.html", status=HTTPStatus.FORBIDDEN)
