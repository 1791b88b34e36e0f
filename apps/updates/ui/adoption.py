"""The chart of a release's installations: a part of its page."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView
from apps.updates.permissions import VIEW_DEPLOYMENTS
from apps.updates.selectors.adoption import AdoptionDay, list_adoption

HEIGHT, STEP, GAP = 100, 10, 2


class ReleaseAdoption(OrgView):
    """Bars by day, with the same as a table."""

    @needs(VIEW_DEPLOYMENTS)
    def get(self, request: OrgRequest, release_id: UUID) -> HttpResponse:
        """The part alone."""
        days = list_adoption(request.actor, release_id)
        context = {
            "days": days,
            "total": sum(day.devices for day in days),
            "most": max((day.devices for day in days), default=0),
            "bars": _bars(days),
            "width": max(len(days), 7) * STEP,
            "height": HEIGHT,
        }
        return render(request, "updates/adoption.html", context)


def _bars(days: list[AdoptionDay]) -> list[dict[str, object]]:
    """Where each day's bar stands, in whole units; a day with one device is visible."""
    most = max((day.devices for day in days), default=0)
    bars: list[dict[str, object]] = []
    for place, day in enumerate(days):
        height = -(-day.devices * HEIGHT // most) if most else 0
        bars.append(
            {
                "day": day.day,
                "devices": day.devices,
                "x": place * STEP,
                "y": HEIGHT - height,
                "width": STEP - GAP,
                "height": height,
            }
        )
    return bars
