"""Filters on pages: words that complete them."""

from django.http import HttpResponse, JsonResponse

from apps.core.authz import needs
from apps.core.web import OrgRequest, OrgView
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors.suggestions import complete_filter


class FilterWords(OrgView):
    """What can stand where the cursor is."""

    @needs(VIEW_DEVICES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """As JSON, for the script of the field."""
        text, at = request.GET.get("q", ""), request.GET.get("at", "")
        cursor = int(at) if at.isascii() and at.isdigit() and len(at) < 6 else len(text)
        found = complete_filter(request.actor, text, cursor)
        items = [{"text": item.text, "help": item.help} for item in found.items]
        place = {"start": found.start, "end": found.end, "is_due": found.is_due}
        return JsonResponse({**place, "items": items})
