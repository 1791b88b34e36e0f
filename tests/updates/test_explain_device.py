"""Why a device (does not) get a deployment never differs from what happens."""

import os
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
import time_machine
from django.db import transaction

from apps.core.actors import Actor
from apps.updates.models import Deployment, Rollout
from apps.updates.selectors.eligibility import Explanation, explain_device
from apps.updates.services.targets import create_deployments
from tests.factories import Cast
from tests.updates.random_fleets import NOON, World

# As many random fleets as somebody has time for; each is some 500 pairs.
FLEETS = int(os.environ.get("EXPLAINED_FLEETS", "2"))


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def chosen_by_a_start(world: World, rollout: Rollout) -> set[object]:
    with transaction.atomic():
        create_deployments(world.alice, rollout)
        rows = Deployment.objects.for_org(world.acme.id).filter(rollout_id=rollout.id)
        found = set(rows.values_list("device_id", flat=True))
        transaction.set_rollback(True)
    return found


def told(found: Explanation) -> str:
    return "\n".join(f"{'+' if r.holds else '-'} {r.code}: {r.words}" for r in found.reasons)


@pytest.mark.parametrize("seed", range(FLEETS))
def test_the_explanation_is_what_claims_and_starts_decide(
    seed: int, clock: time_machine.Traveller, acme: Cast, alice: Actor, in_acme: None
) -> None:
    world = World(acme, alice, clock, Random(seed), size=42).build(rollouts=11, steps=50)
    rollouts, codes, handed, chosen = world.rollouts(), Counter[str](), 0, 0
    starting = {r.id: chosen_by_a_start(world, r) for r in rollouts if r.started_at is None}
    for device in world.devices():
        next_rollout = world.handed_out(device)
        handed += next_rollout is not None
        for rollout in rollouts:
            found = explain_device(alice, device.id, rollout.id)
            assert found.is_eligible == (next_rollout == rollout.id), told(found)
            if rollout.id in starting:
                is_in = device.id in starting[rollout.id]
                chosen += is_in
                assert found.is_chosen == is_in, told(found)
            codes.update(reason.code for reason in found.reasons if not reason.holds)
    assert len(rollouts) * world.size >= 450
    assert handed
    assert chosen
    assert len(codes) >= 12, codes
