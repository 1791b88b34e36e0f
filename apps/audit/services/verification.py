"""Checking the chain, and remembering when that was done and what came of it."""

from typing import Any
from uuid import UUID

import structlog

from apps.audit.domain.chain import GENESIS
from apps.audit.domain.offline_verifier import Verifier
from apps.audit.models import AuditVerification
from apps.audit.permissions import VERIFY_CHAIN
from apps.audit.selectors import (
    chain_records,
    checkpoint_hash,
    end_of_step,
    find_anchor,
    find_head,
    has_pruning,
)
from apps.audit.services.entries import record
from apps.audit.services.second_place import kept_checkpoints, known_key_ids
from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.core.tasks import wake

log = structlog.get_logger(__name__)

VERIFY_TASK = "audit.verify_chain"
STEP = 20_000
Findings = list[tuple[int, str]]


def verify_chain(actor: Actor) -> AuditVerification:
    """Asks a worker to read the whole chain again, from its first entry on.

    Readers see when it was done and what was found. Asking while it is under way changes nothing.
    """
    require(actor, VERIFY_CHAIN)
    state = _locked(actor)
    if state.position is not None:
        return state
    state.position = 0
    state.save(update_fields=["position"])
    record(actor, VERIFY_CHAIN.name)
    wake(VERIFY_TASK, actor)
    return state


def verify_some(actor: Actor) -> AuditVerification:
    """One step of the check that is under way; asks for the next until the end is reached.

    Idempotent: a step whose worker died is done again.
    """
    state = _locked(actor)
    if state.position is None:
        return state
    findings: Findings = []
    begin = state.position
    if begin == 0:
        begin, findings = _beginning(actor.organization_id)
    end = end_of_step(actor.organization_id, begin, STEP)
    last, found = _check(actor.organization_id, begin, end)
    findings += found
    if findings:
        _find(actor, state, findings)
    elif end is None:
        state.sequence, state.time = last, clock.now()
        state.whole_time, state.position = state.time, None
        state.broken_sequence, state.finding = None, ""
    else:
        state.position = end
        wake(VERIFY_TASK, actor)
    state.save()
    return state


def note_verified(actor: Actor, since: int, sequence: int) -> None:
    """Remembers that the entries after `since` up to `sequence` were just found to fit."""
    state = _locked(actor)
    if state.broken_sequence is None and since <= state.sequence < sequence:
        state.sequence, state.time = sequence, clock.now()
        state.save(update_fields=["sequence", "time"])


def _beginning(organization_id: UUID) -> tuple[int, Findings]:
    """Where the trail begins: at 0, or at the checkpoint up to which it was pruned."""
    anchor = find_anchor(organization_id)
    if anchor is None:
        return 0, []
    if has_pruning(organization_id, anchor.sequence):
        return anchor.sequence, []
    return anchor.sequence, [(1, f"entries 1 to {anchor.sequence} are missing")]


def _check(organization_id: UUID, begin: int, end: int | None) -> tuple[int, Findings]:
    """Reads the entries after `begin` up to the checkpoint at `end`, or all; the last, findings."""
    kept = [
        c
        for c in _kept(organization_id)
        if begin < c["sequence"] and c["sequence"] <= (end or 2**63)
    ]
    head_sequence, head_hash = find_head(organization_id)
    start = (begin, checkpoint_hash(organization_id, begin) or GENESIS.hex())
    verifier = Verifier(str(organization_id), kept, known_key_ids(), start)
    for found in chain_records(organization_id, after=begin, until=end or head_sequence):
        verifier.add(found)
    if end is None and (verifier.last, verifier.last_hash) != (head_sequence, head_hash):
        text = f"the trail ends at {verifier.last}, its head is at {head_sequence}"
        verifier.find(verifier.last + 1, text)
    return verifier.last, verifier.finish()


def _kept(organization_id: UUID) -> list[dict[str, Any]]:
    try:
        return kept_checkpoints(organization_id)
    except OSError as error:
        log.warning("audit_second_place_away", error=str(error))
        return []


def _find(actor: Actor, state: AuditVerification, findings: Findings) -> None:
    sequence, text = findings[0]
    log.error(
        "audit_chain_broken",
        organization_id=str(actor.organization_id),
        sequence=sequence,
        finding=text,
    )
    state.broken_sequence, state.finding = sequence, text[:300]
    state.time, state.position = clock.now(), None


def _locked(actor: Actor) -> AuditVerification:
    rows = AuditVerification.objects.for_org(actor.organization_id)
    state = rows.select_for_update().first()
    if state is None:
        new = AuditVerification(organization_id=actor.organization_id)
        rows.bulk_create([new], ignore_conflicts=True)
        state = rows.select_for_update().get()
    found: AuditVerification = state
    return found
