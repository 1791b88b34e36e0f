"""Where a person lets a program sign in that has shown them a code."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from apps.accounts.domain import user_codes
from apps.accounts.errors import UnknownUserCode
from apps.core.actors import Call, Source
from apps.core.authz import SIGNED_IN, needs
from apps.core.errors import FleetdError, Kind, TooMany
from apps.core.tenancy import tenant
from apps.core.web import ORGANIZATION_KEY, PersonView, require_recent_sign_in
from apps.organizations.errors import NoOrganization
from apps.organizations.selectors import actor_for_user, list_access
from apps.organizations.services.device_sign_in import (
    approve_device_sign_in,
    deny_device_sign_in,
    find_device_request,
)


class DeviceSignIn(PersonView):
    """Asks for the code, shows who asks from where, and takes the person's decision."""

    @needs(SIGNED_IN)
    def get(self, request: Any) -> HttpResponse:
        """The form for the code, or the question whether this is the program."""
        typed = request.GET.get("user_code", "")
        if not typed:
            return render(request, "oauth/device_code.html")
        require_recent_sign_in(request)
        return _question(request, typed)

    @needs(SIGNED_IN)
    def post(self, request: Any) -> HttpResponse:
        """Approves or denies."""
        require_recent_sign_in(request)
        typed = request.POST.get("user_code", "")
        approves = request.POST.get("decision") == "approve"
        try:
            client = _approve(request, typed) if approves else _deny(request, typed)
        except (UnknownUserCode, TooMany) as error:
            return _again(request, typed, error)
        shown = {"approved": approves, "client": client}
        return render(request, "oauth/device_done.html", shown)


def _question(request: Any, typed: str) -> HttpResponse:
    """The program, and the organizations that it can be let into."""
    try:
        found = find_device_request(request.user, _call(request), typed)
    except (UnknownUserCode, TooMany) as error:
        return _again(request, typed, error)
    access = list_access(request.user, request.find_sign_in(), request.client_address)
    chosen = request.session.get(ORGANIZATION_KEY, "")
    open_ones = [organization for organization, refusal in access if refusal is None]
    context = {
        "found": found,
        "user_code": user_codes.shown(user_codes.read(typed)),
        "access": [
            {"organization": each, "refusal": refusal.message if refusal else ""}
            for each, refusal in access
        ],
        "chosen": next((o for o in open_ones if str(o.id) == chosen), next(iter(open_ones), None)),
    }
    return render(request, "oauth/device_confirm.html", context)


def _again(request: Any, typed: str, error: FleetdError) -> HttpResponse:
    """The form for the code, with what is wrong."""
    shown = {"user_code": typed[:20], "error": error.message}
    status = 429 if error.kind is Kind.EXHAUSTED else 400
    response = render(request, "oauth/device_code.html", shown, status=status)
    if error.retry_after_seconds:
        response["Retry-After"] = str(error.retry_after_seconds)
    return response


def _approve(request: Any, typed: str) -> str:
    """As the person in the chosen organization, whose policy is asked like at any other door."""
    call, chosen = _call(request), request.POST.get("organization", "")
    find_device_request(request.user, call, typed)
    if not chosen:
        raise NoOrganization
    sign_in = request.find_sign_in()
    actor = actor_for_user(request.user, call, organization=chosen, sign_in=sign_in)
    with tenant(actor.organization_id):
        return approve_device_sign_in(actor, typed).client


def _deny(request: Any, typed: str) -> str:
    call = _call(request)
    found = find_device_request(request.user, call, typed)
    deny_device_sign_in(request.user, call, typed)
    return found.client


def _call(request: Any) -> Call:
    return Call(Source.UI, request.client_address, request.request_id)
