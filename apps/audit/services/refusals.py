"""Refusals of known callers, in the audit trail."""

from apps.audit.models import AuditEntry
from apps.audit.services.entries import record
from apps.core.actors import Actor
from apps.core.errors import PermissionDenied


def record_refusal(actor: Actor, error: PermissionDenied, **call: str) -> AuditEntry:
    """Adds one entry for a call that was refused: the right that was missing, and the call.

    Doors call it once per refused call, in a transaction of its own: what the call did is undone.
    """
    action = str(error.data.get("permission", "")) or error.code
    values = {name: value for name, value in error.data.items() if name != "permission"}
    changes = {**values, **{name: value[:200] for name, value in call.items()}}
    return record(actor, action, changes=changes, result=AuditEntry.Result.DENIED)
