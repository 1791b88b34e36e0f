"""The audit trail as pages: who did what, what changed, and whether the trail is whole."""

from pathlib import Path
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from apps.audit.domain import offline_verifier
from apps.audit.domain.files import COLUMNS, ENDINGS, file_text
from apps.audit.permissions import VERIFY_CHAIN, VIEW_ENTRIES
from apps.audit.selectors import (
    FACET_ROWS,
    MAX_FILE_ROWS,
    count_facets,
    find_state,
    get_entry,
    list_entries,
    read_file_rows,
)
from apps.audit.services.verification import verify_chain
from apps.audit.ui.facets import CHIPS, WORDS, chips_of, facets_of
from apps.audit.ui.rows import Row, page_of_object
from apps.audit.ui.wanted import asked_of, wanted_of
from apps.core.authz import needs
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest
from apps.core.web import OrgRequest, OrgView, go

VERIFIER_NAME = "fleetd-audit-verify.py"
KINDS = {ending: kind for kind, ending in ENDINGS.items()}


class EntryList(OrgView):
    """All entries, newest first, narrowed by what stands in the address."""

    @needs(VIEW_ENTRIES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The page, its list alone, or its line about the chain."""
        fragment = request.GET.get("fragment")
        if fragment == "state":
            return render(request, "audit/state.html", _state(request))
        asked, problems = asked_of(request.GET)
        wanted = wanted_of(asked)
        found = list_entries(
            request.actor, PageRequest.of(None, request.GET.get("page_token")), **wanted
        )
        context = {
            "actor": request.actor,
            "page": Page([Row.of(entry) for entry in found.items], found.next_page_token),
            "filters": asked,
            "is_filtered": any(asked.values()),
            "is_tail": request.GET.get("tail") == "1",
            "problems": problems,
        }
        if fragment == "list":
            return render(request, "audit/list_rows.html", context)
        counted = count_facets(request.actor, **wanted)
        extra = {"tail": "1"} if context["is_tail"] else {}
        facets = {
            "facets": facets_of(counted, asked, extra),
            "chips": chips_of(asked, extra),
            "facet_rows": FACET_ROWS,
            "kept_filters": [(name, asked[name]) for name in (*CHIPS, *WORDS) if name != "action"],
        }
        return render(request, "audit/list.html", {**context, **_state(request), **facets})


class EntryDetail(OrgView):
    """One entry with everything that its hash covers."""

    @needs(VIEW_ENTRIES)
    def get(self, request: OrgRequest, entry_id: UUID) -> HttpResponse:
        """The page."""
        entry = get_entry(request.actor, entry_id)
        context = {
            "actor": request.actor,
            "entry": entry,
            "row": Row.of(entry),
            "object_url": page_of_object(entry),
            "hash": bytes(entry.hash).hex(),
            "previous_hash": bytes(entry.previous_hash).hex(),
        }
        return render(request, "audit/entry.html", context)


class EntryFile(OrgView):
    """The list as a file, with the same filters; a longer list than fits comes in parts."""

    @needs(VIEW_ENTRIES)
    def get(self, request: OrgRequest, ending: str) -> HttpResponse:
        """The file."""
        if ending not in KINDS:
            raise NotFound
        asked, _problems = asked_of(request.GET)
        page = PageRequest(MAX_FILE_ROWS, request.GET.get("page_token") or "")
        found = read_file_rows(request.actor, page, **wanted_of(asked))
        text = file_text(KINDS[ending], found.items, COLUMNS)
        response = HttpResponse(text, f"{KINDS[ending]}; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="audit-entries.{ending}"'
        if found.next_page_token:
            response["Next-Page-Token"] = found.next_page_token
        return response


class ChainCheck(OrgView):
    """Has the whole chain read again."""

    @needs(VERIFY_CHAIN)
    def post(self, request: OrgRequest) -> HttpResponse:
        """Asks a worker; the line about the chain tells how it goes."""
        verify_chain(request.actor)
        return go(request, "audit-entries")


class VerifierFile(OrgView):
    """The single-file verifier, which needs nothing of the platform."""

    @needs(VIEW_ENTRIES)
    def get(self, request: OrgRequest) -> HttpResponse:
        """The program."""
        source = Path(offline_verifier.__file__).read_bytes()
        response = HttpResponse(source, "text/x-python; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{VERIFIER_NAME}"'
        return response


def _state(request: OrgRequest) -> dict[str, Any]:
    """How far the chain is known to be whole, since when, and how far it is signed."""
    checkpoint, state = find_state(request.actor)
    return {"actor": request.actor, "checkpoint": checkpoint, "state": state}
