"""Channels on the page of a release."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _

from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView, attempt, go
from apps.updates.permissions import PROMOTE_RELEASE
from apps.updates.selectors.channels import (
    get_release_channel,
    list_promotions_of,
    list_release_channels,
)
from apps.updates.services.channels import close_release_channel, promote_release

USUAL = ("stable", "beta")
SHOWN_HISTORY = 20


class ReleasePromote(OrgView):
    """Makes a channel point at a release."""

    @needs(PROMOTE_RELEASE)
    def post(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """Promotes it, or says why not."""
        channel = request.POST.get("channel", "").strip()
        reason = request.POST.get("reason", "")
        attempt(
            request,
            lambda: promote_release(request.actor, release_id, channel=channel, reason=reason),
            _("%(channel)s points at it now.") % {"channel": channel},
        )
        return go(request, "release", release_id)


class ReleaseChannelClose(OrgView):
    """Takes a channel away."""

    @needs(PROMOTE_RELEASE)
    def post(self, request: OrgRequest, promotion_id: UUID) -> HttpResponse:
        """Closes it, or says why not; then on to what it pointed at."""
        reason = request.POST.get("reason", "")
        attempt(
            request,
            lambda: close_release_channel(request.actor, promotion_id, reason=reason),
            _("The channel is closed."),
        )
        return go(request, "release", get_release_channel(request.actor, promotion_id).release_id)


def channel_context(request: OrgRequest, release: Any) -> dict[str, Any]:
    """The channels of the release's name, their history, and what could be promoted to."""
    promotions = list_promotions_of(request.actor, release)
    names = {promotion.channel for promotion in promotions}
    page = PageRequest(size=SHOWN_HISTORY)
    history = list_release_channels(request.actor, page, name=release.name, with_history=True)
    return {
        "promotions": promotions,
        "promotion_history": [each for each in history.items if each.ended_at],
        "channel_names": sorted({*names, *USUAL}),
        "own_channels": [p.channel for p in promotions if p.release_id == release.id],
    }
