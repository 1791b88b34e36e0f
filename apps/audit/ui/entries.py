"""The audit trail, read only."""

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.audit.permissions import VIEW_ENTRIES
from apps.audit.selectors import get_entry, list_entries
from apps.core.authz import needs
from apps.core.pagination import PageRequest
from apps.core.web import OrgRequest, OrgView

FILTERS = ("action", "object_id")


class EntryList(OrgView):
    """All entries, newest first, narrowed by action or object."""

    @needs(VIEW_ENTRIES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, or its list alone."""
        filters = {n: request.GET.get(n, "").strip().replace("\x00", "") for n in FILTERS}
        asked = PageRequest.of(None, request.GET.get("page_token"))
        page = list_entries(request.actor, asked, **filters)
        context = {
            "actor": request.actor,
            "page": page,
            "filters": filters,
            "is_filtered": any(filters.values()),
        }
        name = "list_rows" if request.GET.get("fragment") == "list" else "list"
        return render(request, f"audit/{name}.html", context)


class EntryDetail(OrgView):
    """One entry with everything that its hash covers."""

    @needs(VIEW_ENTRIES)
    def get(self, request: OrgRequest, entry_id: UUID) -> HttpResponse:
        """The page."""
        entry = get_entry(request.actor, entry_id)
        context = {
            "actor": request.actor,
            "entry": entry,
            "changes": list(entry.changes.items()),
            "hash": bytes(entry.hash).hex(),
            "previous_hash": bytes(entry.previous_hash).hex(),
        }
        return render(request, "audit/entry.html", context)
