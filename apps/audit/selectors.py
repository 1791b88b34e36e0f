"""Reading the audit trail."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from apps.audit.domain.chain import first_break
from apps.audit.models import AuditEntry
from apps.audit.permissions import VIEW_ENTRIES
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.pagination import Page, PageRequest, paginate


def list_entries(
    actor: Actor, page: PageRequest, *, action: str = "", object_id: str = ""
) -> Page[AuditEntry]:
    """Entries of the organization, newest first."""
    require(actor, VIEW_ENTRIES)
    rows = AuditEntry.objects.for_org(actor.organization_id)
    if action:
        rows = rows.filter(action=action)
    if object_id:
        rows = rows.filter(object_id=object_id)
    return paginate(rows, page, order_by=["-sequence"])


def get_entry(actor: Actor, entry_id: UUID) -> AuditEntry:
    """One entry."""
    require(actor, VIEW_ENTRIES)
    entry: AuditEntry | None = (
        AuditEntry.objects.for_org(actor.organization_id).filter(id=entry_id).first()
    )
    if entry is None:
        raise NotFound
    return entry


def find_broken_entry(organization_id: UUID) -> int | None:
    """The sequence number at which the organization's chain breaks, None where it is whole."""
    entries = AuditEntry.objects.for_org(organization_id).order_by("sequence")
    index = first_break(_links(entries.iterator(chunk_size=2000)))
    return None if index is None else index + 1


def _links(entries: Iterator[AuditEntry]) -> Iterator[tuple[bytes, bytes, Mapping[str, Any]]]:
    for entry in entries:
        yield bytes(entry.previous_hash), bytes(entry.hash), entry.hashed_fields()
