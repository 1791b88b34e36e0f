"""Filters on pages: told from words, completed, and shown with what is wrong in them."""

from dataclasses import dataclass

from django.http import HttpResponse, JsonResponse

from apps.core.authz import needs
from apps.core.filters import FilterError
from apps.core.web import OrgRequest, OrgView
from apps.devices.permissions import VIEW_DEVICES
from apps.devices.selectors.suggestions import complete_filter


@dataclass(frozen=True, slots=True)
class ShownError:
    """A filter in three pieces, the middle one of which is wrong; `mended` may be tried instead."""

    before: str
    wrong: str
    after: str
    message: str
    mended: str
    is_unfinished: bool


def shown_error(text: str, error: FilterError) -> ShownError:
    """What a page shows of a refused filter. Half of one is nothing wrong yet."""
    start, end = error.column - 1, error.end
    before, wrong, after = text[:start], text[start:end], text[end:]
    return ShownError(
        before,
        wrong,
        after,
        error.message,
        f"{before}{error.suggestion}{after}" if error.suggestion else "",
        not wrong,
    )


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
