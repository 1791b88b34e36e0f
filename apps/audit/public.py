"""The audit trail, as REST and RPC offer it."""

import orjson

from apps.audit import selectors
from apps.audit.models import AuditEntry
from apps.audit.permissions import VIEW_ENTRIES
from apps.core.actors import Actor
from apps.core.public import id_of, operation, page_of, timestamp
from fleetd.pb.public.v1 import organization_pb2


@operation(VIEW_ENTRIES)
def list_audit_entries(
    actor: Actor, request: organization_pb2.ListAuditEntriesRequest
) -> organization_pb2.ListAuditEntriesResponse:
    """What was done in the organization, newest first."""
    page = selectors.list_entries(
        actor, page_of(request), action=request.action, object_id=request.object_id
    )
    return organization_pb2.ListAuditEntriesResponse(
        items=[entry_message(entry) for entry in page.items], next_page_token=page.next_page_token
    )


@operation(VIEW_ENTRIES)
def get_audit_entry(
    actor: Actor, request: organization_pb2.GetAuditEntryRequest
) -> organization_pb2.GetAuditEntryResponse:
    """One entry of the audit trail."""
    entry = selectors.get_entry(actor, id_of(request.id))
    return organization_pb2.GetAuditEntryResponse(audit_entry=entry_message(entry))


def entry_message(entry: AuditEntry) -> organization_pb2.AuditEntry:
    """An entry with its place in the hash chain."""
    return organization_pb2.AuditEntry(
        id=str(entry.id),
        sequence=entry.sequence,
        time=timestamp(entry.time),
        action=entry.action,
        result=entry.result,
        actor_kind=entry.actor_kind,
        actor_id=str(entry.actor_id or ""),
        actor_label=entry.actor_label,
        object_type=entry.object_type,
        object_id=entry.object_id,
        object_label=entry.object_label,
        source=entry.source,
        address=entry.address,
        request_id=entry.request_id,
        changes_json=orjson.dumps(entry.changes).decode(),
        hash=bytes(entry.hash).hex(),
        previous_hash=bytes(entry.previous_hash).hex(),
    )
