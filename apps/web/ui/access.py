"""Where a person ends up whom an organization's security policy does not let in as they are."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import logout
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from apps.accounts.selectors import has_second_factor
from apps.core.authz import SIGNED_IN, needs
from apps.core.errors import FleetdError, NotFound
from apps.core.web import ORGANIZATION_KEY, error_response, is_local_path
from apps.organizations.errors import MfaRequired, SessionTooOld
from apps.organizations.selectors import list_access

Access = list[tuple[Any, FleetdError | None]]


@method_decorator(never_cache, name="dispatch")
class Entry(View):
    """The person's organizations: which let them in, and what the others ask for."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """For people who are signed in, in no organization."""
        if not request.user.is_authenticated:
            return redirect("account_login")
        return super().dispatch(request, *args, **kwargs)

    @needs(SIGNED_IN)
    def get(self, request: Any) -> HttpResponse:
        """The page; straight on where nothing is in the way any more."""
        access, chosen = _access(request), request.session.get(ORGANIZATION_KEY, "")
        current = next((a for a in access if str(a[0].id) == chosen), access[0] if access else None)
        back = _back(request)
        if current is None:
            return redirect("dashboard")
        if current[1] is None:
            return HttpResponseRedirect(back)
        if isinstance(current[1], SessionTooOld):
            # The session has ended for this organization: a new sign-in is good for all of them.
            logout(request)
            query = urlencode({"next": back})
            return HttpResponseRedirect(f"{resolve_url('account_login')}?{query}")
        context = {
            "current": current[0],
            "refusal": current[1],
            "wants_factor": isinstance(current[1], MfaRequired),
            "has_factor": has_second_factor(request.user.pk),
            "open_ones": [organization for organization, error in access if error is None],
            "address": request.client_address,
        }
        return render(request, "account/access.html", context)

    @needs(SIGNED_IN)
    def post(self, request: Any) -> HttpResponse:
        """Goes to work in one that lets the person in."""
        wanted = request.POST.get("organization", "")
        if wanted not in {str(o.id) for o, error in _access(request) if error is None}:
            return error_response(request, NotFound())
        request.session[ORGANIZATION_KEY] = wanted
        return redirect("dashboard")


def _access(request: Any) -> Access:
    return list_access(request.user, request.find_sign_in(), request.client_address)


def _back(request: Any) -> str:
    back = request.GET.get("next", "")
    is_here = back.startswith(request.path)
    return back if is_local_path(back) and not is_here else "/"
