"""The audit trail, as REST and RPC offer it."""

from datetime import UTC, datetime

import orjson

from apps.audit import selectors
from apps.audit.models import AuditCheckpoint, AuditEntry
from apps.audit.permissions import VIEW_ENTRIES
from apps.core.actors import Actor
from apps.core.errors import invalid
from apps.core.public import id_of, operation, page_of, timestamp
from fleetd.pb.public.v1 import organization_pb2

FILTERS = (
    "action", "action_prefix", "actor_id", "actor", "object_id", "object_type", "result", "source",
    "request_id",
)  # fmt: skip


@operation(VIEW_ENTRIES)
def list_audit_entries(
    actor: Actor, request: organization_pb2.ListAuditEntriesRequest
) -> organization_pb2.ListAuditEntriesResponse:
    """What was done in the organization, newest first.

    With `Accept: text/csv` or `application/x-ndjson` REST answers with at most 10,000 entries as a
    file; `Next-Page-Token` and `Link` lead to the next ones.
    """
    page = selectors.list_entries(actor, page_of(request), **wanted_of(request))
    return organization_pb2.ListAuditEntriesResponse(
        items=[entry_message(entry) for entry in page.items], next_page_token=page.next_page_token
    )


def wanted_of(request: organization_pb2.ListAuditEntriesRequest) -> dict[str, object]:
    """The fields of an `EntryFilter` that a request asks for."""
    asked: dict[str, object] = {name: getattr(request, name) for name in FILTERS}
    return {**asked, "since": moment_of(request, "since"), "until": moment_of(request, "until")}


def moment_of(request: object, field: str) -> datetime | None:
    """A time in a request, None where it is not given; without a zone it is UTC."""
    text = getattr(request, field)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        raise invalid(field, "invalid_time", f"{field} is a time as RFC 3339 has it.") from None


@operation(VIEW_ENTRIES)
def get_audit_entry(
    actor: Actor, request: organization_pb2.GetAuditEntryRequest
) -> organization_pb2.GetAuditEntryResponse:
    """One entry of the audit trail."""
    entry = selectors.get_entry(actor, id_of(request.id))
    return organization_pb2.GetAuditEntryResponse(audit_entry=entry_message(entry))


@operation(VIEW_ENTRIES)
def list_audit_checkpoints(
    actor: Actor, request: organization_pb2.ListAuditCheckpointsRequest
) -> organization_pb2.ListAuditCheckpointsResponse:
    """Signed checkpoints of the audit trail, newest first."""
    page = selectors.list_checkpoints(actor, page_of(request))
    return organization_pb2.ListAuditCheckpointsResponse(
        items=[checkpoint_message(checkpoint) for checkpoint in page.items],
        next_page_token=page.next_page_token,
    )


def checkpoint_message(checkpoint: AuditCheckpoint) -> organization_pb2.AuditCheckpoint:
    """A checkpoint with what is needed to check its signature."""
    return organization_pb2.AuditCheckpoint(
        id=str(checkpoint.id),
        sequence=checkpoint.sequence,
        since=checkpoint.since,
        time=timestamp(checkpoint.time),
        head_hash=bytes(checkpoint.head_hash).hex(),
        root=bytes(checkpoint.root).hex(),
        key_id=checkpoint.key_id,
        public_key=bytes(checkpoint.public_key).hex(),
        signature=bytes(checkpoint.signature).hex(),
    )


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
