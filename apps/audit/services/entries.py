"""Adding to the audit trail."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.db.models import Model

from apps.audit.domain.chain import GENESIS, entry_hash
from apps.audit.models import AuditEntry, AuditHead
from apps.core import clock
from apps.core.actors import Actor
from apps.core.tasks import wake

ANNOUNCE_TASK = "audit.announce_entries"
MASK = "***"
SECRET_WORDS = ("password", "secret", "token", "private_key", "api_key")


def record(
    actor: Actor,
    action: str,
    obj: Model | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    result: AuditEntry.Result = AuditEntry.Result.SUCCESS,
) -> AuditEntry:
    """Adds one entry to the chain of the actor's organization, in the caller's transaction.

    `changes` maps a field to [before, after] (or to a plain value for something created); values
    of fields whose names speak of secrets are masked. Entries of one organization are added one at
    a time: the head's row lock is held until the caller's transaction ends.
    """
    head = _locked_head(actor)
    entry = AuditEntry(
        organization_id=actor.organization_id,
        sequence=head.sequence + 1,
        time=clock.now(),
        action=action,
        result=result,
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        actor_label=_line(actor.label),
        object_type=str(obj._meta.verbose_name).replace(" ", "_") if obj else "",
        object_id=str(obj.pk) if obj else "",
        object_label=_line(str(obj)) if obj else "",
        source=actor.call.source.value,
        address=actor.call.address or "",
        request_id=_line(actor.call.request_id)[:64],
        changes=_plain(changes or {}),
        previous_hash=bytes(head.hash),
    )
    entry.hash = entry_hash(bytes(head.hash), entry.hashed_fields())
    entry.save(force_insert=True)
    head.sequence, head.hash = entry.sequence, entry.hash
    head.save(update_fields=["sequence", "hash"])
    wake(ANNOUNCE_TASK, actor)
    return entry


def _locked_head(actor: Actor) -> AuditHead:
    heads = AuditHead.objects.for_org(actor.organization_id)
    head = heads.select_for_update().first()
    if head is None:
        heads.bulk_create(
            [AuditHead(organization_id=actor.organization_id, hash=GENESIS)], ignore_conflicts=True
        )
        head = heads.select_for_update().get()
    return head


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON will store it: the hash must be the same when it is read back."""
    masked = {
        name: MASK if any(word in name.lower() for word in SECRET_WORDS) else value
        for name, value in changes.items()
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(masked, default=str))
    return plain


def _line(text: str) -> str:
    """One printable line of at most 254 characters: no value can forge another log line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:254]
