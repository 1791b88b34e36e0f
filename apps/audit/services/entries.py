"""Adding to the audit trail."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from django.db import connection
from django.db.models import Model

from apps.audit.domain.chain import GENESIS, entry_hash
from apps.audit.domain.redaction import MASK, REPLACEMENT, masked_fields, one_line, scrubbed
from apps.audit.models import AuditEntry, AuditHead
from apps.core import clock
from apps.core.actors import Actor
from apps.core.tasks import wake

ANNOUNCE_TASK = "audit.announce_entries"
MAX_LABEL = 254
_ODD = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of characters


def record(
    actor: Actor,
    action: str,
    obj: Model | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    result: AuditEntry.Result = AuditEntry.Result.SUCCESS,
) -> AuditEntry:
    """Adds one entry to the chain of the actor's organization, in the caller's transaction.

    `changes` maps a field to [before, after] (or to a plain value for something created). Whatever
    a caller passes, nothing that is a secret by its name or its looks is kept, and no label holds
    more than one printable line. Entries of one organization are added one at a time: the head's
    row lock is held until the caller's transaction ends.
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
        address=_line(actor.call.address or "")[:45],
        request_id=_line(actor.call.request_id)[:64],
        changes=_plain(changes or {}),
        previous_hash=bytes(head.hash),
    )
    entry.hash = entry_hash(bytes(head.hash), entry.hashed_fields())
    _append(head, entry)
    wake(ANNOUNCE_TASK, actor)
    return entry


def _append(head: AuditHead, entry: AuditEntry) -> None:
    """Adds the entry and moves the head in one statement: every writer waits for this one."""
    fields = AuditEntry._meta.concrete_fields
    values = [f.get_db_prep_save(getattr(entry, f.attname), connection) for f in fields]
    with connection.cursor() as cursor:
        cursor.execute(_append_statement(), [entry.sequence, bytes(entry.hash), head.pk, *values])
    entry._state.adding, entry._state.db = False, connection.alias


@cache
def _append_statement() -> str:
    """Made of the models' own names."""
    quote = connection.ops.quote_name
    fields = AuditEntry._meta.concrete_fields
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    heads, entries = quote(AuditHead._meta.db_table), quote(AuditEntry._meta.db_table)
    return (
        f"WITH moved AS (UPDATE {heads} SET sequence = %s, hash = %s WHERE id = %s)"  # noqa: S608
        f" INSERT INTO {entries} ({columns}) VALUES ({places})"
    )


def _locked_head(actor: Actor) -> AuditHead:
    heads = AuditHead.objects.for_org(actor.organization_id)
    head = heads.select_for_update().order_by().first()
    if head is None:
        heads.bulk_create(
            [AuditHead(organization_id=actor.organization_id, hash=GENESIS)], ignore_conflicts=True
        )
        head = heads.select_for_update().get()
    return head


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """As the database will give it back: the hash must be the same when it is read again.

    Masked after it has become plain, so that no object shows its secret only when it is written.
    """
    plain: dict[str, Any] = orjson.loads(orjson.dumps(_storable(changes), default=_as_text))
    return masked_fields(plain)


def _storable(value: Any) -> Any:
    """What PostgreSQL's JSON cannot hold as it is, as something that it can."""
    if isinstance(value, Mapping):
        return {_storable(str(name)): _storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return _ODD.sub(REPLACEMENT, value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e22 comes back as a whole number, -0.0 as 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else str(value)
    return value


def _as_text(value: Any) -> Any:
    """How values are kept that JSON does not know."""
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=str)
    return MASK if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _line(text: str) -> str:
    """One printable line without a secret: no value can forge another log line."""
    return one_line(scrubbed(text), MAX_LABEL)
