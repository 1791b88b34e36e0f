"""Whom a rollout tells, and what became of each mail: a part of the rollout's page."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView
from apps.updates.permissions import VIEW_ROLLOUTS
from apps.updates.selectors.notifications import list_rollout_notifications
from apps.updates.selectors.rollouts import get_rollout

SHOWN = 20
LOOKS: dict[str, tuple[str, str | Promise]] = {
    "sent": ("ok", gettext_lazy("sent")),
    "waiting": ("info", gettext_lazy("waiting")),
    "failed": ("bad", gettext_lazy("given up")),
}


class RolloutMails(OrgView):
    """The newest mails about one rollout."""

    @needs(VIEW_ROLLOUTS)
    def get(self, request: OrgRequest, rollout_id: UUID) -> HttpResponse:
        """The part alone; empty where nobody is told."""
        rollout = get_rollout(request.actor, rollout_id)
        page = list_rollout_notifications(request.actor, rollout_id, PageRequest(SHOWN))
        context = {
            "told": rollout.planned().notifications,
            "mails": [(mail, *LOOKS[mail.state]) for mail in page.items],
            "has_more": bool(page.next_page_token),
        }
        return render(request, "updates/notifications.html", context)
