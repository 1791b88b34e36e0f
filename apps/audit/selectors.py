"""Reading the audit trail."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.audit.domain.chain import GENESIS, first_break
from apps.audit.domain.offline_verifier import PRUNE_ACTION
from apps.audit.models import AuditCheckpoint, AuditEntry, AuditHead, AuditVerification
from apps.audit.permissions import VIEW_ENTRIES
from apps.audit.types import EntryFilter
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.errors import NotFound
from apps.core.ids import parse_uuid
from apps.core.pagination import MAX_PAGE_SIZE, Page, PageRequest, paginate

MAX_FILE_ROWS = 10_000
FACET_ROWS = 1000
FACET_VALUES = 20
FACETS = {
    "action_prefix": "action",
    "result": "result",
    "source": "source",
    "object_type": "object_type",
    "actor": "actor_label",
}


def list_entries(actor: Actor, page: PageRequest, /, **wanted: Any) -> Page[AuditEntry]:
    """Entries of the organization, newest first; `wanted` are the fields of an `EntryFilter`."""
    require(actor, VIEW_ENTRIES)
    rows = AuditEntry.objects.for_org(actor.organization_id)
    rows = _narrowed(rows, EntryFilter(**wanted))
    return paginate(rows, page, order_by=["-sequence"])


def read_file_rows(actor: Actor, page: PageRequest, /, **wanted: Any) -> Page[dict[str, Any]]:
    """At most `page.size` entries as rows of a file; read page by page, so no query is long."""
    rows: list[dict[str, Any]] = []
    token = page.token
    while True:
        size = min(MAX_PAGE_SIZE, page.size - len(rows))
        found = list_entries(actor, PageRequest(size, token), **wanted)
        rows += [_file_row(entry) for entry in found.items]
        token = found.next_page_token
        if not token or len(rows) >= page.size:
            return Page(rows, token)


def count_facets(actor: Actor, /, **wanted: Any) -> dict[str, list[tuple[str, int]]]:
    """What the newest matching entries have in which number, per facet, the most frequent first.

    A facet that is narrowed already shows what else there is: its own filter does not count.
    """
    require(actor, VIEW_ENTRIES)
    rows = AuditEntry.objects.for_org(actor.organization_id).order_by("-sequence")
    found: dict[str, list[tuple[str, int]]] = {}
    shared: dict[Any, list[Any]] = {}
    for name, column in FACETS.items():
        asked = EntryFilter(**{**wanted, name: ""})
        if asked not in shared:
            newest = _narrowed(rows, asked).values_list(*FACETS.values())
            shared[asked] = list(newest[:FACET_ROWS])
        place = list(FACETS.values()).index(column)
        values = (row[place] for row in shared[asked])
        if name == "action_prefix":
            values = (f"{action.partition('.')[0]}." for action in values)
        found[name] = Counter(v for v in values if v).most_common(FACET_VALUES)
    return found


def _file_row(entry: AuditEntry) -> dict[str, Any]:
    return {
        **entry.hashed_fields(),
        "time": entry.time.isoformat().replace("+00:00", "Z"),
        "actor_id": str(entry.actor_id or ""),
        "hash": bytes(entry.hash).hex(),
        "previous_hash": bytes(entry.previous_hash).hex(),
    }


def _narrowed(rows: QuerySet[AuditEntry], wanted: EntryFilter) -> QuerySet[AuditEntry]:
    if wanted.actor_id:
        actor_id = parse_uuid(wanted.actor_id)
        rows = rows.filter(actor_id=actor_id) if actor_id else rows.none()
    for name in ("action", "object_id", "object_type", "result", "source", "request_id"):
        if value := getattr(wanted, name):
            rows = rows.filter(**{name: value})
    if wanted.action_prefix:
        rows = rows.filter(action__startswith=wanted.action_prefix)
    if wanted.actor:
        rows = rows.filter(actor_label__istartswith=wanted.actor)
    if wanted.since:
        rows = rows.filter(time__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(time__lt=wanted.until)
    return rows


def get_entry(actor: Actor, entry_id: UUID) -> AuditEntry:
    """One entry."""
    require(actor, VIEW_ENTRIES)
    entry: AuditEntry | None = (
        AuditEntry.objects.for_org(actor.organization_id).filter(id=entry_id).first()
    )
    if entry is None:
        raise NotFound
    return entry


def list_checkpoints(actor: Actor, page: PageRequest) -> Page[AuditCheckpoint]:
    """Signed checkpoints of the organization, newest first."""
    require(actor, VIEW_ENTRIES)
    rows = AuditCheckpoint.objects.for_org(actor.organization_id)
    return paginate(rows, page, order_by=["-sequence"])


def find_state(actor: Actor) -> tuple[AuditCheckpoint | None, AuditVerification]:
    """The newest checkpoint, and how far the chain was checked."""
    require(actor, VIEW_ENTRIES)
    state = AuditVerification.objects.for_org(actor.organization_id).first()
    return find_newest_checkpoint(actor.organization_id), state or AuditVerification()


# --- The chain itself, for what signs and checks it ---


def find_broken_entry(organization_id: UUID) -> int | None:
    """The sequence number at which the organization's chain breaks, None where it is whole."""
    entries = AuditEntry.objects.for_org(organization_id).order_by("sequence")
    index = first_break(_links(entries.iterator(chunk_size=2000)))
    return None if index is None else index + 1


def find_newest_checkpoint(organization_id: UUID) -> AuditCheckpoint | None:
    """The newest checkpoint, None before the first."""
    rows = AuditCheckpoint.objects.for_org(organization_id).order_by("-sequence")
    found: AuditCheckpoint | None = rows.first()
    return found


def find_head(organization_id: UUID) -> tuple[int, str]:
    """Number and hash of the newest entry, as the chain's head remembers them."""
    head = AuditHead.objects.for_org(organization_id).first()
    return (head.sequence, bytes(head.hash).hex()) if head else (0, GENESIS.hex())


def first_sequence(organization_id: UUID) -> int:
    """The number of the oldest entry that is there; 1 where there is none."""
    rows = AuditEntry.objects.for_org(organization_id).order_by("sequence")
    return rows.values_list("sequence", flat=True).first() or 1


def find_anchor(organization_id: UUID) -> AuditCheckpoint | None:
    """The checkpoint that a pruned trail begins after, None where it begins with entry 1."""
    before = first_sequence(organization_id) - 1
    rows = AuditCheckpoint.objects.for_org(organization_id).filter(sequence=before)
    found: AuditCheckpoint | None = rows.first()
    return found


def has_pruning(organization_id: UUID, through: int) -> bool:
    """Whether an entry says that the trail was pruned up to this number."""
    rows = AuditEntry.objects.for_org(organization_id).filter(action=PRUNE_ACTION)
    return bool(rows.filter(changes__through=through).exists())


def checkpoint_hash(organization_id: UUID, sequence: int) -> str | None:
    """The hash that was signed at this number, None where no checkpoint is."""
    rows = AuditCheckpoint.objects.for_org(organization_id).filter(sequence=sequence)
    found = rows.values_list("head_hash", flat=True).first()
    return None if found is None else bytes(found).hex()


def end_of_step(organization_id: UUID, begin: int, size: int) -> int | None:
    """Where a part of at least `size` entries after `begin` ends at a checkpoint.

    None where fewer are left: the rest is one part.
    """
    rows = AuditCheckpoint.objects.for_org(organization_id).filter(sequence__gte=begin + size)
    found: int | None = rows.order_by("sequence").values_list("sequence", flat=True).first()
    return found


def chain_records(organization_id: UUID, *, after: int, until: int) -> Iterator[dict[str, Any]]:
    """Entries and checkpoints after one number up to another, as an export holds them.

    Each checkpoint follows the entry that it stands at. What is read was committed when it began.
    """
    entries = AuditEntry.objects.for_org(organization_id).order_by("sequence")
    entries = entries.filter(sequence__gt=after, sequence__lte=until)
    checkpoints = AuditCheckpoint.objects.for_org(organization_id).order_by("sequence")
    waiting = deque(checkpoints.filter(sequence__gt=after, sequence__lte=until))
    for entry in entries.iterator(chunk_size=2000):
        while waiting and waiting[0].sequence < entry.sequence:
            yield checkpoint_record(waiting.popleft())
        yield entry_record(entry)
    for checkpoint in waiting:
        yield checkpoint_record(checkpoint)


def export_records(organization_id: UUID, slug: str) -> Iterator[dict[str, Any]]:
    """Everything that the offline verifier needs of one organization, line by line."""
    head, _ = find_head(organization_id)
    checkpoints = AuditCheckpoint.objects.for_org(organization_id)
    keys = checkpoints.order_by("key_id").values_list("key_id", "public_key").distinct()
    yield {
        "kind": "header",
        "format": "fleetd.audit.export.v1",
        "organization_id": str(organization_id),
        "organization": slug,
        "exported_at": clock.now().isoformat(),
        "head_sequence": head,
        "keys": [{"key_id": key, "public_key": bytes(public).hex()} for key, public in keys],
    }
    counts = {"entry": 0, "checkpoint": 0}
    for record in chain_records(organization_id, after=0, until=head):
        counts[record["kind"]] += 1
        yield record
    yield {"kind": "end", "entries": counts["entry"], "checkpoints": counts["checkpoint"]}


def entry_record(entry: AuditEntry) -> dict[str, Any]:
    """An entry as exports hold it: what its hash covers, and both hashes."""
    return {
        "kind": "entry",
        **entry.hashed_fields(),
        "previous_hash": bytes(entry.previous_hash).hex(),
        "hash": bytes(entry.hash).hex(),
    }


def checkpoint_record(checkpoint: AuditCheckpoint) -> dict[str, Any]:
    """A checkpoint as exports and the second place hold it."""
    return {
        "kind": "checkpoint",
        **checkpoint.statement(),
        "public_key": bytes(checkpoint.public_key).hex(),
        "signature": bytes(checkpoint.signature).hex(),
    }


def _links(entries: Iterator[AuditEntry]) -> Iterator[tuple[bytes, bytes, Mapping[str, Any]]]:
    for entry in entries:
        yield bytes(entry.previous_hash), bytes(entry.hash), entry.hashed_fields()
