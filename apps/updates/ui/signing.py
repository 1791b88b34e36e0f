"""Settings, Signing: what the organization's releases are signed with."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView, go, require_recent_sign_in
from apps.organizations.permissions import UPDATE_SECURITY_POLICY
from apps.organizations.services.settings import update_organization_settings
from apps.updates.permissions import VIEW_SIGNING
from apps.updates.selectors.signing import (
    ALLOW_UNSIGNED,
    get_signing_status,
    list_unsigned_releases,
)

SHOWN_RELEASES = 20


class Signing(OrgView):
    """The roles of the TUF repository, what is not signed, and the trial mode."""

    @needs(VIEW_SIGNING)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page."""
        actor = request.actor
        unsigned = list_unsigned_releases(actor)
        context = {
            "actor": actor,
            "settings_section": "signing",
            "status": get_signing_status(actor),
            "unsigned": unsigned[:SHOWN_RELEASES],
            "unsigned_more": max(0, len(unsigned) - SHOWN_RELEASES),
            "may_change": actor.has_perm(UPDATE_SECURITY_POLICY.name),
        }
        return render(request, "settings/signing.html", context)

    @needs(UPDATE_SECURITY_POLICY)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Begins or ends the trial mode."""
        require_recent_sign_in(request)
        is_trial = request.POST.get("allow_unsigned") == "yes"
        with transaction.atomic():
            update_organization_settings(request.actor, {ALLOW_UNSIGNED: is_trial})
        if is_trial:
            messages.warning(request, _("Releases that nobody signed may be rolled out now."))
        else:
            messages.success(request, _("Only signed releases are rolled out from now on."))
        return go(request, "settings-signing")
