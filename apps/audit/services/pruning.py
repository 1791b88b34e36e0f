"""Retention: whole segments under a signed checkpoint may go, and nothing else.

The application cannot do this: its database role may not delete entries. Whoever runs it is the
owner of the schema, on the server.
"""

from datetime import datetime

from apps.audit.domain.offline_verifier import PRUNE_ACTION
from apps.audit.errors import NothingToPrune
from apps.audit.models import AuditCheckpoint, AuditEntry
from apps.audit.selectors import first_sequence
from apps.audit.services.entries import record
from apps.core.actors import Actor


def prune_entries(actor: Actor, *, before: datetime) -> AuditCheckpoint:
    """Deletes the entries of all segments that end before a time. There is no way back.

    Segments go from the oldest on; the first one that holds a younger entry stays whole, and so
    does everything after it. All checkpoints stay: the newest of those whose segments are gone is
    the anchor from which verification goes on. That it was done is an audit entry; without one the
    missing entries count as tampering. Raises `NothingToPrune`.
    """
    first = first_sequence(actor.organization_id)
    anchor = _last_segment_before(actor, first, before)
    if anchor is None:
        raise NothingToPrune
    entries = AuditEntry.objects.for_org(actor.organization_id)
    count, _ = entries.filter(sequence__lte=anchor.sequence).delete()
    record(
        actor,
        PRUNE_ACTION,
        changes={"through": anchor.sequence, "entries": count, "before": before.isoformat()},
    )
    return anchor


def _last_segment_before(actor: Actor, first: int, before: datetime) -> AuditCheckpoint | None:
    """The checkpoint of the last segment that can go. Its entries were written before its time."""
    youngest = (
        AuditEntry.objects.for_org(actor.organization_id)
        .filter(time__gte=before)
        .order_by("sequence")
        .first()
    )
    rows = AuditCheckpoint.objects.for_org(actor.organization_id).filter(sequence__gte=first)
    if youngest is not None:
        rows = rows.filter(sequence__lt=youngest.sequence)
    found: AuditCheckpoint | None = rows.order_by("-sequence").first()
    return found
