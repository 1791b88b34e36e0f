"""Settings with values: who may read the API in a browser, and the quotas."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.authz import needs
from apps.core.errors import FleetdError, invalid
from apps.core.web import OrgRequest, OrgView, failure_lines, go
from apps.organizations.domain.settings import value
from apps.organizations.permissions import (
    UPDATE_ORGANIZATION_SETTINGS,
    VIEW_ORGANIZATION_SETTINGS,
    VIEW_USAGE,
)
from apps.organizations.selectors import get_organization_with_settings
from apps.organizations.services.quotas import Usage, list_usage
from apps.organizations.services.settings import may_change, update_organization_settings

ORIGINS = "cors.allowed_origins"
REQUESTS = "quotas.requests_per_minute"
QUOTA_WORDS = {
    "devices": gettext_lazy("Devices"),
    "storage_bytes": gettext_lazy("Storage"),
    "api_keys": gettext_lazy("API keys"),
}
QUOTA_HINTS = {
    "devices": gettext_lazy("Decommissioned ones do not count."),
    "storage_bytes": gettext_lazy("All artifacts together."),
    "api_keys": gettext_lazy("Those that are usable now."),
}


class BrowserAccess(OrgView):
    """Which web applications of other origins may read the API."""

    @needs(VIEW_ORGANIZATION_SETTINGS)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        return self._page(request)

    @needs(UPDATE_ORGANIZATION_SETTINGS)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Sets the list; what is wrong with it is said beside it."""
        typed = request.POST.get("origins", "")
        try:
            update_organization_settings(request.actor, {ORIGINS: typed.split()})
        except FleetdError as error:
            return self._page(request, typed, failure_lines(error))
        messages.success(request, _("Saved. It holds from the next request on."))
        return go(request, "settings-cors")

    def _page(
        self, request: OrgRequest, typed: str | None = None, errors: list[str] | None = None
    ) -> HttpResponse:
        actor = request.actor
        organization = get_organization_with_settings(actor, actor.organization_id)
        origins = value(organization, ORIGINS)
        context = {
            "actor": actor,
            "settings_section": "cors",
            "typed": "\n".join(origins) if typed is None else typed,
            "errors": errors or [],
            "may_change": may_change(actor, ORIGINS),
        }
        return render(request, "settings/cors.html", context, status=400 if errors else 200)


class UsagePage(OrgView):
    """How much is used of each quota."""

    @needs(VIEW_USAGE)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        return self._page(request)

    @needs(VIEW_USAGE)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Sets the quotas; for superusers of the installation, the service says."""
        names = [*(f"quotas.{quota}" for quota in QUOTA_WORDS), REQUESTS]
        try:
            changes = {name: _limit(name, request.POST.get(name, "")) for name in names}
            update_organization_settings(request.actor, changes)
        except FleetdError as error:
            if not error.fields:
                raise
            return self._page(request, failure_lines(error))
        messages.success(request, _("Saved. The quotas hold from now on."))
        return go(request, "settings-usage")

    def _page(self, request: OrgRequest, errors: list[str] | None = None) -> HttpResponse:
        actor = request.actor
        organization = get_organization_with_settings(actor, actor.organization_id)
        context = {
            "actor": actor,
            "settings_section": "usage",
            "rows": [_row(usage, request) for usage in list_usage(actor)],
            "requests": value(organization, REQUESTS),
            "errors": errors or [],
            "may_change": may_change(actor, REQUESTS),
        }
        return render(request, "settings/usage.html", context, status=400 if errors else 200)


def _row(usage: Usage, request: OrgRequest) -> dict[str, Any]:
    ratio = usage.ratio
    tone = "" if ratio is None or ratio < 0.8 else "warn" if ratio < 1 else "bad"
    return {
        "usage": usage,
        "name": f"quotas.{usage.quota}",
        "word": QUOTA_WORDS[usage.quota],
        "hint": QUOTA_HINTS[usage.quota],
        "width": min(1000, round(1000 * (ratio or 0))),
        "tone": tone,
        "is_bytes": usage.quota == "storage_bytes",
    }


def _limit(name: str, typed: str) -> int | None:
    """A limit as it was typed; nothing is no limit."""
    text = typed.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise invalid(name, "invalid_setting", _("A quota is a whole number, or empty for none."))
    return int(text)
