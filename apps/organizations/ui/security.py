"""What a sign-in must be, to work in the organization."""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.errors import FleetdError
from apps.core.web import OrgRequest, OrgView, failure_lines, go, require_recent_sign_in
from apps.organizations.domain.settings import KEYS
from apps.organizations.permissions import UPDATE_SECURITY_POLICY, VIEW_ORGANIZATION_SETTINGS
from apps.organizations.services.policy import count_members_without_factor, security_policy
from apps.organizations.services.settings import update_organization_settings

PREFIX = "security."
NUMBERS = ("session_hours", "idle_minutes", "password_min_length")


class Security(OrgView):
    """The policy: second factor, ages, passwords, networks."""

    @needs(VIEW_ORGANIZATION_SETTINGS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        return _page(request, security_policy(request.actor))

    @needs(UPDATE_SECURITY_POLICY)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Sets it; never so that the one who sets it is shut out."""
        require_recent_sign_in(request)
        wanted = _read(request.POST)
        try:
            with transaction.atomic():
                update_organization_settings(request.actor, wanted)
        except FleetdError as error:
            if error.fields or error.code == "would_lock_you_out":
                shown = {**security_policy(request.actor), **wanted}
                return _page(request, shown, errors=failure_lines(error), status=400)
            raise
        messages.success(request, _("The security policy is changed. It holds from now on."))
        return go(request, "settings-security")


def _read(form: QueryDict) -> dict[str, Any]:
    values: dict[str, Any] = {f"{PREFIX}require_mfa": form.get("require_mfa") == "on"}
    for name in NUMBERS:
        text = form.get(name, "").strip()
        values[PREFIX + name] = int(text) if text.isdecimal() and len(text) < 10 else text or 0
    networks = form.get("allowed_networks", "").replace(",", "\n").split("\n")
    values[f"{PREFIX}allowed_networks"] = [n.strip() for n in networks if n.strip()]
    return values


def _page(
    request: OrgRequest,
    values: dict[str, Any],
    *,
    errors: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    actor = request.actor
    fields = {name: KEYS[PREFIX + name] for name in NUMBERS}
    context = {
        "actor": actor,
        "settings_section": "security",
        "may_change": actor.has_perm(UPDATE_SECURITY_POLICY.name),
        "require_mfa": values[f"{PREFIX}require_mfa"],
        "numbers": [(name, key, values[PREFIX + name]) for name, key in fields.items()],
        "allowed_networks": "\n".join(values[f"{PREFIX}allowed_networks"]),
        "address": request.client_address,
        "without_factor": count_members_without_factor(actor),
        "errors": errors or [],
    }
    return render(request, "settings/security.html", context, status=status)
