"""Signed instructions: what each device is to install, for it alone and for a day."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from apps.core import clock
from apps.core.actors import Actor
from apps.core.authz import require
from apps.updates.domain.instructions import Instruction, sign_instruction
from apps.updates.domain.signing import key_id
from apps.updates.permissions import CLAIM_DEPLOYMENTS
from apps.updates.selectors.signing import find_repository, repository_url
from apps.updates.services.signing import private_key
from apps.updates.services.target_links import make_targets_url
from apps.updates.types import Offer

# In the order of the ids, so that two batches with the same devices never wait for each other.
_COUNT = """
    INSERT INTO updates_instruction_counter AS known (organization_id, device_id, counter)
    SELECT %(organization_id)s, wanted.id, 1 FROM unnest(%(devices)s::uuid[]) AS wanted (id)
    ORDER BY wanted.id
    ON CONFLICT (device_id) DO UPDATE SET counter = known.counter + 1
    RETURNING device_id, counter
"""


def instruct(actor: Actor, offers: Sequence[Offer]) -> list[Offer]:
    """The offers, each with an instruction that names its device and files, and a new number.

    A device takes no number twice and none lower than the last. Before the organization has
    published its root there are no instructions. At most one offer per device.
    """
    require(actor, CLAIM_DEPLOYMENTS)
    if not offers:
        return []
    repository = find_repository(actor.organization_id)
    if repository is None or repository.published_at is None:
        return list(offers)
    key = Ed25519PrivateKey.from_private_bytes(private_key(actor, repository, "instruction"))
    name = key_id(repository.instruction_public)
    numbers = _count(actor, [offer.device_id for offer in offers])
    return [
        replace(
            offer,
            instruction=sign_instruction(_of(actor, offer, numbers[offer.device_id]), key, name),
            repository_url=repository_url(actor.organization_id),
            targets_url=make_targets_url(actor, offer.deployment_id),
        )
        for offer in offers
    ]


def _of(actor: Actor, offer: Offer, number: int) -> Instruction:
    return Instruction(
        organization_id=actor.organization_id,
        device_id=offer.device_id,
        deployment_id=offer.deployment_id,
        rollout_id=offer.rollout_id,
        counter=number,
        issued_at=clock.now(),
        allow_downgrade=offer.allow_downgrade,
        targets=[(c.target_path, c.sha256, c.size_bytes) for c in offer.components],
    )


def _count(actor: Actor, device_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The next number of each device."""
    scope: dict[str, Any] = {
        "organization_id": actor.organization_id,
        "devices": sorted(set(device_ids)),
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, scope)
        return {device_id: int(number) for device_id, number in cursor.fetchall()}
