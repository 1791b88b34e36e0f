"""Signing the chain, segment by segment."""

import structlog
from django.db import connection

from apps.audit.domain.chain import GENESIS
from apps.audit.domain.offline_verifier import MerkleTree, Verifier
from apps.audit.errors import ChainBroken
from apps.audit.models import AuditCheckpoint, AuditEntry
from apps.audit.selectors import entry_record, find_newest_checkpoint
from apps.audit.services.signing import load_signing_key
from apps.audit.services.verification import note_verified
from apps.core import clock
from apps.core.actors import Actor

log = structlog.get_logger(__name__)

SEGMENT = 10_000
MAX_SEGMENTS = 10


def create_checkpoints(actor: Actor) -> list[AuditCheckpoint]:
    """Signs what was added since the last checkpoint; nothing where nothing was.

    Every entry is read again and must fit the chain before it is covered: a checkpoint never
    vouches for what was tampered with. A long backlog becomes several checkpoints, at most ten at
    a time. Idempotent; runs of one organization take turns. It writes no audit entry: a checkpoint
    is part of the trail, and there would be no end to it.

    Raises `ChainBroken` and `SigningKeyMissing`.
    """
    _take_turn(actor)
    made: list[AuditCheckpoint] = []
    while len(made) < MAX_SEGMENTS and (checkpoint := _sign_next(actor)):
        made.append(checkpoint)
    return made


def _take_turn(actor: Actor) -> None:
    """Waits until no other transaction signs this organization's chain."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"audit.checkpoint.{actor.organization_id}"],
        )


def _sign_next(actor: Actor) -> AuditCheckpoint | None:
    """Signs one segment; None where there is no new entry."""
    before = find_newest_checkpoint(actor.organization_id)
    since = before.sequence if before else 0
    head = bytes(before.head_hash) if before else GENESIS
    rows = AuditEntry.objects.for_org(actor.organization_id)
    segment = rows.filter(sequence__gt=since).order_by("sequence")[:SEGMENT]
    verifier = Verifier(str(actor.organization_id), start=(since, head.hex()))
    tree = MerkleTree()
    for entry in segment.iterator(chunk_size=2000):
        verifier.add(entry_record(entry))
        tree.add(bytes(entry.hash))
    if verifier.findings:
        _refuse(actor, *verifier.findings[0])
    if verifier.last == since:
        return None
    checkpoint = _signed(actor, since, verifier, tree)
    note_verified(actor, since, checkpoint.sequence)
    return checkpoint


def _signed(actor: Actor, since: int, verifier: Verifier, tree: MerkleTree) -> AuditCheckpoint:
    key = load_signing_key()
    checkpoint = AuditCheckpoint(
        organization_id=actor.organization_id,
        since=since,
        sequence=verifier.last,
        time=clock.now(),
        head_hash=bytes.fromhex(verifier.last_hash),
        root=tree.root(),
        key_id=key.key_id,
        public_key=key.public_key,
    )
    checkpoint.signature = key.sign(checkpoint.statement())
    checkpoint.save(force_insert=True)
    return checkpoint


def _refuse(actor: Actor, sequence: int, text: str) -> None:
    log.error(
        "audit_chain_broken",
        organization_id=str(actor.organization_id),
        sequence=sequence,
        finding=text,
    )
    raise ChainBroken(text, data={"sequence": sequence})
